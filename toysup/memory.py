"""Training on a set of samples that ends: what a toy model stores of them, and what it does with inputs it never saw.

`toysup.train` has fresh inputs at every step, or all of them at once. Here a model sees the same T samples again and
again, all at every step. It can store the samples themselves, or the features that they are made of.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toysup import check
from toysup.features import Features, check_features, lowbias, sample_active_columns, threefry
from toysup.geometry import feature_dimensionality, norms
from toysup.model import get_readout, initial, preactivation, preactivation_in_training
from toysup.restarts import lowest, pick, refuse_divergence
from toysup.runtime import over_models

STEPS, RATE, WARM = 2000, 0.01, 0.05  # of AdamW; the share of the steps in which the rate rises
DECAY = 0.025  # by rate and steps this shrinks a weight without gradient by exp(-0.25)
LEAST_ROWS, MOST_SAMPLES = 8, 2**15


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["W", "b", "x", "samples", "weight_decay", "train", "test", "error"],
    meta_fields=["readout", "chosen"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """Models that were trained on samples of their own. Axes in front: (settings, seeds).

    W: (..., m, n). b: (..., n). x: (..., rows, n) the samples, those from row `samples` on are not used.
    samples: (...) how many were. weight_decay: (...). train: (...) mean loss over them. test: (...) mean loss over
    inputs that no model was trained on, the same for all. error: (...) standard error of `test`. readout: its name.
    chosen: whether this is what `best` returned, without an axis of seeds.
    """

    W: jax.Array
    b: jax.Array
    x: jax.Array
    samples: jax.Array
    weight_decay: jax.Array
    train: jax.Array
    test: jax.Array
    error: jax.Array
    readout: str
    chosen: bool = False

    def best(self) -> Memory:
        """The seed of the lowest training loss of each setting: a Memory without the seeds axis."""
        return self if self.chosen else dataclasses.replace(pick(lowest(self.train), self), chosen=True)


def draw(features: Features, inputs: int, *, unit: bool = True, key) -> jax.Array:
    """Inputs with at least one active feature; with `unit` each is scaled to length 1.

    features: without batch axes. inputs: how many. Returns (inputs, n).
    Source: Henighan et al. 2023, the experiment's set-up (inputs of length 1).
    """
    _check_single(features)
    return _draw(features, check.count("inputs", inputs), unit, check.key(key)).T


def memorise(
    features: Features,
    m: int,
    *,
    samples,
    weight_decay=DECAY,
    seeds: int = 5,
    unit: bool = True,
    readout: str = "relu",
    steps: int = STEPS,
    rate: float = RATE,
    fresh: bool = False,
    tests: int = 4096,
    key,
) -> Memory:
    """Train tied models x' = readout(WᵀW x + b) on fixed samples, all of them at every step.

    features: what samples look like, without batch axes. m: hidden dimensions. samples: how many, one whole number or
    (settings,). weight_decay: of AdamW (decoupled; W and b shrink by rate · weight_decay at each step), one number or
    (settings,). seeds: sets of samples, each with its own start; all settings get the same ones, and fewer samples are
    the first of more. unit: scale inputs to length 1. steps, rate: of AdamW, on the mean over samples of the summed
    squared error; the rate rises for 5 % of the steps and then falls to 0 as a cosine; 0 steps return the start,
    whose weights have the variance 2/(n + m). fresh: draw new samples at every step, the control without memory.
    tests: unseen inputs. key: a JAX random key.
    Returns a Memory with axes (settings, seeds). Moving samples (up to the next of 8, 32, 128, 512, ...), weight
    decay, rate or steps does not compile anew. Errors: ValueError or TypeError that names the argument; ValueError as
    well where the rate is so large that a model diverges.
    Source: Henighan et al. 2023; Loshchilov & Hutter 2019 (AdamW).
    """
    _check_single(features)
    get_readout(readout)
    m, seeds, tests = check.count("m", m), check.count("seeds", seeds), check.count("tests", tests, least=2)
    steps = check.count("steps", steps, least=0)
    rate = check.positive("rate", rate, most=1.0)
    samples, decay = _settings(samples, weight_decay)
    rows = _rows(int(samples.max()))
    check.room(f"{rows} samples of {features.n} features", 40 * features.n * (rows * len(samples) * seeds + tests))
    numbers = (jnp.asarray(rate, check.dtype()), jnp.asarray(steps))
    start_key, data_key, test_key = jax.random.split(check.key(key), 3)
    W, b = initial(seeds, m, features.n, key=start_key)
    W = W * (4 * m / (features.n + m)) ** 0.5  # from the variance 1/(2m) to 2/(n + m)
    keys, x = _samples(features, data_key, seeds=seeds, rows=rows, unit=bool(unit))
    each = lambda a: jnp.repeat(jnp.asarray(a, check.dtype())[:, None], seeds, axis=1)
    shared = (_draw(features, tests, bool(unit), test_key), features, *numbers)
    how = {"readout": readout, "unit": bool(unit), "fresh": bool(fresh)}
    found = over_models(_train, samples.size * seeds, each(samples), each(decay), (W, b), (x, keys), shared, **how)
    found = [a.reshape(samples.size, seeds, *a.shape[1:]) for a in found]
    refuse_divergence(found[2], rate, "rate")
    x = jnp.broadcast_to(jnp.swapaxes(x, 1, 2), (len(samples), seeds, rows, features.n))
    return Memory(*found[:2], x, each(samples), each(decay), *found[2:], readout=readout)


@partial(jax.jit, static_argnames=("inputs", "unit", "uniform"))
def _draw(features, inputs, unit, key, uniform=threefry):
    x, _, _ = sample_active_columns(features, inputs, key=key, uniform=uniform)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=0), 1e-12) if unit else x


@partial(jax.jit, static_argnames=("seeds", "rows", "unit"))
def _samples(features, key, *, seeds, rows, unit):
    """A key and a set of samples (n, rows) for each seed. Blocks have their own keys: fewer rows are the first ones."""
    keys = jax.vmap(lambda s: jax.random.fold_in(key, s))(jnp.arange(seeds))
    block = lambda k, r: _draw(features, LEAST_ROWS, unit, jax.random.fold_in(k, r))
    one = lambda k: jnp.moveaxis(jax.lax.map(partial(block, k), jnp.arange(rows // LEAST_ROWS)), 0, 1)
    return keys, jax.vmap(one)(keys).reshape(seeds, features.n, rows)


def _train(samples, decay, start, data, shared, *, readout, unit, fresh):
    """Every setting on the samples of every seed: W, b, training loss, loss on unseen inputs, its standard error."""
    (settings, seeds), (n, rows) = samples.shape, data[0].shape[1:]

    def one(model, shared):
        (samples, decay, seed), (unseen, features, rate, steps, start, data) = model, shared
        W, b, x, key = jax.tree.map(lambda a: a[seed], (*start, *data))
        share = (jnp.arange(rows) < samples) / samples
        again = lambda t: _draw(features, rows, unit, jax.random.fold_in(key, rows + t), lowbias) if fresh else x
        loss = lambda p, x: _errors(*p, x, readout, preactivation_in_training) @ share
        W, b = _adamw(lambda p, t: loss(p, again(t)), (W, b), decay, rate, steps)
        apart = _errors(W, b, unseen, readout)
        return W, b, loss((W, b), x), apart.mean(), apart.std() / apart.size**0.5

    models = (samples.ravel(), decay.ravel(), jnp.tile(jnp.arange(seeds), settings))
    return one, models, (*shared, start, data), max(1, min(8, 2**15 // (n * rows)))


def _adamw(objective, start, decay, rate, steps):
    """AdamW with a rate that rises at first and then falls as a cosine; the number of steps is traced."""
    adam, warm = optax.scale_by_adam(), jnp.maximum(1.0, WARM * steps)

    def step(t, carry):
        parameters, state = carry
        update, state = adam.update(jax.grad(objective)(parameters, t), state)
        fall = (1 + jnp.cos(jnp.pi * (t - warm) / jnp.maximum(steps - warm, 1))) / 2
        size = rate * jnp.where(t < warm, (t + 1) / warm, fall)
        return jax.tree.map(lambda p, u: p - size * (u + decay * p), parameters, update), state

    return jax.lax.fori_loop(0, steps, step, (start, adam.init(start)))[0]


def _errors(W, b, x, readout: str, product=preactivation):
    """The summed squared error of each input, for inputs as columns (n, inputs)."""
    return jnp.sum((x - get_readout(readout).function(product(W, b, x))) ** 2, axis=0)


def input_losses(W, b, x, *, readout: str = "relu") -> jax.Array:
    """The loss of one model on each of some inputs, Σ_i (x_i - x'_i)². W: (m, n). b: (n,). x: (inputs, n)."""
    x = check.numbers("x", x, check.MOST_PARAMETER)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}: it must be (inputs, n)")
    W, b = check.parameters(W, b, x.shape[-1])
    get_readout(readout)
    return _errors(*(jnp.asarray(a, check.dtype()) for a in (W, b, x.T)), readout)


