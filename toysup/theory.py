"""Closed forms that results are held against, each with its derivation.

Inputs are as everywhere: feature i is active with probability p_i (its density), and then uniform on [0, 1].
Losses are sums over features, weighted by importance, of the expected squared error. Arguments broadcast
against each other. Functions compute in float64 with NumPy where the values are known, and with JAX inside
its transformations.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.geometry import polygon, simplex  # the shapes that the closed forms are about

__all__ = [
    "TRIPLE_POINT",
    "MisreadPairs",
    "SparseLimit",
    "ThreeInTwo",
    "TwoInOne",
    "linear_loss",
    "linear_solution",
    "many_active_given_any",
    "misread_pairs",
    "no_active_loss",
    "one_active_loss",
    "polygon",
    "readings",
    "simplex",
    "sparse_limit",
    "three_in_two",
    "two_in_one",
    "two_in_one_boundary",
    "variance",
]

TRIPLE_POINT = (1.0, 4 / 7)  # (relative importance, density) where all of `two_in_one` are equally good


# ------------------------------------------------------------------------------------- linear model


def variance(density):
    """The variance V(p) = p/3 - p²/4 of an input: the least error for a feature that the model ignores.

    E[x] = p/2 and E[x²] = p/3. Ignoring a feature costs E[(x - b)²], least at the bias b = p/2.

    density: p, any shape, in (0, 1]. Returns the same shape.
    """
    p = check.density(density)
    return p / 3 - p**2 / 4


def linear_loss(density, importance, m: int):
    """The least loss of the linear model x' = WᵀW x + b: Σ I_i V(p_i) over the dropped features.

    Features are independent. With the best b the error of feature i is the variance of x_i - (M x)_i, where
    M = WᵀW. Scale the rows by √I and the columns by √V: the loss is |A - A_M|²_F, where A is diagonal with
    entries √(I_i V(p_i)) and A_M has rank at most m. No matrix of rank m is closer to a diagonal A than A with
    all but its m largest entries set to 0 (Eckart and Young), and M = diag(1 for those m features, 0 for the
    others) reaches that. So the features with the smallest I_i V(p_i) are dropped, which at equal densities
    are the least important ones, whatever the sparsity.

    density: p, a number or (..., n). importance: I, likewise; one of them has an axis of features.
    m: hidden dimensions. Returns (...).
    Source: Elhage et al. 2022, "Mathematical Understanding" (the linear model).
    """
    worth = _worth(density, importance, m)[1]
    dropped = max(worth.shape[-1] - m, 0)
    return _of(worth).sort(worth, -1)[..., :dropped].sum(-1)


def linear_solution(density, importance, m: int):
    """Which features the best linear model keeps, and its bias: WᵀW = diag(kept), b = p/2 if not kept.

    Derivation: see `linear_loss`. Among features of equal worth those with the smaller labels are kept.

    density, importance, m: as for `linear_loss`. Returns (kept, b), both (..., n), kept being 0 or 1.
    """
    p, worth = _worth(density, importance, m)
    xp = _of(worth)
    place = xp.argsort(xp.argsort(-worth, axis=-1, stable=True), axis=-1)
    kept = xp.where(place < m, 1.0, 0.0)
    return kept, (1 - kept) * p / 2


def _worth(density, importance, m):
    """Densities and I_i V(p_i), both (..., n)."""
    p, importance = check.density(density), _not_negative("importance", importance)
    if p.ndim == importance.ndim == 0:
        raise ValueError("density and importance are single numbers: one needs an axis of features, (..., n)")
    check.count("m", m)
    shape = check.broadcastable("density and importance", p.shape, importance.shape)
    worth = importance * variance(p)
    return _of(p).broadcast_to(p, shape), worth


# ---------------------------------------------------------------------- loss by number of active features


def no_active_loss(b, importance=1.0):
    """The loss when no feature is active: L_0 = Σ_i I_i ReLU(b_i)².

    The output for x = 0 is ReLU(b), the target 0. (The paper prints L_0 without the importance, which belongs
    there.)

    b: (..., n). importance: a number or (..., n). Returns (...).
    Source: Elhage et al. 2022, "Mathematical Understanding".
    """
    b, importance = check.numbers("b", b), _not_negative("importance", importance)
    if b.ndim < 1:
        raise ValueError(f"b must have an axis of features, (..., n); got the single number {b}")
    _fits(importance, b.shape[-1])
    return (importance * _of(b, importance).maximum(b, 0) ** 2).sum(-1)


def one_active_loss(W, b, importance=1.0):
    """The loss with exactly one active feature, L_1, summed over which one it is.

    L_1 = Σ_i ∫ I_i (x - ReLU(|W_i|² x + b_i))² dx + Σ_{i≠j} ∫ I_j ReLU(W_j·W_i x + b_j)² dx, x from 0 to 1.

    For n independent features of equal density p the whole loss is Σ_k p^k (1-p)^(n-k) L_k, so that
    (1-p)^n L_0 + p (1-p)^(n-1) L_1 is all of it but for terms of order p². (Each feature alone has the weight
    1 in L_1; divide by n for the mean over features.)

    Each integrand is a square of a straight line s on the part [t, t + h] of [0, 1] where it is positive.
    There ∫ s² = h (s₀² + s₀s₁ + s₁²)/3 from the values at the ends, and ∫ x s by Simpson's rule, which is
    exact for it: no division by a slope, so slopes of 0 are no special case.

    W: (..., m, n). b: (..., n). importance: a number or (..., n). Returns (...).
    Source: Elhage et al. 2022, "Mathematical Understanding".
    """
    W = check.numbers("W", W)
    W, b = check.parameters(W, b, W.shape[-1] if W.ndim else 0)
    importance = _not_negative("importance", importance)
    _fits(importance, W.shape[-1])
    xp = _of(W, b, importance)
    slope = xp.swapaxes(W, -1, -2) @ W  # row j: output, column i: the active feature
    square, _ = _integrals(slope, b[..., None], xp)
    _, product = _integrals(xp.einsum("...mi,...mi->...i", W, W), b, xp)
    return (importance * (square.sum(-1) + 1 / 3 - 2 * product)).sum(-1)


def _integrals(slope, start, xp):
    """∫ ReLU(s)² and ∫ x ReLU(s) for s = slope x + start, x from 0 to 1."""
    end = start + slope
    rises, falls = (start < 0) & (end > 0), (start > 0) & (end < 0)
    crossing = start / xp.where(rises | falls, start - end, 1)
    left, right = xp.where(rises, crossing, 0), xp.where(falls, crossing, 1)
    first, last = xp.maximum(start, 0), xp.maximum(end, 0)
    width, middle = right - left, (left + right) / 2
    square = width * (first**2 + first * last + last**2) / 3
    product = width * (left * first + 2 * middle * (first + last) + right * last) / 6
    return square, product


# -------------------------------------------------------------------------------- strategies, phase changes


class TwoInOne(NamedTuple):
    """Losses of three ways to put two features into one dimension."""

    ignore: np.ndarray  # W = [1, 0]: the second feature is dropped
    dedicate: np.ndarray  # W = [0, 1]: the second feature gets the dimension, the first is dropped
    antipodal: np.ndarray  # W = [1, -1]: both share it


def two_in_one(density, ratio) -> TwoInOne:
    """Losses for n = 2, m = 1 with importances (1, r), of the strategies ignore, dedicate and antipodal.

    A dropped feature costs its variance (`variance`), at the bias p/2: ignore r V(p), dedicate V(p). The
    antipodal pair, b = 0, reads x₁ - x₂ as ReLU(x₁ - x₂) and ReLU(x₂ - x₁): exact unless both are active
    (probability p²), and then both errors are min(x₁, x₂), with E[min²] = 2 ∫₀¹ ∫₀ˣ y² dy dx = 1/6. So
    antipodal costs (1 + r) p²/6.

    density: p. ratio: r, the importance of the second feature relative to the first, at least 0. Both of any
    shape.
    Returns a named tuple of losses. Source: Elhage et al. 2022, "Superposition as a Phase Change".
    """
    p, r = _density_and_ratio(density, ratio)
    return TwoInOne(r * variance(p), variance(p) + 0 * r, (1 + r) * p**2 / 6)


def two_in_one_boundary(density):
    """The relative importance r up to which it is best to ignore the second feature: 2p/(4 - 5p), at most 1.

    Ignore and antipodal cost the same where r (p/3 - p²/4) = (1 + r) p²/6, which is r = 2p/(4 - 5p). It
    reaches r = 1 at p = 4/7, the `TRIPLE_POINT`; above that density the antipodal pair is never best, and
    ignore gives way to dedicate at r = 1. Dedicate takes over from antipodal at the inverse, (4 - 5p)/(2p).
    With importances (1, 1, r) in two dimensions the boundary is the same one.

    density: p, any shape. Returns r, the same shape. Source: derived from `two_in_one`; compare Elhage et al.
    2022, "Superposition as a Phase Change".
    """
    p = check.density(density)
    xp = _of(p)
    return xp.where(p < 4 / 7, 2 * p / xp.where(p < 4 / 7, 4 - 5 * p, 1), 1.0)


class SparseLimit(NamedTuple):
    """Where superposition begins for n = 2, m = 1 and small densities."""

    slope: float  # c: superposition pays above the relative importance c p
    norm: float  # |W_2| just above


def sparse_limit() -> SparseLimit:
    """The onset of superposition for n = 2, m = 1 as p goes to 0, with norms left free: r = c p, |W_2| = w.

    Put r = c p and W = (1, -w). To the order p²: ignoring costs c/3; with superposition feature 2 alone costs
    c (1 - w²)²/3, and both together (feature 1 reads x₁ - w x₂) cost E[min(x, w y)²] = w²/3 - w³/6.
    Superposition pays when c > (1 - w/2) / (2 - w²). The least c has w² - 4w + 2 = 0: w = 2 - √2 and c = (2 +
    √2)/8 = 0.4268. So the second feature appears at once with the norm 0.586, a transition of first order.
    (`two_in_one_boundary`, with w = 1 imposed, has the slope 1/2.)
    """
    return SparseLimit((2 + math.sqrt(2)) / 8, 2 - math.sqrt(2))


class ThreeInTwo(NamedTuple):
    """Losses of five ways to put three features with importances (1, 1, r) into two dimensions."""

    ignore: np.ndarray  # the extra feature is dropped
    dedicate: np.ndarray  # one of the two others is dropped
    antipodal: np.ndarray  # the extra feature and one other share a dimension
    others_antipodal: np.ndarray  # the two others share a dimension, the extra feature has its own
    triangle: np.ndarray  # all three at 120 degrees


def three_in_two(density, ratio) -> ThreeInTwo:
    """Losses for n = 3, m = 2 with importances (1, 1, r), of five strategies with unit norms.

    The first four drop one feature or make one antipodal pair, and cost what they cost in `two_in_one`: r
    V(p), V(p), (1 + r) p²/6, p²/3. The unit triangle, b = 0, has cosines -1/2: one active feature is read
    exactly. With x and y active, x is read as x - y/2 (cut off at 0), and the third at 0: the error is min(x,
    y/2), E[min²] = 1/16. With all three, x is read as ReLU(x - (y + z)/2), the error is min(x, (y + z)/2),
    E[min²] = 1/6. Each pair has p² (1 - p), each feature is in two pairs, all three have p³: (2 + r) (p² (1 -
    p)/8 + p³/6) = (2 + r) (p²/8 + p³/24).

    density: p. ratio: r, at least 0. Both of any shape. Returns a named tuple of losses.
    Source: Elhage et al. 2022, "Superposition as a Phase Change" for the first four; the triangle is not in
    it.
    """
    p, r = _density_and_ratio(density, ratio)
    two, shared = two_in_one(p, r), p**2 / 3 + 0 * r
    return ThreeInTwo(*two, shared, (2 + r) * (p**2 / 8 + p**3 / 24))


# ------------------------------------------------------------------------------------- two features at once


def readings(W, active):
    """What each feature reads, WᵀW x without bias and ReLU, for x = 1 on `active` and 0 elsewhere.

    W: (..., m, n). active: the labels of the active features. Returns (..., n).
    """
    W, active = check.numbers("W", W), list(active)
    n = _features(W)
    if len(set(active)) < len(active) or not all(0 <= check.count("active", i, least=0) < n for i in active):
        raise ValueError(f"active must be different features from 0 to {n - 1}, got {active}")
    return _of(W).einsum("...mi,...m->...i", W, W[..., active].sum(-1))


class MisreadPairs(NamedTuple):
    """How many pairs of active features are read correctly, and how the others are misread."""

    pairs: int
    correct: int  # both read above 0, and above every other feature
    phantom: int  # a feature that is off reads at least as high as one of the two
    cancelled: int  # both read 0 (or less)
    lost: int  # no phantom, but one of the two reads 0 (or less); never happens with equal norms

    @property
    def misread(self) -> int:
        """Pairs that are not read correctly."""
        return self.pairs - self.correct


def misread_pairs(W, tolerance: float = 1e-9) -> MisreadPairs:
    """Read every pair of features, both 1, through WᵀW, and count the outcomes.

    Read correctly: both active features read above 0 and above all others. Otherwise, in this order:
    cancelled (neither of the two reads above 0), phantom (a feature that is off reads above 0 and at least as
    high as one of the two), lost (the rest). The bias is left out: one bias for all does not change which
    readings are the largest.

    For the regular n-gon h = W_i + W_j points half way between the two. Neighbours: nothing lies between
    them, they are read correctly (n pairs). Opposites: h = 0, they cancel (n/2 pairs, n even). All other
    pairs have a feature between them that is closer to h than they are: a phantom (n (n - 3)/2 pairs, n odd;
    n (n - 4)/2, n even; n > 3).

    W: (m, n). tolerance: differences up to this share of the largest |W_i|² count as none. Returns a
    `MisreadPairs`.
    """
    W, tolerance = check.numbers("W", W), float(_not_negative("tolerance", tolerance))
    n = _features(W)
    if W.ndim != 2:
        raise ValueError(f"misread_pairs takes one model, W of shape (m, n); got shape {W.shape}")
    G = W.T @ W
    found = [_outcome(G, i, j, tolerance * np.diag(G).max()) for i, j in itertools.combinations(range(n), 2)]
    return MisreadPairs(len(found), *(found.count(name) for name in MisreadPairs._fields[1:]))


def _outcome(G, i, j, tolerance) -> str:
    read = G[i] + G[j]
    weaker, stronger = sorted([read[i], read[j]])
    phantom = np.delete(read, [i, j]).max(initial=-np.inf)
    if stronger <= tolerance:
        return "cancelled"
    if phantom > tolerance and phantom >= weaker - tolerance:
        return "phantom"
    return "correct" if weaker > tolerance else "lost"


def many_active_given_any(density, n: int):
    """The probability that two or more of n independent features are active, given that at least one is.

    The k-th feature is the second active one in (k-1) p² (1-p)^(k-2) of all inputs and the first in p
    (1-p)^(k-1): the sums over k are P(at least 2) and P(at least 1), without the loss of digits of 1 - P(0) -
    P(1). About (n-1) p/2 when p is small. Readings of the n-gon (`misread_pairs`) go wrong in at most this
    share of the inputs that are not empty.

    density: p, any shape, the same for all features. n: features. Returns the shape of density.
    """
    p, k = check.density(density)[..., None], np.arange(1, check.count("n", n) + 1)
    second = (k[1:] - 1) * (1 - p) ** (k[1:] - 2)
    return p[..., 0] * second.sum(-1) / ((1 - p) ** (k - 1)).sum(-1)


# --------------------------------------------------------------------------------------------- checks


def _of(*arrays):
    """The array module that goes with the arguments: JAX inside its transformations, NumPy otherwise."""
    return jnp if any(check.is_traced(x) for x in arrays) else np


def _not_negative(name: str, x):
    x = check.numbers(name, x)
    if not check.is_traced(x) and (x < 0).any():
        raise ValueError(f"{name} must not be negative, got {x.min():g}")
    return x


def _density_and_ratio(density, ratio):
    p, r = check.density(density), _not_negative("ratio", ratio)
    check.broadcastable("density and ratio", p.shape, r.shape)
    return p, r


def _fits(importance, n: int):
    if importance.ndim and importance.shape[-1] not in (1, n):
        raise ValueError(f"importance has shape {importance.shape}: its last axis must be {n}, one per feature")


def _features(W) -> int:
    if W.ndim < 2:
        raise ValueError(f"W has shape {W.shape}: it must be (..., m, n), dimensions by features")
    return W.shape[-1]
