"""Sparse autoencoders: an encoder that finds a few active latents, and a dictionary that rebuilds the activations.

pre = (h - c) Eᵀ + b, a = the variant's way to keep a few of them, h' = a D + c, where the rows of D, the dictionary,
have length 1. Inputs are rows here, h (..., d), as is usual for activations of a network; latents are rows of E and D.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check

BANDWIDTH = 0.05  # of JumpReLU's straight-through estimate, and its first threshold (paper: 0.001)
HALVINGS = 30  # of an interval that holds the cut between latents kept and dropped
AUXILIARY, NOTHING = 1 / 32, 1e-9  # weight of the loss that wakes dead latents; a residual that is none
PREFIXES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the dictionary, for Matryoshka


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["E", "b", "D", "c", "extra", "cut"],
    meta_fields=["variant"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Autoencoder:
    """Parameters of one sparse autoencoder, or of many with batch axes in front.

    E: (..., latents, d) encoder. b: (..., latents) its bias. D: (..., latents, d) dictionary; its rows have length 1
    once trained. c: (..., d) bias of the decoder, taken off the inputs. extra: (..., 2, latents) what a variant needs
    besides: log gain and bias of the magnitudes (gated), log threshold and bandwidth (jumprelu), zeros (others).
    cut: (...) what a pre-activation must exceed: k of them for topk, a learned number for batchtopk and matryoshka,
    0 for others. variant: one of `VARIANTS`.
    """

    E: jax.Array
    b: jax.Array
    D: jax.Array
    c: jax.Array
    extra: jax.Array
    cut: jax.Array
    variant: str

    @property
    def latents(self) -> int:
        """How many latents the dictionary has."""
        return self.b.shape[-1]


class Parts(NamedTuple):
    """What the loss of a variant is made of: latents (batch, latents), the penalty (batch,), and the cut it used."""

    a: jax.Array
    penalty: jax.Array
    cut: jax.Array


def preactivations(model: Autoencoder, h) -> jax.Array:
    """(h - c) Eᵀ + b for one model: h (batch, d) -> (batch, latents)."""
    return (h - model.c) @ model.E.T + model.b


def decode(model: Autoencoder, a) -> jax.Array:
    """Rebuild the inputs from latents: a (..., latents) -> (..., d), for one model."""
    return a @ dictionary(model) + model.c


def dictionary(model: Autoencoder) -> jax.Array:
    """The directions of the latents, rows of length 1, (..., latents, d)."""
    return model.D / jnp.maximum(jnp.linalg.norm(model.D, axis=-1, keepdims=True), 1e-12)


def encode(model: Autoencoder, h) -> jax.Array:
    """The latents of inputs, as they are outside training.

    model: one autoencoder (no batch axes; take one with `pick`). h: (..., d).
    Returns (..., latents), not negative. Errors: ValueError where the shapes do not fit.
    """
    _check_one(model)
    d = model.c.shape[-1]
    h = jnp.asarray(check.numbers("h", h), check.dtype())
    if h.ndim < 1 or h.shape[-1] != d:
        raise ValueError(f"h must have shape (..., {d}), as the autoencoder was trained on; got {h.shape}")
    return _encode(model, h.reshape(-1, d)).reshape(*h.shape[:-1], -1)


@jax.jit
def _encode(model, h):
    return _AFTER.get(model.variant, VARIANTS[model.variant])(model, preactivations(model, h), 0.0).a


def reconstruct(model: Autoencoder, h) -> jax.Array:
    """The inputs rebuilt from their latents, h (..., d) -> (..., d), for one model."""
    return decode(model, encode(model, h))


def pick(models: Autoencoder, *index) -> Autoencoder:
    """One autoencoder of many, by its indices along the batch axes."""
    return jax.tree.map(lambda leaf: leaf[index], models)


def _check_one(model) -> None:
    if not isinstance(model, Autoencoder):
        raise TypeError(f"an Autoencoder is needed, got {model!r:.60}")
    if model.b.ndim != 1:
        raise ValueError(f"one autoencoder is needed, got {model.b.shape[:-1]} of them; take one with pick(models, i)")


# ------------------------------------------------------------------------------------------ the variants
# Each takes (model, pre-activations (batch, latents), sparsity) and returns Parts.


def relu(model, pre, sparsity) -> Parts:
    """ReLU latents with an L1 penalty. Source: Bricken et al. 2023, appendix on the autoencoder."""
    a = jax.nn.relu(pre)
    return Parts(a, sparsity * a.sum(-1), jnp.zeros(()))


def gated(model, pre, sparsity) -> Parts:
    """One half of the encoder says which latents are active, the other how much. Source: Rajamanoharan et al. 2024a.

    The penalty sees the gate alone, so that magnitudes do not shrink; an extra reconstruction from the gate's
    own pre-activations (in `_gate_loss`) keeps it informed.
    """
    log_gain, bias = model.extra
    magnitude = jax.nn.relu(jnp.exp(log_gain) * (pre - model.b) + bias)
    return Parts((pre > 0) * magnitude, sparsity * jax.nn.relu(pre).sum(-1), jnp.zeros(()))


def topk(model, pre, sparsity) -> Parts:
    """The k largest of each input. sparsity: k. Source: Gao et al. 2024, section 2.3."""
    a = jax.nn.relu(pre)
    return Parts(a * (a > _cut(a, model.cut, axis=-1)), jnp.zeros(len(a)), model.cut)


def batchtopk(model, pre, sparsity) -> Parts:
    """The k largest for each input on average over the batch. sparsity: k. Source: Bussmann et al. 2024."""
    a = jax.nn.relu(pre)
    cut = _cut(a, sparsity * len(a), axis=None)
    return Parts(a * (a > cut), jnp.zeros(len(a)), cut)


def jumprelu(model, pre, sparsity) -> Parts:
    """What exceeds a threshold of its own; the penalty counts latents. Source: Rajamanoharan et al. 2024b."""
    threshold, bandwidth = jnp.exp(model.extra[0]), model.extra[1]
    a = _jump(jax.nn.relu(pre), threshold, bandwidth)
    return Parts(a, sparsity * _step(pre, threshold, bandwidth).sum(-1), jnp.zeros(()))


def _above_cut(model, pre, sparsity) -> Parts:
    """Batchtopk and matryoshka outside training: an input's latents must not depend on the other inputs."""
    return Parts(jax.nn.relu(pre) * (pre > model.cut), jnp.zeros(len(pre)), model.cut)