def linear_optimum(x, m: int) -> tuple[np.ndarray, np.ndarray]:
    """The tied linear model of the lowest mean loss over given samples: their first m principal directions.

    x: (samples, n), at least m + 1 of them for a unique answer. Returns W (m, n) with orthonormal rows, and b (n,).
    Source: Eckart & Young 1936, after subtracting the mean.
    """
    x = check.numbers("x", x)
    if x.ndim != 2 or not 1 <= check.count("m", m) <= x.shape[1]:
        raise ValueError(f"x must be (samples, n) and m at most n; got x of shape {x.shape} and m = {m}")
    mean = x.mean(0)
    directions = np.linalg.eigh((x - mean).T @ (x - mean))[1][:, ::-1][:, :m].T
    return directions, mean - directions.T @ (directions @ mean)


# ---------------------------------------------------------------------------------------------- what is stored


def hidden(memory: Memory) -> np.ndarray:
    """The hidden vectors h = W x of the samples, as columns (..., m, rows); 0 from row `samples` on."""
    h = np.einsum("...mn,...tn->...mt", np.asarray(memory.W), np.asarray(memory.x))
    return np.where(np.arange(h.shape[-1]) < np.asarray(memory.samples)[..., None, None], h, 0.0)


def dimension_share(V) -> np.ndarray:
    """The mean dimensionality of some vectors, weighted with their squared lengths: Σ|v|²D / Σ|v|².

    V: (..., m, k), vectors as columns. A regular polygon of k vectors beside others of length 0 has 2/k. Where all
    count the same, the mean of D is about m/k for nearly any cloud of k vectors, whatever was learned.
    Returns (...).
    """
    square = np.asarray(norms(V), np.float64) ** 2
    return (square * np.asarray(feature_dimensionality(V))).sum(-1) / square.sum(-1)


