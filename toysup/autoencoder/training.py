"""Train many sparse autoencoders at once: over the sparsity, the width and the seed, in one compiled program."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toysup import check
from toysup.autoencoder.variants import (
    BANDWIDTH,
    COUNTED,
    VARIANTS,
    Autoencoder,
    auxiliary,
    dictionary,
    initial,
    loss,
)
from toysup.features import Features, check_features, lowbias, sample_columns
from toysup.runtime import over_models

DEAD = ("none", "resample", "restart", "auxiliary", "both")
ROUNDS = 10  # training is cut into so many rounds
IDLE = 1e-4  # a latent of a lower density in one round is idle at its end, and may start again
WARM_UP = 0.2  # share of the steps over which the penalty grows to its full weight
SCALE_SAMPLE = 2**14
LEAST_SPREAD, MOST_ACTIVATION = 1e-12, 1e12  # of inputs: float32 holds their squares


@partial(jax.tree_util.register_dataclass, data_fields=["features", "W"], meta_fields=[])
@dataclasses.dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden activations of a toy model as a source of inputs, drawn anew at every step: h = W x.

    features: n features, without batch axes. W: (m, n).
    """

    features: Features
    W: jax.Array


def train(
    source,
    latents: int,
    *,
    variant: str = "relu",
    sparsity,
    width=None,
    seeds: int = 1,
    steps: int = 2000,
    learning_rate: float = 3e-3,
    batch: int = 512,
    dead: str = "none",
    frozen: bool = False,
    bandwidth: float = BANDWIDTH,
    key,
) -> Autoencoder:
    """Train sparse autoencoders on activations.

    source: activations, an array (inputs, d) from which batches are drawn, or `Hidden` of a toy model.
    latents: size of the dictionary. variant: one of `VARIANTS`. sparsity: scalar or (...), one autoencoder for each:
        the number of latents per input for topk, batchtopk and matryoshka, the weight of the penalty for the others
        (inputs are scaled to a mean squared distance of 1 from their mean). width: scalar or (...), how many of the
        latents are used (default: all); sizes differ within one program. seeds: random starts for each.
    steps, learning_rate: of Adam, whose rate falls to 0 as a cosine. batch: inputs per step.
    dead: what is done about latents that are never active: "none", "resample" (start again at what is left of inputs
        that are rebuilt badly), "restart" (at those inputs themselves, as Bricken et al. 2023 do), "auxiliary" (Gao et
        al. 2024: those silent on a tenth of the inputs learn the residual until they fire), "both" (the first and the
        last).
    frozen: keep the random dictionary and train only the rest: the baseline of a table.
    bandwidth: of jumprelu's smoothed step, and its first threshold, in units of the inputs' spread.
    key: a JAX random key.
    Returns an Autoencoder with batch axes (..., seeds). Errors: ValueError or TypeError that names the argument,
    before anything is compiled.
    """
    latents, seeds, steps = check.count("latents", latents), check.count("seeds", seeds), check.count("steps", steps)
    batch, rate = check.count("batch", batch), check.positive("learning_rate", learning_rate, most=1.0)
    bandwidth = float(check.positive("bandwidth", bandwidth, most=1.0))
    check.choice("variant", variant, VARIANTS)
    check.choice("dead", dead, DEAD)
    check.key(key)
    sparsity = _sparsity(variant, sparsity, latents)
    width = _width(width, latents)
    shape = check.broadcastable("sparsity and width", sparsity.shape, width.shape)
    check.room(f"{latents} latents for {int(np.prod(shape)) * seeds} autoencoders", 16 * batch * latents * seeds)
    source = check_source(source)  # the last check: it moves the inputs to the device
    each = [np.broadcast_to(a, shape).ravel().repeat(seeds) for a in (sparsity, width)]
    used = latents if (width == latents).all() else None
    models = over_models(
        _train, len(each[0]), source, *map(jnp.asarray, each), jnp.asarray(rate, check.dtype()), key,
        latents=latents, variant=variant, used=used, seeds=seeds, steps=steps, batch=batch, dead=dead,
        frozen=bool(frozen), bandwidth=bandwidth,
    )  # fmt: skip
    return jax.tree.map(lambda a: a.reshape(*shape, seeds, *a.shape[1:]), models)


