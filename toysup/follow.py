"""Follow a solution while a parameter moves: each model of a path starts where the one before it ended."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toysup import check, saddles
from toysup import loss as losses
from toysup.features import Features, check_features
from toysup.model import get_readout
from toysup.optimise import bfgs

SHORT = 0.02  # the longest step, in parameter space: weights are of order 1, valleys some tenths wide


class Path(NamedTuple):
    """The solutions along a path. The batch axes (...) are those of the start."""

    W: jax.Array  # (..., points, m, n)
    b: jax.Array  # (..., points, n)
    loss: jax.Array  # (..., points) expected loss


def path(
    W, b, features: Features, *, importance=1.0, readout: str = "relu", nudge: float = 1e-3, steps: int = 150, key
) -> Path:
    """Go on training from a given model while density or importance moves, and stay in its valley while there is one.

    At every point of the path the parameters get a small random push and then descend the exact loss by short steps.
    The push lets a solution leave a saddle, on which it could otherwise stay. It crosses a ridge only where that is
    hardly higher than the push; just where a path leaves such a valley is rounding: see `end_of_valley`.

    W: (..., m, n), b: (..., n), where to start; leading axes are several starts. features: with one batch axis, the
    points of the path. importance: scalar, (n,) or (points, n). readout: "relu", "abs" or "gelu".
    nudge: standard deviation of the push. steps: of BFGS at each point, none longer than 0.02.
    key: a JAX random key. Returns a `Path`.
    Errors: ValueError or TypeError that names the argument.
    """
    get_readout(readout)
    check_features(features)
    check.key(key)
    W, b = check.parameters(W, b, features.n)
    importance, steps = check.importance(importance, features.n), check.count("steps", steps)
    nudge = _small("nudge", nudge)
    if losses.objective_of(features, readout, "exact") == "moments":
        raise ValueError("readout='linear' has one valley only: there is nothing to follow")
    points = check.broadcastable("features and importance", features.shape, importance.shape[:-1])
    if len(points) != 1:
        raise ValueError(f"features and importance must have one axis, the points of the path; got the shape {points}")
    shape = check.broadcastable("W and b", W.shape[:-2], b.shape[:-1])
    flat = lambda a, keep: jnp.broadcast_to(jnp.asarray(a, check.dtype()), shape + a.shape[a.ndim - keep :]).reshape(
        -1, *a.shape[a.ndim - keep :]
    )
    found = _follow(
        flat(W, 2), flat(b, 1), losses.flat_features(features, points),
        losses.flat_importance(importance, points, features.n),
        (losses.lines(features, losses.COARSE), losses.lines(features, losses.FINE)), nudge, key,
        readout=readout, steps=steps,
    )  # fmt: skip
    return Path(*(a.reshape(*shape, *a.shape[1:]) for a in found))


@partial(jax.jit, static_argnames=("readout", "steps"))
def _follow(W, b, features, importance, tables, nudge, key, *, readout, steps) -> Path:
    def one(start, key):
        def point(model, at):
            features, importance, key = at
            push = nudge * jax.random.normal(key, model[0].shape, model[0].dtype)
            lost = lambda model, table: losses.exact_loss(
                *model, table, losses.line_weights(features, table), importance, get_readout(readout)
            )
            scale = 3 / (importance @ features.density)
            start = (model[0] + push, model[1])
            model = bfgs(lambda p: scale * lost(p, tables[0]), start, steps, longest=SHORT)
            return model, Path(*model, lost(model, tables[1]))

        keys = jax.random.split(key, importance.shape[0])
        return jax.lax.scan(point, start, (features, importance, keys))[1]

    return jax.vmap(one)((W, b), jax.random.split(key, W.shape[0]))


def end_of_valley(W, b, problem, first: float, second: float) -> float:
    """Where a valley ends in a fold while a parameter moves: there its smallest curvature vanishes.

    At a fold, where a valley meets a pass, the square of that curvature falls to 0 in a straight line. So its bottom is
    followed in double precision, each time through most of what the line through the last two squares leaves. No push,
    no step of training: the answer does not depend on rounding.

    W: (m, n), b: (n,), near the bottom at the first value. problem: a function of the parameter that returns features
    and importance. first, second: two values of the parameter, the second one nearer to the end.
    Returns the parameter at the end. Raises ValueError where no such end is found.
    """
    values, squares, value = [], [], float(first)
    for _ in range(15):
        features, importance = problem(value)
        found = saddles.settle(W, b, features, importance=importance)
        if found.index or found.slope > 1e-9:
            raise ValueError(f"there is no valley to follow at {value:g}")
        W, b, values, squares = found.W, found.b, [*values, value], [*squares, found.curvatures[0] ** 2]
        if len(values) < 2:
            value = float(second)
            continue
        end = values[-1] - squares[-1] * (values[-1] - values[-2]) / (squares[-1] - squares[-2])
        if abs(end - values[-1]) < 1e-3 * abs(end):
            return end
        value = end + 0.3 * (values[-1] - end)
    raise ValueError(f"no end of the valley found from {first:g} on")


def _small(name: str, x) -> float:
    x = check.numbers(name, x)
    if x.ndim or not 0 <= x <= 0.1:
        raise ValueError(f"{name} must be one number from 0 to 0.1, got {x}")
    return float(x)
