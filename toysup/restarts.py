"""Every model from every start, and the best of them afterwards."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from toysup import check


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


def refuse_divergence(loss, rate) -> None:
    """Say so where restarts diverged: ValueError with their number. loss: of any shape. rate: the learning rate."""
    lost = 0 if check.is_traced(loss) else int((~jnp.isfinite(loss)).sum())
    if lost:
        raise ValueError(f"learning_rate={float(rate):g} is too large: {lost} of {loss.size} restarts diverged")