def check_source(source):
    """`Hidden`, or an array (inputs, d) of finite numbers; else an error for people."""
    if isinstance(source, Hidden):
        check_features(source.features)
        W = check.numbers("W", source.W, MOST_ACTIVATION)
        if W.ndim != 2 or W.shape[1] != source.features.n or source.features.shape:
            raise ValueError(f"Hidden needs W (m, {source.features.n}) and features without batch axes; got {W.shape}")
        if np.abs(W).max() < LEAST_SPREAD:
            raise ValueError("W of Hidden is 0: there is nothing to explain")
        return Hidden(source.features, jnp.asarray(W, check.dtype()))
    rows = check.numbers("source", source, MOST_ACTIVATION)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"source must have shape (inputs, d) with at least two inputs, got {rows.shape}")
    rows = rows.astype(check.dtype())
    if np.ptp(rows, axis=0).max() < LEAST_SPREAD:
        raise ValueError("source is the same input again and again: there is nothing to explain")
    return jnp.asarray(rows)


def _sparsity(variant, sparsity, latents):
    sparsity = check.numbers("sparsity", sparsity)
    if (sparsity < 0).any() or (variant in COUNTED and ((sparsity < 1) | (sparsity > latents)).any()):
        allowed = f"between 1 and {latents}, a number of latents" if variant in COUNTED else "not negative, a weight"
        raise ValueError(f"sparsity of {variant} must be {allowed}; got {np.min(sparsity):g} to {np.max(sparsity):g}")
    return np.asarray(sparsity, check.dtype())


def _width(width, latents):
    width = check.numbers("width", latents if width is None else width)
    if ((width < 1) | (width > latents) | (width % 1 != 0)).any():
        raise ValueError(f"width must be a whole number between 1 and latents={latents}, got {width.tolist()}")
    return np.asarray(width, np.int32)


# ------------------------------------------------------------------------------------------ the program