VARIANTS = {
    "relu": relu,
    "gated": gated,
    "topk": topk,
    "batchtopk": batchtopk,
    "jumprelu": jumprelu,
    "matryoshka": batchtopk,
}
_AFTER = {"batchtopk": _above_cut, "matryoshka": _above_cut}
COUNTED = ("topk", "batchtopk", "matryoshka")  # their sparsity is a number of latents


def _cut(a, count, axis):
    """A number that `count` entries of `a` (or as many as are positive) exceed, found by halving an interval.

    Much quicker on a CPU than sorting, and `count` may be traced.
    """
    a = jax.lax.stop_gradient(a)
    high = a.max(axis, keepdims=axis is not None)

    def halve(_, interval):
        low, high = interval
        middle = (low + high) / 2
        few = (a > middle).sum(axis, keepdims=axis is not None) <= count
        return jnp.where(few, low, middle), jnp.where(few, middle, high)

    return jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(high), high))[1]


@jax.custom_vjp
def _jump(a, threshold, bandwidth):
    """`a` where it exceeds the threshold; the threshold's gradient is that of a smoothed step."""
    return a * (a > threshold)


def _jump_back(kept, slope):
    a, threshold, bandwidth = kept
    near = jnp.abs(a - threshold) < bandwidth / 2
    return slope * (a > threshold), -(slope * near * threshold / bandwidth).sum(0), jnp.zeros_like(bandwidth)


_jump.defvjp(lambda *kept: (_jump(*kept), kept), _jump_back)


@jax.custom_vjp
def _step(pre, threshold, bandwidth):
    """1 where the threshold is exceeded; its gradient reaches the threshold alone."""
    return (pre > threshold).astype(pre.dtype)


