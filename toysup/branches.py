"""Five features in two dimensions, one of which differs: its two plans as branches, and where two curves cross."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from toysup import check, follow, geometry
from toysup.features import Features, independent


def one_differs(density, ratio, n: int = 5, feature: int = 0) -> Features:
    """Independent features of one density, except one that is `ratio` times as often active.

    density: of the others, scalar or (...). ratio: above 0, scalar or (...), with ratio * density at most 1.
    n: the number of features. feature: which one differs. Leading axes broadcast.
    Returns Features with the batch axes (...). Raises ValueError for what is out of range.
    Source: Elhage et al. 2022, "Perturbing a Single Feature".
    """
    n, feature = check.count("n", n), check.count("feature", feature, least=0)
    if feature >= n:
        raise ValueError(f"feature must lie between 0 and {n - 1}, got {feature}")
    density, ratio = check.density(density), check.numbers("ratio", ratio)
    if not check.is_traced(ratio) and (ratio <= 0).any():
        raise ValueError(f"ratio must be above 0, got {ratio.min():g}")
    check.broadcastable("density and ratio", density.shape, ratio.shape)
    own = density * ratio
    if not check.is_traced(own) and own.max() > 1 + 1e-9:
        raise ValueError(f"ratio * density must be at most 1, got {own.max():g}")
    differs = jnp.arange(n) == feature
    return independent(jnp.where(differs, jnp.minimum(own, 1.0)[..., None], density[..., None]))


def branch(plan: str, density: float, ratios, *, key) -> follow.Path:
    """Follow one plan of five features in two dimensions while the relative density of feature 0 changes.

    plan: "pentagon"; "digons", the other four as a square, feature 0 with arrow 0 and its mean as answer; or "silent
    digons", where it has a negative bias and so the answer 0. density: of the other four. ratios: (k,), in the order
    in which they are followed; where the plan ceases to be a minimum, the path goes on with another one.
    key: a JAX random key. Returns a `toysup.follow.Path` of k models. Errors name the argument.
    Source: Elhage et al. 2022, "Perturbing a Single Feature" (the two plans).
    """
    check.choice("plan", plan, ("pentagon", "digons", "silent digons"))
    ratios = check.numbers("ratios", ratios)
    if ratios.ndim != 1:
        raise ValueError(f"ratios must be a flat sequence, got an array of shape {ratios.shape}")
    if np.ndim(density):
        raise ValueError(f"density must be one number, got an array of shape {np.shape(density)}")
    features = one_differs(density, ratios)
    if plan == "pentagon":
        return follow.path(1.1 * geometry.polygon(5), np.full(5, -0.2), features, key=key)
    W = np.concatenate([np.zeros((2, 1)), geometry.polygon(4)], axis=1)
    own = density * ratios[0] / 2 if plan == "digons" else -0.2
    return follow.path(W, np.array([own, 0, 0, 0, 0]), features, key=key)


class Crossing(NamedTuple):
    """Where two curves cross: x and y there, and the slope dy/dx of each."""

    x: float
    y: float
    slopes: tuple[float, float]


def crossing(x, first, second) -> Crossing:
    """Where two curves, given at the same points, cross: parabolas through the three nearest points of each.

    x: (k,), increasing, k at least 3. first, second: (k,).
    Raises ValueError where the curves cross not once but never or more often.
    """
    x, first, second = (check.numbers(name, a) for name, a in (("x", x), ("first", first), ("second", second)))
    if x.ndim != 1 or len(x) < 3 or (np.diff(x) <= 0).any():
        raise ValueError("x must be at least three numbers that increase")
    if first.shape != x.shape or second.shape != x.shape:
        raise ValueError(f"first and second must have shape {x.shape} as x has, got {first.shape} and {second.shape}")
    apart = first - second
    change = np.flatnonzero(np.signbit(apart[1:]) != np.signbit(apart[:-1]))
    if len(change) != 1:
        span = f"between x = {x[0]:g} and {x[-1]:g}"
        raise ValueError(f"the curves must cross once {span}; they cross {len(change)} times")
    k = int(change[0])
    first_of_three = min(max(0, k - int(abs(apart[k]) < abs(apart[k + 1]))), len(x) - 3)
    near = slice(first_of_three, first_of_three + 3)
    curves = [np.polynomial.Polynomial.fit(x[near], y[near], 2) for y in (first, second)]
    at = _root(lambda x: curves[0](x) - curves[1](x), *x[k : k + 2])
    return Crossing(at, float(curves[0](at)), tuple(float(c.deriv()(at)) for c in curves))


def _root(function, left: float, right: float) -> float:
    """Where a function is 0 between two points at which it has different signs, or is 0 up to rounding."""
    at_left, at_right = function(left), function(right)
    if at_left * at_right >= 0:
        return float(left if abs(at_left) < abs(at_right) else right)
    return float(brentq(function, left, right))
