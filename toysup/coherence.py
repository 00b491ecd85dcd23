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


def least_by_pairs(overlap, m: int):
    """So many directions fit by drawing them all at random: fewer than one of N(N - 1)/2 pairs is too close on average.

    Some draw then has no such pair at all: the union bound over pairs, with the exact chance of each.
    """
    return np.floor((1 + np.sqrt(1 + 8 * (1 - 1e-12) / np.maximum(chance(overlap, m), 1 / LARGEST))) / 2)


def least_by_johnson_lindenstrauss(overlap, m: int):
    """So many directions fit by the Johnson-Lindenstrauss lemma, in the form of Dasgupta and Gupta (2003, theorem 2.1).

    The lemma's linear map takes 2N + 1 points, the origin and ± N orthonormal vectors, into
    m >= 4 ln(2N + 1) / (δ²/2 - δ³/3) dimensions and keeps squared distances to 1 ± δ. By 4ab = |a + b|² - |a - b|²
    dot products are at most δ, and overlaps at most δ / (1 - δ), so δ = ε / (1 + ε).
    """
    m, e = check.count("m", m, least=2), _overlap(overlap)
    d = e / (1 + e)
    points = np.floor(np.exp(np.minimum(m * (d**2 / 2 - d**3 / 3) / 4, 690.0)) + 1e-9)
    return np.floor((points - 1) / 2)


def most_by_levenshtein(overlap: float, m: int) -> float:
    """More directions than this do not fit: Levenshtein's bound for lines, from the best polynomials of their degree.

    With G_j the Gegenbauer polynomials of m dimensions (1 at 1), h_j the dimension of the harmonic polynomials of
    degree j, and sums over j = d - 2, d - 4, ...: N <= Σ h_j - Σ h_j G_j(ε) / G_d(ε), for the first d from 2 on at
    which Σ h_j G_j(ε) + h_d G_d(ε) <= 0. Returns inf beyond 1e300 (and for overlaps close to 1).
    Source: Levenshtein 1998 (the bounds L_{2k-1} and L_{2k} of projective spaces), written for lines; tests compare
    it with linear programmes solved by computer.
    """
    m, e = check.count("m", m, least=2), float(_overlap(overlap))
    log_h = lambda j: (
        math.log((2 * j + m - 2) / j) + math.lgamma(j + m - 2) - math.lgamma(j) - math.lgamma(m - 1) if j else 0.0
    )
    G, sums, dims = [1.0, e], [1.0, e], [1.0, 1.0]  # G_j, and Σ h_i G_i and Σ h_i up to j, both over h_j
    for d in range(2, 3000):
        new = ((2 * d + m - 4) * e * G[1] - (d - 1) * G[0]) / (d + m - 3)
        ratio = math.exp(log_h(d - 2) - log_h(d))
        through = ratio * sums[0] + new
        if through <= 1e-12 * abs(new):
            log_count = log_h(d - 2) + math.log(dims[0] - sums[0] / new)
            return math.exp(log_count) if log_count < math.log(LARGEST) else math.inf
        scale = max(abs(G[1]), abs(new), 1e-300)  # G and the sums become small together
        G, sums = [G[1] / scale, new / scale], [sums[1] / scale, through / scale]
        dims = [dims[1], ratio * dims[0] + 1]
    return math.inf


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


def lattice_lines(m: int) -> np.ndarray:
    """The shortest vectors of a famous lattice, one of each ± pair, as whole numbers: no two overlap by more than 1/2.

    m: 4 (D4, 12 lines), 8 (E8, 120), 16 (Barnes-Wall, 2,160) or 24 (Leech, 98,280). Returns (m, lines), all columns
    of the same length. Source: Conway and Sloane 1999, chapters 4 and 10 (not read; the tests check every pair).
    """
    if check.count("m", m) not in (4, 8, 16, 24):
        raise ValueError(f"m must be 4, 8, 16 or 24, got {m}")
    if m == 4:
        found = _two_places(m, 1)
    elif m == 8:
        found = np.vstack([2 * np.eye(8, dtype=int), _signed_words(_words(_reed_muller(3)), 4, 1)])
    elif m == 16:
        found = np.vstack([_two_places(m, 2), _signed_words(_words(_reed_muller(4)), 8, 1, even=True)])
    else:
        code = _words(_golay())
        rows = [(1 - 2 * code) * np.where(np.arange(24) == i, -3, 1) for i in range(24)]
        found = np.vstack([_two_places(m, 4), _signed_words(code, 8, 2, even=True), *rows])
    first = found[np.arange(len(found)), (found != 0).argmax(1)]
    return found[first > 0].T.astype(np.int8)


def _two_places(m, size):
    """All vectors with two entries ± size, the first of them positive."""
    i, j = np.triu_indices(m, 1)
    found = np.zeros((2, len(i), m), int)
    found[:, np.arange(len(i)), i] = size
    found[0, np.arange(len(i)), j], found[1, np.arange(len(i)), j] = size, -size
    return found.reshape(-1, m)


def _signed_words(code, weight, size, even=False):
    """The words of a weight, with entries ± size in their places, all signs or an even number of minus signs."""
    signs = 1 - 2 * ((np.arange(2**weight)[:, None] >> np.arange(weight)) & 1)
    signs = signs[signs.prod(1) == 1] if even else signs
    places = np.array([np.flatnonzero(word) for word in code if word.sum() == weight])
    found = np.zeros((len(places), len(signs), code.shape[1]), int)
    found[np.arange(len(places))[:, None, None], np.arange(len(signs))[None, :, None], places[:, None]] = size * signs
    return found.reshape(-1, code.shape[1])


def _words(generators):
    """All words of the binary code that some words (rows) generate."""
    k = len(generators)
    return ((np.arange(2**k)[:, None] >> np.arange(k)) & 1) @ generators % 2


def _reed_muller(r):
    """The words 1 and the r coordinates of the points of a cube: generators of length 2**r."""
    return np.vstack([np.ones(2**r, int), (np.arange(2**r) >> np.arange(r)[:, None]) & 1])


def _golay():
    """Generators of the extended Golay code: shifts of the non-residues modulo 23 with 0, and the word of ones."""
    squares = {k * k % 23 for k in range(1, 23)}
    rows = [[int((j - i) % 23 not in squares) for j in range(23)] + [0] for i in range(11)]
    return np.vstack([np.ones(24, int), rows])


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
