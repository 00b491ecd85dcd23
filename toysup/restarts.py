"""Every model from every start, and the best of them afterwards.

One rule for all kinds of models: training refuses with an error where a restart diverged (its loss is NaN or
infinite); where that could not be seen, under a JAX transformation, such a restart is never chosen and counts as
having reached nothing. Of losses that are equal up to rounding (`TIE`) the first start is taken.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check

# Relative: losses so close are equal up to rounding. Mirror images of one solution, trained in float32 until they stop,
# differ by up to 7e-7; different valleys begin at about 7e-6 (five and six features, densities 0.01 to 0.5).
TIE = 3e-6
NOTHING = 1e-11  # of the loss of a model that always answers 0: so little is rounding alone, where a loss can be 0


def from_every_start(models, starts):
    """Pair every model with every start, for `over_models`.

    models: pytree whose leaves have the models as leading axis. starts: pytree whose leaves have the starts there.
    Returns (models, starts), both with models · starts as leading axis; the starts of a model stand side by side.
    """
    count, restarts = (jax.tree.leaves(tree)[0].shape[0] for tree in (models, starts))
    repeat = lambda a: jnp.repeat(a, restarts, axis=0)
    tile = lambda a: jnp.tile(a, (count, *[1] * (a.ndim - 1)))
    return jax.tree.map(repeat, models), jax.tree.map(tile, starts)


def pick(at, values):
    """Of each model the restart `at`: at (...), each leaf of values (..., restarts, *rest) -> (..., *rest)."""
    axis = at.ndim
    index = lambda a: at.reshape(*at.shape, *[1] * (a.ndim - axis))
    return jax.tree.map(lambda a: jnp.take_along_axis(a, index(a), axis).squeeze(axis), values)


def lowest(loss, axis: int = -1, nothing=0.0) -> jax.Array:
    """Which restart has the lowest loss: the first of those within a relative `TIE` of it, never one that diverged.

    loss: (..., restarts, ...), restarts along `axis`. nothing: what counts as no difference besides, one number or
    one for each model. Returns their numbers, without that axis.
    Errors: ValueError where all restarts of a model diverged.
    """
    if check.is_traced(loss):
        return jnp.argmax(_near(loss, axis, TIE, nothing), axis)
    loss = np.asarray(loss)
    lost = ~np.isfinite(loss).any(axis)
    if lost.any():
        raise ValueError(f"there is no best restart: all {loss.shape[axis]} of {lost.sum()} models diverged")
    return jnp.asarray(np.argmax(_near(loss, axis, TIE, nothing), axis))  # by NumPy: no program to compile


def reached(loss, within: float, nothing=0.0, axis: int = -1) -> jax.Array:
    """How many restarts came within a share `within` of the lowest loss of their model, or so near that both are 0.

    loss: (..., restarts, ...), restarts along `axis`. nothing: what counts as no difference, broadcast to the counts.
    Returns whole numbers, without that axis; restarts that diverged count as none.
    """
    return jnp.sum(_near(loss, axis, within, nothing), axis)


def _near(loss, axis, within, nothing):
    """Which losses are within a share, or a difference, of the lowest finite one."""
    xp = np if isinstance(loss, np.ndarray) else jnp
    least = xp.where(xp.isfinite(loss), loss, np.finfo(loss.dtype).max).min(axis, keepdims=True)
    nothing = xp.expand_dims(xp.asarray(nothing, loss.dtype), axis) if xp.ndim(nothing) else nothing
    return xp.isfinite(loss) & (loss <= least + within * xp.abs(least) + nothing)


@jax.jit
def rounding(features, importance):
    """What is rounding alone in the loss of each model (...): `NOTHING` of what answering always 0 loses, Σ I p / 3."""
    return NOTHING / 3 * jnp.sum(importance * features.density, -1)


_pick = jax.jit(pick)


def best(fit, axis: int, names, by: str = "loss", nothing=0.0):
    """A result reduced to the best restart of each model: `fit` itself where that was done before.

    fit: a dataclass. axis: where its field `by` has the restarts; so many axes are those of the models. names: of the
    other fields that have restarts on the same axis. nothing: as for `lowest`.
    """
    loss = getattr(fit, by)
    if loss.ndim == axis:
        return fit
    return dataclasses.replace(
        fit, **_pick(lowest(loss, axis, nothing), {name: getattr(fit, name) for name in (by, *names)})
    )


def refuse_divergence(loss, rate, name: str = "learning_rate") -> None:
    """Say so where restarts diverged: ValueError with their number. loss: of any shape. rate: of learning."""
    lost = 0 if check.is_traced(loss) else int((~np.isfinite(loss)).sum())
    if lost:
        raise ValueError(f"{name}={float(rate):g} is too large: {lost} of {loss.size} restarts diverged")
