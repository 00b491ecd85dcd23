"""Training as people do it, and losses as people measure them: on drawn inputs, at a constant rate, one run at a time.

`toysup.train` goes its own ways; this is what its results are held against.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from toysup import check
from toysup.features import Features, check_features, sample_columns
from toysup.loss import batch_loss, flat, flat_features
from toysup.model import get_readout, initial
from toysup.runtime import over_models


def plain_training(
    features: Features,
    m: int,
    *,
    runs: int = 32,
    steps: int = 10_000,
    batch: int = 1024,
    rate: float = 1e-3,
    weight_decay: float = 0.01,
    key,
):
    """AdamW at a constant rate on freshly drawn inputs, as in the paper's companion notebook; importances are 1.

    features: batch shape (...). m: hidden dimensions. runs: independent runs for each model, each with its own start
    and its own inputs. steps, batch, rate, weight_decay: of AdamW; the defaults are the companion notebook's. Starts
    have the variance 2/(n + m) (Glorot & Bengio 2010), biases start at 0. key: a JAX random key.
    Returns W (..., runs, m, n) and b (..., runs, n). Errors name the argument.
    Source: Elhage et al. 2022, companion notebook; Loshchilov & Hutter 2019 (AdamW).
    """
    check_features(features)
    m, runs, steps, batch = (check.count(*a) for a in (("m", m), ("runs", runs), ("steps", steps), ("batch", batch)))
    rate = check.positive("rate", rate, most=1.0)
    decay = check.numbers("weight_decay", weight_decay)
    if decay.ndim or not 0 <= decay <= 1:
        raise ValueError(f"weight_decay must be one number in [0, 1], got {weight_decay}")
    check.memory(features.n, m, runs, batch, features.shape)
    numbers = tuple(jnp.asarray(a, check.dtype()) for a in (rate, decay))
    models = flat_features(features, features.shape)
    how = {"m": m, "runs": runs, "steps": steps, "batch": batch}
    W, b = over_models(_plain, models.shape[0] * runs, models, numbers, check.key(key), **how)
    shape = (*features.shape, runs)
    return W.reshape(*shape, m, features.n), b.reshape(*shape, features.n)


def _plain(features, numbers, key, *, m, runs, steps, batch):
    start_key, data_key = jax.random.split(key)
    n, models = features.n, features.shape[0]
    W, b = initial(models * runs, m, n, key=start_key)
    W = W * (4 * m / (n + m)) ** 0.5  # from the variance 1/(2m) to 2/(n + m)
    each = jax.tree.map(lambda q: jnp.repeat(q, runs, axis=0), features)

    def one(model, numbers):
        features, start, key = model
        rule = optax.adamw(numbers[0], weight_decay=numbers[1])
        loss = lambda p, k: batch_loss(*p, sample_columns(features, batch, key=k), jnp.ones(n), get_readout("relu"))

        def step(carry, t):
            parameters, state = carry
            slope = jax.grad(loss)(parameters, jax.random.fold_in(key, t))
            update, state = rule.update(slope, state, parameters)
            return (optax.apply_updates(parameters, update), state), None

        return jax.lax.scan(step, (start, rule.init(start)), jnp.arange(steps))[0][0]

    problems = (each, (W, b), jax.random.split(data_key, models * runs))
    return one, problems, numbers, max(1, min(8, 2**18 // (n * batch)))


def measured_losses(W, b, features: Features, inputs: int, *, times: int = 1, key):
    """The mean loss over `inputs` drawn inputs, each model and each time with a draw of its own; importances are 1.

    W: (..., m, n). b: (..., n). features: one distribution, without batch axes. inputs: at least 1.
    times: how often each model is measured. key: a JAX random key.
    Returns (..., times). Errors name the argument.
    """
    check_features(features)
    if features.shape:
        raise ValueError(f"features must be one distribution; their batch shape is {features.shape}")
    W, b = check.parameters(W, b, features.n)
    inputs, times = check.count("inputs", inputs), check.count("times", times)
    check.room(f"{inputs} inputs of {features.n} features", 48 * inputs * features.n)
    shape = check.broadcastable("W and b", W.shape[:-2], b.shape[:-1])
    found = _measured(flat(W, shape, 2), flat(b, shape, 1), features, check.key(key), inputs=inputs, times=times)
    return found.reshape(*shape, times)


@partial(jax.jit, static_argnames=("inputs", "times"))
def _measured(W, b, features, key, *, inputs, times):
    def one(model):
        W, b, key = model
        return batch_loss(W, b, sample_columns(features, inputs, key=key), jnp.ones(features.n), get_readout("relu"))

    repeat = lambda a: jnp.repeat(a, times, axis=0)
    keys = jax.random.split(key, W.shape[0] * times)
    return jax.lax.map(one, (repeat(W), repeat(b), keys))