def _step_back(kept, slope):
    pre, threshold, bandwidth = kept
    near = jnp.abs(pre - threshold) < bandwidth / 2
    return jnp.zeros_like(pre), -(slope * near / bandwidth).sum(0), jnp.zeros_like(bandwidth)


_step.defvjp(lambda *kept: (_step(*kept), kept), _step_back)


# ------------------------------------------------------------------------------------------ the loss


def loss(model: Autoencoder, h, sparsity, alive, used: int | None = None):
    """The training loss of one model: squared error summed over d, and what the variant adds; a mean over inputs.

    h: (batch, d). sparsity: the penalty's weight, or the number of latents. alive: (latents,) 0 for latents that the
    width masks away. used: how many it leaves, where that is known before anything is compiled.
    Returns (loss, (latents (batch, latents), residual (batch, d), cut)).
    """
    pre = jnp.where(alive, preactivations(model, h), -1.0)
    parts = VARIANTS[model.variant](model, pre, sparsity)
    residual = h - decode(model, parts.a)
    value = jnp.sum(residual**2, -1) + parts.penalty
    if model.variant == "gated":
        value = value + _gate_loss(model, pre, h)
    if model.variant == "matryoshka":
        value = value + _prefix_losses(model, parts.a, h, alive.sum() if used is None else used)
    return value.mean(), (parts.a, residual, parts.cut)


def _gate_loss(model, pre, h):
    """The error of a reconstruction from the gate's pre-activations, through a frozen decoder."""
    frozen = jax.lax.stop_gradient(dictionary(model))
    return jnp.sum((h - jax.nn.relu(pre) @ frozen - jax.lax.stop_gradient(model.c)) ** 2, -1)


def _prefix_losses(model, a, h, used):
    """The errors of reconstructions from the first latents alone, for each prefix of those used but the whole."""
    total, D = 0.0, dictionary(model)
    for share in PREFIXES[:-1]:
        if isinstance(used, int):
            size = max(1, int(share * used))
            part = a[:, :size] @ D[:size]
        else:  # widths differ within the program
            part = jnp.where(jnp.arange(len(D)) < jnp.maximum(1, jnp.floor(share * used)), a, 0.0) @ D
        total = total + jnp.sum((h - part - model.c) ** 2, -1)
    return total


def auxiliary(model: Autoencoder, h, residual, idle):
    """The share of the residual's variance that idle latents leave, with a weight of `AUXILIARY`, so that they wake up.

    h, residual: (batch, d). idle: (latents,) 1 for latents that have not been active lately; the d / 2 largest of them
    rebuild each input's residual. As a share the loss does not fade where the residual is small. Where fewer than d / 2
    latents are idle, its weight falls in proportion, as toolkits do. Source: Gao et al. 2024, appendix A.2, "AuxK",
    and their code for the share (the appendix has the plain square).
    """
    count = max(1, h.shape[-1] // 2)
    pre = jax.nn.relu(preactivations(model, h)) * idle
    a = pre * (pre > _cut(pre, count, axis=-1))
    residual = jax.lax.stop_gradient(residual)
    left = jnp.sum((residual - a @ dictionary(model)) ** 2, -1).mean()
    variance = jnp.sum((residual - residual.mean(0)) ** 2, -1).mean()
    share = jnp.where(variance > NOTHING, left / jnp.maximum(variance, NOTHING), 0.0)
    return AUXILIARY * jnp.minimum(idle.sum() / count, 1.0) * share


def initial(latents: int, d: int, variant: str, sparsity, *, bandwidth: float = BANDWIDTH, key) -> Autoencoder:
    """A random dictionary of unit rows, the encoder its copy, biases 0."""
    D = jax.random.normal(key, (latents, d), jnp.float32).astype(check.dtype())  # the same numbers in float64
    D = D / jnp.linalg.norm(D, axis=1, keepdims=True)
    extra = jnp.zeros((2, latents))
    if variant == "jumprelu":
        extra = extra.at[0].set(np.log(bandwidth)).at[1].set(bandwidth)
    cut = jnp.asarray(sparsity, check.dtype()) if variant == "topk" else jnp.zeros(())
    return Autoencoder(D, jnp.zeros(latents), D, jnp.zeros(d), extra, cut, variant)
