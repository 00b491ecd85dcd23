"""How many directions fit into m dimensions when no two may come closer than a given overlap.

The overlap of two directions is |cos| of their angle, the *coherence* of a frame the largest overlap of any two of its
columns. Bounds from both sides, random directions, directions grown one by one, and directions that push each other
apart.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import betainc, gammaln

from toysup import check
from toysup.optimise import adam

SHARPNESS = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)  # of the soft maximum, stage by stage
ORDERS = 400  # of Welch's bound
LARGEST = 1e300  # counts above are reported as infinite


# ------------------------------------------------------------------------------- two random directions


def chance(overlap, m: int):
    """The probability that two random directions of m dimensions overlap by more than this.

    cos² is Beta(1/2, (m-1)/2) distributed, with the mean 1/m. overlap: ε in [0, 1], any shape. Returns its shape.
    """
    m, e = check.count("m", m, least=2), _overlap(overlap)
    return betainc((m - 1) / 2, 0.5, 1 - e**2)


def chance_bound(overlap, m: int):
    """Twice the usual bound on a spherical cap, 2 exp(-m ε²/2): never below `chance`. Source: Ball 1997, lemma 2.2."""
    m, e = check.count("m", m, least=2), _overlap(overlap)
    return np.minimum(2 * np.exp(-m * e**2 / 2), 1.0)


# ------------------------------------------------------------------------------------- bounds on counts


def least_by_volume(overlap, m: int):
    """So many directions fit for certain: 1 / chance.

    Take directions as long as one fits. When none does, the caps around those taken cover the whole sphere, so there
    are at least 1 / chance of them. Source: the argument of Gilbert 1952 and Varshamov 1957 for codes.
    """
    return 1 / np.maximum(chance(overlap, m), 1 / LARGEST)


def least_by_johnson_lindenstrauss(overlap, m: int):
    """So many directions fit by the Johnson-Lindenstrauss lemma, in the form of Dasgupta and Gupta (2003, theorem 2.1).

    The lemma maps N + 1 points (the origin and N orthonormal vectors) into m >= 4 ln(N + 1) / (δ²/2 - δ³/3)
    dimensions and keeps squared distances to 1 ± δ. Cosines then are at most 2δ / (1 - δ), so δ = ε / (2 + ε).
    """
    m, e = check.count("m", m, least=2), _overlap(overlap)
    d = e / (2 + e)
    return np.floor(np.exp(np.minimum(m * (d**2 / 2 - d**3 / 3) / 4, 690.0)) + 1e-9) - 1


def most_by_welch(overlap, m: int):
    """More directions than this do not fit, by the best of 400 orders of Welch's bound; inf beyond about 1e299.

    Order k: N (1 - C ε^2k) <= C (1 - ε^2k), with C the number of monomials of degree k in m variables.
    Source: Welch 1974.
    """
    m, e = check.count("m", m, least=2), _overlap(overlap)[..., None]
    k = np.arange(1, ORDERS + 1)
    log_c = _log_monomials(m, k)
    with np.errstate(divide="ignore"):
        log_power = 2 * k * np.log(e)
    bounded = (log_c + log_power < -1e-12) & (log_c < 690)
    rest = np.where(bounded, -np.expm1(np.where(bounded, log_c + log_power, -1.0)), 1.0)
    count = np.exp(np.minimum(log_c, 690.0)) * -np.expm1(log_power) / rest
    return np.where(bounded, count, np.inf).min(-1)


def welch(m: int, n: int) -> float:
    """No n directions in m dimensions have a lower coherence than this: Welch's bound, its best order.

    Source: Welch 1974. m, n: dimensions and directions. Returns a number in [0, 1]; 0 for n <= m.
    """
    m, n = check.count("m", m), check.count("n", n)
    if n <= m:
        return 0.0
    k = np.arange(1, ORDERS + 1)
    power = np.expm1(np.maximum(math.log(n) - _log_monomials(m, k), 0.0)) / (n - 1)
    return float((power ** (1 / (2 * k))).max())


def _log_monomials(m, k):
    """The logarithm of the number of monomials of degree k in m variables."""
    return gammaln(m + k) - gammaln(k + 1) - gammaln(m)


# ---------------------------------------------------------------------------------------------- frames


def coherence(W):
    """The largest |cos| between two columns. W: (..., m, n), no column 0, n at least 2. Returns (...)."""
    W = check.numbers("W", W)
    if W.ndim < 2 or W.shape[-1] < 2:
        raise ValueError(f"W must have shape (..., m, n) with n of at least 2, got {W.shape}")
    size = np.linalg.norm(W, axis=-2, keepdims=True)
    if (size == 0).any():
        raise ValueError("W must not have a column of length 0: it has no direction")
    unit = W / size
    dots = np.abs(np.swapaxes(unit, -1, -2) @ unit)
    return np.minimum(dots[..., *np.triu_indices(W.shape[-1], 1)].max(-1), 1.0)


def random_frame(m: int, n: int, *, seed: int, draws: int | None = None) -> np.ndarray:
    """Random directions, evenly distributed over the sphere, as unit columns.

    m, n: dimensions and directions. seed: of NumPy's generator, the same numbers on every machine. draws: how many
    frames. Returns (m, n), or (draws, m, n).
    """
    m, n, seed = check.count("m", m), check.count("n", n), check.count("seed", seed, least=0)
    front = () if draws is None else (check.count("draws", draws),)
    W = np.random.default_rng(seed).standard_normal((*front, m, n))
    return W / np.linalg.norm(W, axis=-2, keepdims=True)


def grow(overlap: float, m: int, tries: int, *, seed: int) -> np.ndarray:
    """Take random directions one by one, and keep each that overlaps with none of those kept by more than this.

    overlap: ε in [0, 1]. tries: directions drawn. Returns those kept, (m, kept).
    """
    e, m = float(_overlap(overlap)), check.count("m", m)
    drawn = np.ascontiguousarray(random_frame(m, check.count("tries", tries), seed=seed).T)
    kept = np.empty_like(drawn)
    count = 0
    for x in drawn:
        if count == 0 or np.abs(kept[:count] @ x).max() <= e:
            kept[count] = x
            count += 1
    return kept[:count].T.copy()


class Spread(NamedTuple):
    """Directions that pushed each other apart: `W` (restarts, m, n), `coherence` (restarts,), the lowest first."""

    W: np.ndarray
    coherence: np.ndarray


def spread(m: int, n: int, *, restarts: int = 8, steps: int = 150, rate: float = 0.05, room=None, key) -> Spread:
    """Push n directions of m dimensions apart until the largest overlap no longer falls.

    Adam lowers a soft maximum of cos² that becomes sharper in seven stages; the maximum itself has no useful slope.
    m, n: dimensions and directions. steps: in each stage. rate: of Adam. room: (m, n) at least as large, so that
    other m and n within it use the same compiled program. key: a JAX random key. Returns a `Spread`; the lowest
    is the best of these starts, not a proven optimum.
    """
    m, n = check.count("m", m), check.count("n", n, least=2)
    rows, columns = (m, n) if room is None else room
    if check.count("room[0]", rows) < m or check.count("room[1]", columns) < n:
        raise ValueError(f"room must be at least ({m}, {n}), got {room}")
    restarts, steps = check.count("restarts", restarts), check.count("steps", steps)
    rate = check.positive("rate", rate, most=1.0)
    found = _spread(check.key(key), m, n, rate, rows=rows, columns=columns, restarts=restarts, steps=steps)
    W = np.array(found, float)[:, :m, :n]  # a copy: what JAX hands out cannot be written to
    W /= np.linalg.norm(W, axis=-2, keepdims=True)
    reached = coherence(W)
    order = np.argsort(reached, kind="stable")
    return Spread(W[order], reached[order])


@partial(jax.jit, static_argnames=("rows", "columns", "restarts", "steps"))
def _spread(key, m, n, rate, *, rows, columns, restarts, steps):
    used = (jnp.arange(rows) < m)[:, None]
    pairs = jnp.triu(jnp.ones((columns, columns), bool), 1) & (jnp.arange(columns) < n)
    start = jax.random.normal(key, (restarts, rows, columns), jnp.float32).astype(check.dtype())

    def unit(W):
        W = jnp.where(used, W, 0.0)
        return W / jnp.sqrt(jnp.maximum(jnp.sum(W**2, 0), 1e-12))

    def soft_maximum(W, sharpness):
        dots = unit(W).T @ unit(W)
        return jax.nn.logsumexp(jnp.where(pairs, sharpness * dots**2, -jnp.inf)) / sharpness

    def one(W):
        def stage(W, sharpness):
            size = jnp.minimum(rate, 3 * rate / jnp.sqrt(sharpness / SHARPNESS[0]))
            return adam(lambda v, _: soft_maximum(unit(v), sharpness), W, size, steps, key=key), None

        return unit(jax.lax.scan(stage, W, jnp.array(SHARPNESS))[0])

    return jax.vmap(one)(start)


def _overlap(x):
    x = np.asarray(check.numbers("overlap", x))
    if ((x < 0) | (x > 1)).any():
        raise ValueError(f"overlap must lie in [0, 1], got {x[(x < 0) | (x > 1)].flat[0]:g}")
    return x
