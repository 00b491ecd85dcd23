"""Pairs of features with two knobs: how often partners meet, and how alike they act on the output.

h = W x, output = readout(U h + b), target y = A x, a softmax of it, or y itself. Feature i asks for the output A_i, its
**action**: partners have actions of a chosen cosine, all others are orthogonal. The outputs are not the features, so
the readout U is untied from W.

W alone says little: with any invertible M, (M W, U M⁻¹) is the same model. Directions are compared in the one form
that is singled out, the balanced one, in which |W|² + |U|² is least (`balanced`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.correlation import pairs
from toysup.features import Features, combination_probability, combinations, lowbias, sample_columns
from toysup.optimise import adam, bfgs
from toysup.restarts import best, from_every_start, reached, refuse_divergence
from toysup.runtime import over_models
from toysup.softmax import divergence

READOUTS = ("linear", "relu", "softmax")
NODES = (1, 16, 8, 4, 3)  # Gauss nodes for each value, by how many features are active
FINE = (1, 64, 24, 8, 5)
EXACT_SETS = 2  # with more of them inputs are drawn
STEPS, RATE, POLISH = 300, 0.05, 100
DRAWN_STEPS, DRAWN_RATE, BATCH, MEASURED = 3000, 0.01, 512, 2**15
REACHED = 0.01  # relative: restarts that lose at most this much more than the best have reached it


def actions(sets: int, similarity) -> jax.Array:
    """What each feature asks of the output: the columns of A, of length 1.

    sets: pairs. similarity: ρ, the cosine of partners' actions, in [0, 1]; scalar or (...).
    Returns A (..., 2 sets, 2 sets): output 2s is what feature 2s asks for; its partner asks for ρ of it and √(1 - ρ²)
    of output 2s + 1.
    """
    sets, rho = check.count("sets", sets), _within("similarity", similarity)
    block = jnp.stack([jnp.stack([jnp.ones_like(rho), rho], -1), jnp.stack([0 * rho, jnp.sqrt(1 - rho**2)], -1)], -2)
    eye = jnp.eye(sets, dtype=block.dtype)
    return jnp.einsum("st,...ij->...sitj", eye, block).reshape(*block.shape[:-2], 2 * sets, 2 * sets)


def roomy_cosine(similarity):
    """The cosine of partners where every feature has a dimension, ρ / (1 + √(1 - ρ²)), however often they meet.

    There the readout can be exact, U W = A, whose balanced form has WᵀW = (AᵀA)^½. Not for softmax, which does not
    see a common shift of its logits. similarity: ρ, in [0, 1]. Returns its shape.
    """
    rho = _within("similarity", similarity)
    return rho / (1 + jnp.sqrt(1 - rho**2))


def balanced(W, U, *, readout: str = "linear") -> jax.Array:
    """The directions of a model in its balanced form: of all (M W, U M⁻¹) the one of the least |W|² + |U|².

    W: (..., m, n). U: (..., outputs, m). readout: softmax does not see a shift of all logits, so U is centred first.
    Returns (..., m, n), up to a rotation. From the singular values of the product, U W = P S Qᵀ: it is S^½ Qᵀ.
    Source: Srebro, Rennie & Jaakkola 2005 (the least sum is twice the nuclear norm).
    """
    check.choice("readout", readout, READOUTS)
    W, U = jnp.asarray(check.numbers("W", W)), jnp.asarray(check.numbers("U", U))
    if W.ndim < 2 or U.ndim < 2 or W.shape[-2] != U.shape[-1]:
        raise ValueError(f"W must be (..., m, n) and U (..., outputs, m); got {W.shape} and {U.shape}")
    U = U - U.mean(-2, keepdims=True) if readout == "softmax" else U
    _, size, right = jnp.linalg.svd(U @ W, full_matrices=False)
    m = W.shape[-2]
    return jnp.sqrt(size[..., :m, None]) * right[..., :m, :]


def across(W) -> jax.Array:
    """The mean cosine of features that are no partners, the control of `correlation.pair_cosines`.

    W: (..., m, n). Returns (...). What is not represented counts as 0.
    """
    W = jnp.asarray(check.numbers("W", W))
    size = jnp.linalg.norm(W, axis=-2, keepdims=True)
    unit = jnp.where(size > 1e-3 * size.max(-1, keepdims=True), W / jnp.maximum(size, 1e-30), 0)
    n = W.shape[-1]
    others = 1 - np.kron(np.eye(n // 2), np.ones((2, 2)))
    if n % 2 or not others.any():
        raise ValueError(f"W must have pairs of columns, at least two; got {W.shape}")
    return jnp.sum(jnp.swapaxes(unit, -1, -2) @ unit * others, (-2, -1)) / others.sum()


@partial(jax.tree_util.register_dataclass, data_fields=["W", "U", "b", "loss", "features"], meta_fields=["readout"])
@dataclasses.dataclass(frozen=True, eq=False)
class ActionFit:
    """Trained models; the batch axes (...) are those of the knobs.

    W: (..., restarts, m, n), balanced. U: (..., restarts, n, m), b: (..., restarts, n), that go with it.
    loss: (..., restarts). features: what they were trained on. readout: its name.
    """

    W: jax.Array
    U: jax.Array
    b: jax.Array
    loss: jax.Array
    features: Features
    readout: str

    @property
    def reached(self) -> jax.Array:
        """How many restarts came within 1 % of the lowest loss of their model (or 1e-5, where it is 0), (...)."""
        return reached(self.loss, REACHED, 1e-5)

    def best(self) -> ActionFit:
        """The restart of the lowest loss of each model, without the restarts axis."""
        return best(self, len(self.features.shape), ("W", "U", "b"))


def train(
    together,
    similarity,
    *,
    sets: int = 2,
    m: int = 2,
    density=0.1,
    readout: str = "relu",
    confidence=10.0,
    restarts: int = 20,
    steps: int | None = None,
    key,
) -> ActionFit:
    """Train the toy at every setting of the knobs, from many starts.

    together: probability that a feature is active when its partner is, as in `correlation.pairs`. similarity: ρ, the
    cosine of partners' actions, in [0, 1]. density: of each feature. All scalar or (...); moving them compiles nothing.
    sets: pairs; one or two are trained on Gauss nodes by Adam and BFGS, more on drawn inputs by Adam. m: hidden
    dimensions. readout: "linear" and "relu" are judged by squared errors, summed over outputs; "softmax" by
    KL(softmax(confidence · y) || softmax(U h + b)). restarts: for each setting. steps: of Adam. key: a JAX random key.
    Returns an ActionFit. Errors name the argument, before anything is compiled.
    """
    sets, m, restarts = (check.count(*a) for a in (("sets", sets), ("m", m), ("restarts", restarts)))
    check.choice("readout", readout, READOUTS)
    check.key(key)
    rho, sure = _within("similarity", similarity), jnp.asarray(check.numbers("confidence", confidence), check.dtype())
    shape = check.broadcastable("the knobs", *map(np.shape, (together, rho, density, sure)))
    widen = lambda x: (
        np.broadcast_to(x, shape)[..., None] if not check.is_traced(x) else jnp.broadcast_to(x, shape)[..., None]
    )
    features = pairs(sets, widen(density), widen(together))
    check.memory(2 * sets, m, restarts, BATCH, shape)
    drawn = sets > EXACT_SETS
    steps = check.count("steps", (DRAWN_STEPS if drawn else STEPS) if steps is None else steps)
    flat = lambda x: jnp.broadcast_to(x, shape).reshape(-1)
    models = (jax.tree.map(lambda q: q.reshape(-1, *q.shape[-2:]), features.broadcast_to(shape)), flat(rho), flat(sure))
    how = {"m": m, "readout": readout, "restarts": restarts, "steps": steps, "drawn": drawn}
    found = over_models(_train, math.prod(shape) * restarts, models, key, **how)
    found = [a.reshape(*shape, restarts, *a.shape[1:]) for a in found]
    refuse_divergence(found[-1], DRAWN_RATE if drawn else RATE)
    return ActionFit(*found, features.broadcast_to(shape), readout)


def _train(models, key, *, m, readout, restarts, steps, drawn):
    n = models[0].n
    start_key, data_key, test_key = jax.random.split(key, 3)
    starts = jax.vmap(lambda r: _start(jax.random.fold_in(start_key, r), m, n))(jnp.arange(restarts))

    def one(model, keys):
        (features, rho, sure), start = model
        A, few = actions(n // 2, rho), None if drawn else _nodes(features, NODES)
        loss = lambda parameters, inputs: _loss(parameters, *inputs, A, sure, readout)
        rate, drawn_inputs = (DRAWN_RATE if drawn else RATE), lambda k: few or _draw(features, BATCH, k)
        found = adam(lambda p, k: loss(p, drawn_inputs(k)), start, rate, steps, key=keys[0])
        if not drawn:
            found = bfgs(lambda p: loss(p, few), found, POLISH)
        W, U, b = found
        W_balanced = balanced(W, U, readout=readout)
        U = U @ W @ jnp.linalg.pinv(W_balanced)
        many = _draw(features, MEASURED, keys[1]) if drawn else _nodes(features, FINE)
        return W_balanced, U, b, loss((W_balanced, U, b), many)

    return one, from_every_start(models, starts), jnp.stack([data_key, test_key]), 10


def _start(key, m, n):
    first, second = jax.random.split(key)
    draw = lambda k, *shape: jax.random.normal(k, shape, jnp.float32).astype(check.dtype()) / (2 * m) ** 0.5
    return draw(first, m, n), draw(second, n, m), jnp.zeros(n, check.dtype())


def _loss(parameters, x, weight, A, sure, readout):
    """The mean loss over inputs as columns x (n, inputs), weight (inputs,)."""
    W, U, b = parameters
    y, z = A @ x, U @ (W @ x) + b[:, None]
    if readout == "softmax":
        return weight @ divergence(sure * y, z)
    return weight @ jnp.sum(((jax.nn.relu(z) if readout == "relu" else z) - y) ** 2, 0)


def _draw(features, size, key):
    return sample_columns(features, size, key=key, uniform=lowbias), jnp.full(size, 1 / size)


def _nodes(features, nodes):
    """Gauss nodes in every set of active features: x (n, nodes) and their weights at these probabilities."""
    x, weight, which = _grid(features.probabilities[0].shape[-2], nodes)
    _, picks = combinations(features)
    return jnp.asarray(x, check.dtype()), combination_probability(features, picks)[which] * jnp.asarray(
        weight, check.dtype()
    )


@lru_cache(maxsize=8)
def _grid(sets: int, nodes):
    """Nodes x (n, nodes), weights (nodes,), and to which combination of patterns each belongs (nodes,)."""
    active, _ = combinations(pairs(sets, 0.1, 0.1))
    xs, weights = [], []
    for on in active:
        t, w = np.polynomial.legendre.leggauss(nodes[on.sum()])
        every = partial(_every, int(on.sum()))
        xs.append(np.zeros((len(t) ** on.sum(), len(on))))
        xs[-1][:, on] = every((t + 1) / 2)
        weights.append(every(w / 2).prod(1))
    which = np.repeat(np.arange(len(active)), [len(w) for w in weights])
    return np.concatenate(xs).T, np.concatenate(weights), which


def _every(k: int, values):
    """All choices of k of the values, with repetition: (values ** k, k)."""
    return np.array(list(itertools.product(values, repeat=k)))


def _within(name: str, x):
    x = check.numbers(name, x)
    if not check.is_traced(x) and ((x < 0) | (x > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1], got {np.min(x):g} to {np.max(x):g}")
    return jnp.asarray(x, check.dtype())
