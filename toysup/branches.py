"""Five features in two dimensions, one of which differs: its plans as branches, where they cross, what parts them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from toysup import check, follow, geometry, saddles
from toysup.features import Features, independent
from toysup.train import Fit


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


def branch(plan: str, density: float, ratios, *, nudge: float = 1e-3, key) -> follow.Path:
    """Follow one plan of five features in two dimensions while the relative density of feature 0 changes.

    plan: "pentagon"; "digons", the other four as a square, feature 0 with arrow 0 and its mean as answer; or "silent
    digons", where it has a negative bias and so the answer 0. density: of the other four. ratios: (k,), in the order
    in which they are followed; where the plan ceases to be a minimum, the path goes on with another one. From a very
    shallow valley it goes sooner, the larger the push; see `rests`. nudge: the push at each ratio, as in `follow.path`.
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
    if plan == "silent digons":
        W, b = _near("digons", density, ratios[0])
        return follow.path(W, np.where(b > 0, -0.2, b), features, nudge=nudge, key=key)
    return follow.path(*_near(plan, density, ratios[0]), features, nudge=nudge, key=key)


def _near(plan: str, density, ratio):
    """W and b near the pentagon, or near the digons with feature 0 answered by its mean."""
    if plan == "pentagon":
        return 1.1 * geometry.polygon(5), np.full(5, -0.2)
    W = np.concatenate([np.zeros((2, 1)), geometry.polygon(4)], axis=1)
    return W, np.array([density * ratio / 2, 0, 0, 0, 0])


PLACES = ("pentagon", "digons", "half-way", "beside")


def rests(place: str, density: float, ratios) -> list[saddles.Stationary]:
    """Where the loss is level: two valleys and two passes, followed along the ratio, in double precision.

    place: "pentagon" or "digons", the bottoms of the two valleys; "half-way", the pass between them that is found from
    the mean of the two bottoms (for ratios from about 0.13 to 0.7 at a density of 0.05); "beside", a pass out of the
    digons on which a short arrow 0 lies on arrow 1 (from about 0.8 up). A pass has `index` 1, a valley 0; other passes,
    lower ones too, may exist. density: of the other four. ratios: (k,), in the order in which they are followed; the
    first one should lie well inside the range, and steps of up to 15 % be taken (1 is a good start for "beside").
    Returns k `saddles.Stationary`; look at `slope` and `index`: what has vanished is not found.
    Errors name the argument.
    """
    check.choice("place", place, PLACES)
    ratios = check.numbers("ratios", ratios)
    if ratios.ndim != 1 or not len(ratios):
        raise ValueError(f"ratios must be a flat sequence, got an array of shape {ratios.shape}")
    at, found = _start(place, density, float(ratios[0])), []
    for ratio in ratios:
        found.append(saddles.settle(*at, one_differs(density, float(ratio))))
        at = found[-1].W, found[-1].b
    return found


def _start(place, density, ratio):
    if place == "half-way":
        five, four = (rests(plan, density, [ratio])[0] for plan in ("pentagon", "digons"))
        turn = np.sqrt(0.5) * np.array([[1, -1], [1, 1]])  # arrow 0 of the pentagon points between two of the four
        return (five.W + turn @ four.W) / 2, (five.b + four.b) / 2
    if place == "beside":
        W, b = _near("digons", density, ratio)
        W[:, 0] = 0.035 * W[:, 1]
        return W, b - 0.01 * (np.arange(5) == 1)
    return _near(place, density, ratio)


def end_of_pentagon(density: float, ratio: float = 0.2) -> float:
    """The ratio below which the pentagon is no valley any more: there its smallest curvature vanishes.

    density: of the other four. ratio: where to begin, with the pentagon there. Returns the ratio.
    Raises ValueError where no end is found; see `follow.end_of_valley`.
    """
    problem = lambda r: (one_differs(density, r), 1.0)
    return follow.end_of_valley(*_near("pentagon", density, ratio), problem, ratio, 0.95 * ratio)


def silent(W, b):
    """Which features are answered by 0 whatever comes in: the largest reading, bias included, is not above 0.

    No gradient leads away from such an answer. W: (..., m, n). b: (..., n). Returns booleans (..., n).
    """
    W, b = np.asarray(W), np.asarray(b)
    return np.maximum(np.swapaxes(W, -1, -2) @ W, 0).sum(-1) + b <= 0  # inputs lie between 0 and 1


def awake(fit: Fit) -> follow.Path:
    """The restarts of a fit, trained on after each `silent` feature got its mean as answer.

    fit: of one distribution, with its restarts, importances 1.
    Returns a `follow.Path` with the axis of restarts in place of that of points.
    """
    b = np.where(silent(fit.W, fit.b), np.asarray(fit.features.density) / 2, np.asarray(fit.b))
    found = follow.path(fit.W, b, fit.features.broadcast_to((1,)), nudge=0.0, key=jax.random.key(0))
    return follow.Path(*(a[:, 0] for a in found))


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
