"""Where one plan gives way to another: two features in one dimension and three in two, norms and biases left free.

The closed forms of `toysup.theory` hold the norms at 1. Here they are free, as they are in training, and the place
where superposition begins is found to many digits; where its second feature comes in gradually, in closed form.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from toysup import check, geometry, theory
from toysup import loss as losses
from toysup.features import independent
from toysup.model import get_readout
from toysup.optimise import bfgs

__all__ = [
    "Begin",
    "Onset",
    "begin",
    "gain_in_the_sparse_limit",
    "nearest_plan",
    "onset",
    "plan_names",
    "tricritical",
]


# ----------------------------------------------------------------------------------- which plan is it


def plan_names(n: int) -> tuple[str, ...]:
    """The plans for n = 2 features in one dimension or n = 3 in two; the last feature is the extra one.

    Returns the fields of `theory.TwoInOne` or `theory.ThreeInTwo`.
    """
    if check.count("n", n) not in (2, 3):
        raise ValueError(f"n must be 2 or 3, got {n}")
    return (theory.TwoInOne if n == 2 else theory.ThreeInTwo)._fields


def nearest_plan(W):
    """Which plan a trained W is closest to, as an index into `plan_names(n)`.

    Closest: the least Σ_ij (W_i·W_j - P_i·P_j)² over the plans P with arrows of length 1, so that turning or mirroring
    W changes nothing and no threshold is needed.

    W: (..., 1, 2) or (..., 2, 3). Returns integers (...).
    """
    W = check.numbers("W", W)
    if W.shape[-2:] not in ((1, 2), (2, 3)):
        raise ValueError(f"W has shape {W.shape}: it must be (..., 1, 2) or (..., 2, 3)")
    index, plans = _plans(W.shape[-1])
    gram = np.swapaxes(W, -1, -2) @ W
    distance = ((gram[..., None, :, :] - plans) ** 2).sum((-1, -2))
    return index[distance.argmin(-1)]


def _plans(n: int):
    """Each version of each plan: its index in `plan_names(n)`, and its matrix of dot products."""
    if n == 2:
        W = [[[1, 0]], [[0, 1]], [[1, -1]]]
        index = [0, 1, 2]
    else:
        W = [[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1]]]
        W += [[[1, 0, 0], [0, 1, -1]], [[1, 0, -1], [0, 1, 0]], [[1, -1, 0], [0, 0, 1]], geometry.polygon(3)]
        index = [0, 1, 1, 2, 2, 3, 4]
    W = np.array([np.asarray(w, float) for w in W])
    return np.array(index), np.swapaxes(W, -1, -2) @ W


# --------------------------------------------------------------- n = 2, m = 1: sparse limit, gradual onset


def gain_in_the_sparse_limit(slope, length):
    """The loss of W = (1, -w) less that of ignoring feature 2, divided by p², for r = c p and p to 0.

    Ignoring costs c/3. With superposition feature 2 alone costs c (1 - w²)²/3, and both together cost E[min(x, w y)²] =
    w²/3 - w³/6 (for w up to 1). The sum is c (1 - w²)²/3 + w²/3 - w³/6. See `theory.sparse_limit`.

    slope: c, at least 0. length: w in [0, 1]. Any shapes that broadcast. Returns the common shape; negative where
    superposition pays.
    """
    c, w = check.numbers("slope", slope), check.numbers("length", length)
    if (c < 0).any():
        raise ValueError(f"slope must not be negative, got {c.min():g}")
    if ((w < 0) | (w > 1)).any():
        raise ValueError(f"length must lie in [0, 1], got {w[(w < 0) | (w > 1)].flat[0]:g}")
    check.broadcastable("slope and length", c.shape, w.shape)
    return c * ((1 - w**2) ** 2 - 1) / 3 + w**2 / 3 - w**3 / 6


class Onset(NamedTuple):
    """Where ignoring the second feature stops to be a minimum."""

    ratio: np.ndarray  # r₂: a short arrow W_2 = -ε pays above
    bias: np.ndarray  # c: b_1 = c ε there
    cubic: np.ndarray  # k in ΔL = V (r₂ - r) ε² + k ε³ near r₂: W_2 grows gradually where k > 0


def onset(density) -> Onset:
    """The relative importance r₂ above which a short second arrow lowers the loss, for n = 2, m = 1.

    Put W = (1 + εd/2, -ε) with b_1 = cε and b_2 at its best, near p/2, and expand the loss to ε³. Feature 2 is linear
    there: its error has the variance V (1 - ε²)² + V ε² (1 + εd), so it gains r V (ε² - d ε³). Feature 1 loses

    - when x_1 is active, the mean of ε² (d x_1 + c - x_2)²: least at d = -3 (c - p/2)/2, where it is
      ε² (V + (c - p/2)²/4). To it come - ε³ d E[x_2 (d x_1 + c - x_2)], and what the ReLU saves where
      x_1 < ε (x_2 - c): - ε³ (2/3) p (1 - c)⁴/4;
    - when only x_2 is active, ∫ (c - x)² ε² - d x (c - x) ε³ from 0 to c: c³/3 and - d c³/6;
    - when neither is, c² ε².

    The sum over ε² is least at the positive root c of p (1-p) c² + (p/2 + 2 (1-p)²) c - p²/4 = 0. Divided by V it is
    r₂. With k > 0 the arrow grows from 0 as r passes r₂; with k < 0 the loss falls further out first, and W_2 jumps.

    density: p, any shape. Returns an `Onset` of arrays of that shape. Source: this package's own derivation.
    """
    p = check.density(density)
    q, V = 1 - p, theory.variance(p)
    middle = p / 2 + 2 * q**2
    c = p**2 / 2 / (middle + np.sqrt(middle**2 + q * p**3))  # the root, without a division by q
    d = -1.5 * (c - p / 2)
    square = p * (V + (c - p / 2) ** 2 / 4) + q**2 * c**2 + p * q * c**3 / 3
    ratio = square / V
    cubic = -p * d * (d * p / 4 + c * p / 2 - p / 3) - p**2 * (1 - c) ** 4 / 6 - p * q * d * c**3 / 6
    return Onset(ratio, c, cubic + ratio * V * d)


def tricritical():
    """The two densities at which `onset` has the cubic coefficient 0; between them W_2 grows from 0 gradually.

    Returns (densities, ratios), two numbers each, the sparser one first.
    """
    cubic = lambda p: float(onset(p).cubic)
    p = np.array([optimize.brentq(cubic, *ends, xtol=1e-12) for ends in ((0.3, 0.7), (0.7, 0.95))])
    return p, onset(p).ratio


# ------------------------------------------------------------- n = 2, m = 1: the beginning, to many digits


class Begin(NamedTuple):
    """Where superposition begins to pay, and the model that first does."""

    ratio: np.ndarray  # r*
    W: np.ndarray  # (..., 1, 2)
    b: np.ndarray  # (..., 2)


def begin(density, steps: int = 250) -> Begin:
    """The relative importance r* at which superposition begins to lose less than ignoring, for n = 2, m = 1.

    A model that loses L_1 on feature 1 and L_2 on feature 2 costs L_1 + r L_2; ignoring costs r V(p). The model is
    better where r > L_1 / (V - L_2). So r* is the least value of that fraction over all W and b. It is found by BFGS
    from four starts, in float64 with 100 nodes, from densities of 0.001 up. Where W_2 begins gradually the least value
    is a limit, W_2 to 0 (`onset`).

    density: p from 0.001 up to 0.99, any shape. steps: of BFGS. Returns a `Begin`.
    Source: this package's own.
    """
    p = np.asarray(check.density(density))
    if (p < 1e-3).any() or (p > 0.99).any():
        raise ValueError(f"density must lie between 0.001 and 0.99 here, got {p.min():g} to {p.max():g}")
    steps, flat = check.count("steps", steps), p.reshape(-1)
    with jax.enable_x64(True):
        table = losses.lines(independent(0.5, 2), losses.Rule((0, 1, 100), (0, 1, 100), 0, False))
        weights = losses.line_weights(independent(flat[:, None], 2), table)
        ratio, W, b = map(np.asarray, _begin(jnp.asarray(flat), weights, table, steps=steps))
    best = ratio.argmin(1)
    pick = lambda a: a[np.arange(len(flat)), best].reshape(p.shape + a.shape[2:])
    return Begin(*map(pick, (ratio, W, b)))


@partial(jax.jit, static_argnames="steps")
def _begin(p, weights, table, *, steps) -> Begin:
    first, second = jnp.eye(2)

    def one(p, weight, length):
        V = theory.variance(p)

        def ratio(model):
            lost = lambda importance: losses.exact_loss(*model, table, weight, importance, get_readout("relu"))
            gained = V - lost(second)
            pays = gained > 1e-8 * V  # nearer to 0 the fraction is rounding
            return jnp.where(pays, jnp.log(lost(first) / jnp.where(pays, gained, 1.0)), 1e3)

        W = jnp.stack([jnp.ones_like(length), -length])[None]
        b = jnp.stack([0 * length, p / 2 * (1 + length - length**2)])  # no error of feature 2 on average
        W, b = bfgs(ratio, (W, b), steps, longest=0.1)
        return jnp.exp(ratio((W, b))), W, b

    starts = jnp.array([0.03, 0.2, 0.4, 0.75])
    return jax.vmap(lambda p, weight: jax.vmap(lambda s: one(p, weight, s))(starts))(p, weights)
