"""Adversarial training: the loss is taken on inputs that were perturbed, within a budget, to make it large."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp

from toysup import attacks, check
from toysup.features import Features, check_features, lowbias, sample_columns
from toysup.loss import flat_features
from toysup.model import READOUTS, initial
from toysup.optimise import adam
from toysup.restarts import best, from_every_start, refuse_divergence
from toysup.runtime import over_models

KINDS = ("random", "drawn", "ascent", "exact")
ROUNDS = 2  # of the ascent, at each step of training
RELU = READOUTS["relu"]


@partial(jax.tree_util.register_dataclass, data_fields=["W", "b", "clean", "attacked", "budget"], meta_fields=[])
@dataclasses.dataclass(frozen=True, eq=False)
class RobustFit:
    """Models trained under attack. The batch axes (...) are those of density and budget.

    W: (..., restarts, m, n). b: (..., restarts, n). clean, attacked: (..., restarts) mean error on drawn inputs that
    training did not see, without a perturbation and with one of the kind and the budget it was trained with. budget:
    (...), that of each model.
    """

    W: jax.Array
    b: jax.Array
    clean: jax.Array
    attacked: jax.Array
    budget: jax.Array

    def best(self) -> RobustFit:
        """Of each model the restart with the lowest attacked error: a RobustFit without the restarts axis."""
        return best(self, self.budget.ndim, ("W", "b", "clean"), by="attacked")


def mean_norm(features: Features, *, key, inputs: int = 2**14) -> jax.Array:
    """The mean length of an input, (...), from drawn inputs: budgets are stated as a share of it.

    features: batch shape (...). key: a JAX random key. inputs: how many are drawn.
    """
    check_features(features)
    x = sample_columns(features, check.count("inputs", inputs), key=check.key(key))
    return jnp.mean(jnp.linalg.norm(x, axis=-2), -1)


def train_robust(
    features: Features,
    m: int,
    budget,
    *,
    kind: str = "drawn",
    target: str = "fixed",
    restarts: int = 8,
    steps: int = 1000,
    batch: int = 256,
    learning_rate: float = 0.01,
    key,
) -> RobustFit:
    """Train ReLU models of equal importances on perturbed inputs, many budgets at once.

    features: batch shape (...). m: hidden dimensions. budget: the length of a perturbation, scalar or (...).
    kind: "random", a random direction; "drawn", the worse of ± (WᵀW)_i for one feature i drawn for each input (weaker
        than "feature" of `attacks.attack`, the worst of all features); "ascent", two rounds uphill from there;
        "exact" (m = 2, fixed target). The perturbation is computed from the weights of the
        moment; no gradient flows through it. target: "fixed" or "moving", as in `attacks.attack`.
    restarts: random starts for each model. steps, batch, learning_rate: of Adam, whose rate falls to 0 as a cosine.
    key: a JAX random key. Budgets and densities do not compile anew.
    Returns a RobustFit. Errors name the argument; ValueError as well where a restart diverges.
    Source: Elhage et al. 2022, "The Relationship Between Superposition and Adversarial Robustness"; Madry et al. 2018.
    """
    check_features(features)
    m, restarts, steps, batch = (
        check.count(*a) for a in (("m", m), ("restarts", restarts), ("steps", steps), ("batch", batch))
    )
    check.choice("kind", kind, KINDS), check.choice("target", target, attacks.TARGETS)
    attacks.check_kind(kind, target, "relu", m)
    budget, rate = attacks.check_budget(budget), check.positive("learning_rate", learning_rate, most=1.0)
    shape = check.broadcastable("density and budget", features.shape, budget.shape)
    check.memory(features.n, m, restarts, batch, shape)
    budget = jnp.broadcast_to(jnp.asarray(budget, check.dtype()), shape).reshape(-1)
    models = (flat_features(features, shape), budget)
    found = over_models(
        _train, math.prod(shape) * restarts, models, jnp.asarray(rate, check.dtype()), check.key(key),
        m=m, kind=kind, target=target, restarts=restarts, steps=steps, batch=batch,
    )  # fmt: skip
    found = [a.reshape(*shape, restarts, *a.shape[1:]) for a in found]
    refuse_divergence(found[-1], rate)
    return RobustFit(*found, budget.reshape(shape))


def _train(models, rate, key, *, m, kind, target, restarts, steps, batch):
    features = models[0]
    start_key, train_key, test_key = jax.random.split(key, 3)
    starts = initial(restarts, m, features.n, key=start_key)
    keys = jax.vmap(lambda r: jax.random.fold_in(train_key, r))(jnp.arange(restarts))

    def one(model, shared):
        (features, budget), (start, key) = model
        loss = partial(_attacked, features=features, budget=budget, kind=kind, target=target)
        scale = 3 / jnp.sum(features.density)
        W, b = adam(lambda p, k: scale * loss(p, k, batch=batch)[1], start, shared[0], steps, key=key)
        return W, b, *loss((W, b), shared[1], batch=2**12)

    return one, from_every_start(models, (starts, keys)), (rate, test_key), 8


def _attacked(parameters, key, *, features, budget, kind, target, batch):
    """The mean error of drawn inputs, without and with a perturbation: two scalars."""
    W, b = parameters
    draw_key, attack_key = jax.random.split(key)
    x = sample_columns(features, batch, key=draw_key, uniform=lowbias).T
    fixed = jax.lax.stop_gradient(parameters)
    delta = jax.lax.stop_gradient(_perturbation(*fixed, x, budget, kind, target, attack_key))
    error = partial(attacks.squared_errors, W, b, x, target=target, readout=RELU)
    return jnp.mean(error(jnp.zeros_like(x))), jnp.mean(error(delta))


def _perturbation(W, b, x, budget, kind, target, key):
    if kind in ("random", "exact"):
        return attacks.find(W, b, x, budget, kind, target, RELU, key)[0]
    error = partial(attacks.squared_errors, W, b, target=target, readout=RELU)
    one = attacks.feature_directions(W)[jax.random.randint(key, x.shape[:1], 0, x.shape[1])] * budget
    worse = jnp.where((error(x, one) > error(x, -one))[:, None], one, -one)
    return worse if kind == "drawn" else attacks.climb(error, x, budget, worse, ROUNDS)