def unevenness(V, least: float = 0.5) -> float:
    """How unevenly vectors of the plane point: the spread of the angles between neighbours, over their mean.

    V: (2, k). least: vectors shorter than this share of the longest do not count. The spread is the standard
    deviation. Returns 0 for a regular polygon (a digon too), near 1 for many random directions; 0 as well where a
    single vector is left.
    """
    V = check.numbers("V", V)
    if V.ndim != 2 or len(V) != 2:
        raise ValueError(f"V has shape {V.shape}: it must be (2, k), vectors of the plane as columns")
    angle = np.sort(np.arctan2(*V[:, kept(V, least)][::-1]))
    gap = np.diff(angle, append=angle[:1] + 2 * np.pi)
    return float(gap.std() / gap.mean())


def kept(V, least: float = 0.5) -> np.ndarray:
    """Which columns of V (..., m, k) have at least this share of the greatest length: booleans (..., k)."""
    length = np.asarray(norms(V), np.float64)
    return (length >= least * length.max(-1, keepdims=True)) & (length > 0)


SCORES = (
    "train", "test", "error", "sample_D", "sample_share", "sample_uneven", "sample_kept", "feature_D", "feature_share",
    "feature_uneven", "feature_kept", "longest", "bias",
)  # fmt: skip


def scores(memory: Memory) -> dict[str, np.ndarray]:
    """What a table says of each model, by name, (settings, seeds).

    train, test, error: as in the Memory. Of the hidden vectors of the samples, and of the columns of W: the mean
    dimensionality (_D), `dimension_share`, `unevenness` (NaN unless m = 2), and how many are `kept`. longest: the
    greatest length of a column of W. bias: the mean of b.
    """
    W, h = np.asarray(memory.W), hidden(memory)
    found = {name: np.asarray(getattr(memory, name), float) for name in SCORES[:3]}
    for name, V, count in (("sample", h, np.asarray(memory.samples)), ("feature", W, W.shape[-1])):
        found[f"{name}_D"] = np.asarray(feature_dimensionality(V)).sum(-1) / count
        found[f"{name}_share"], found[f"{name}_kept"] = dimension_share(V), kept(V).sum(-1)
        uneven = [unevenness(one) if len(one) == 2 else np.nan for one in V.reshape(-1, *V.shape[-2:])]
        found[f"{name}_uneven"] = np.reshape(uneven, V.shape[:-2])
    found |= {"longest": np.asarray(norms(W)).max(-1), "bias": np.asarray(memory.b).mean(-1)}
    return {name: found[name] for name in SCORES}


# ---------------------------------------------------------------------------------------------- checks


def _check_single(features) -> None:
    check_features(features)
    if features.shape:
        raise ValueError(f"features must be one distribution; their batch shape is {features.shape}")


def _settings(samples, decay) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of samples and weight decays, one for each setting."""
    samples, decay = check.numbers("samples", samples), check.numbers("weight_decay", decay)
    shape = check.broadcastable("samples and weight_decay", samples.shape, decay.shape, (1,))
    if len(shape) > 1:
        raise ValueError(f"samples and weight_decay must be numbers or have one axis; got the axes {shape}")
    if (samples < 1).any() or (samples != np.round(samples)).any() or (samples > MOST_SAMPLES).any():
        raise ValueError(f"samples must be whole numbers from 1 to {MOST_SAMPLES}, got {samples.tolist()}")
    if (decay < 0).any() or (decay > 10).any():
        raise ValueError(f"weight_decay must lie in [0, 10], got {decay.tolist()}")
    return np.broadcast_to(samples, shape).astype(int), np.broadcast_to(decay, shape)


def _rows(samples: int) -> int:
    """Samples are padded to the next of 8, 32, 128, 512, ..., so that a slider seldom compiles."""
    rows = LEAST_ROWS
    while rows < samples:
        rows *= 4
    return rows