def _train(
    source, sparsity, width, rate, key, *, latents, variant, used, seeds, steps, batch, dead, frozen, bandwidth
):  # fmt: skip
    start_key, data_key, scale_key = jax.random.split(key, 3)
    sample = draw(source, SCALE_SAMPLE, scale_key)
    mean = sample.mean(0)
    scale = jnp.sqrt(jnp.sum((sample - mean) ** 2, -1).mean())
    which = jnp.tile(jnp.arange(seeds), len(sparsity) // seeds)

    def one(problem, shared):
        (sparsity, width, which), (source, mean, scale, rate) = problem, shared
        first_key = jax.random.fold_in(start_key, which)
        model = initial(latents, sample.shape[1], variant, sparsity, bandwidth=bandwidth, key=first_key)
        model = dataclasses.replace(model, c=mean / scale)
        inputs = lambda key: draw(source, batch, key) / scale
        alive = jnp.arange(latents) < width
        model = _fit(model, inputs, sparsity, alive, used, rate, steps, dead, frozen, data_key)
        return _unscaled(model, scale, alive)

    return one, (sparsity, width, which), (source, mean, scale, rate), 4


def draw(source, batch: int, key) -> jax.Array:
    """Inputs from a source, (batch, d)."""
    if isinstance(source, Hidden):
        return (source.W @ sample_columns(source.features, batch, key=key, uniform=lowbias)).T
    return source[jax.random.randint(key, (batch,), 0, len(source))]


def _fit(model, inputs, sparsity, alive, used, rate, steps, dead, frozen, key):
    """Rounds of Adam; between them dead latents may start again."""
    rule, per_round = optax.scale_by_adam(b1=0.9, b2=0.999), -(-steps // ROUNDS)
    counted = model.variant in COUNTED

    def step(carry, t):
        model, state, active, quiet = carry
        weight = sparsity if counted else sparsity * jnp.minimum(1.0, (t + 1) / (WARM_UP * steps))
        idle = alive & (quiet >= per_round)  # for the auxiliary loss; a latent leaves it as soon as it fires
        h = inputs(jax.random.fold_in(key, t))
        slope, (fires, cut) = _slope(model, h, weight, alive, used, idle, dead, frozen)
        update, state = rule.update(slope, state)
        size = rate * (1 + jnp.cos(jnp.pi * jnp.minimum(t / steps, 1.0))) / 2
        model = optax.apply_updates(model, jax.tree.map(lambda u: -size * u, update))
        if model.variant in ("batchtopk", "matryoshka"):
            model = dataclasses.replace(model, cut=jnp.where(t == 0, cut, 0.99 * model.cut + 0.01 * cut))
        return (model, state, active + fires, jnp.where(fires > 0, 0, quiet + 1)), None

    def a_round(carry, r):
        model, state, quiet = carry
        carry = (model, state, jnp.zeros(len(alive)), quiet)
        (model, state, active, quiet), _ = jax.lax.scan(step, carry, r * per_round + jnp.arange(per_round))
        if dead in ("resample", "restart", "both"):
            idle = alive & (active < IDLE * per_round)
            again = idle & (r < 0.7 * ROUNDS)  # who starts again late has no time to learn
            key_now = jax.random.fold_in(key, steps + ROUNDS + r)
            model, state = _resample(model, state, inputs, sparsity, again, alive & ~idle, dead, frozen, key_now)
            quiet = jnp.where(again, 0, quiet)
        return (model, state, quiet), None

    carry = (model, rule.init(model), jnp.zeros(len(alive), jnp.int32))
    return jax.lax.scan(a_round, carry, jnp.arange(ROUNDS))[0][0]


def _slope(model, h, weight, alive, used, idle, dead, frozen):
    def objective(model):
        value, (a, residual, cut) = loss(model, h, weight, alive, used)
        if dead in ("auxiliary", "both"):
            value = value + auxiliary(model, h, residual, idle)
        return value, ((a > 0).mean(0), cut)

    slope, seen = jax.grad(objective, has_aux=True)(model)
    if frozen:
        slope = dataclasses.replace(slope, D=jnp.zeros_like(slope.D))
    return slope, seen


def _resample(model, state, inputs, sparsity, again, active, dead, frozen, key):
    """Latents named by `again` start at inputs with large error; the optimiser forgets them."""
    pick_key, data_key = jax.random.split(key)
    h = inputs(data_key)
    _, (_, residual, _) = loss(model, h, sparsity, active | again)
    error = jnp.sum(residual**2, -1)
    chosen = jax.random.categorical(pick_key, 2 * jnp.log(error + 1e-12), shape=again.shape)
    toward = (h - model.c if dead == "restart" else residual)[chosen]
    direction = toward / jnp.maximum(jnp.linalg.norm(toward, axis=-1, keepdims=True), 1e-12)
    length = jnp.sum(jnp.linalg.norm(model.E, axis=-1) * active) / jnp.maximum(active.sum(), 1)
    put = lambda new, old: jnp.where(again.reshape(-1, *[1] * (old.ndim - 1)), new, old)
    short = 1.0 if model.variant in COUNTED else 0.2  # where latents compete, a short one would never win
    E, b = put(short * length * direction, model.E), put(0.0, model.b)
    D = model.D if frozen else put(direction, model.D)
    forget = lambda moments: dataclasses.replace(
        moments, E=put(0.0, moments.E), b=put(0.0, moments.b), D=put(0.0, moments.D)
    )
    state = state._replace(mu=forget(state.mu), nu=forget(state.nu))
    return dataclasses.replace(model, E=E, b=b, D=D), state


def _unscaled(model, scale, alive):
    """The same autoencoder for inputs as they come; latents outside the width never fire."""
    first, second = model.extra
    if model.variant == "jumprelu":
        first, second = first + jnp.log(scale), second * scale
    if model.variant == "gated":
        second = second * scale
    cut = model.cut if model.variant == "topk" else model.cut * scale
    mask = alive[:, None]
    D = jnp.where(mask, dictionary(model), 0.0)
    E, b = jnp.where(mask, model.E, 0.0), jnp.where(alive, model.b * scale, -1.0)
    return dataclasses.replace(model, E=E, b=b, D=D, c=model.c * scale, extra=jnp.stack([first, second]), cut=cut)
