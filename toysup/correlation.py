"""Features that come in sets: pairs from never to always together, and how a W arranges the members of a set.

Set s holds the features s * size to (s + 1) * size - 1, as `correlated`, `anticorrelated` and `pairs` make them.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.features import Features, check_features, moments
from toysup.geometry import feature_dimensionality, gram, norms

BOTH_FIRST_SECOND_NONE = ((1, 1), (1, 0), (0, 1), (0, 0))
TRIALS, ROUNDS = 20, 300  # of the search for a tight frame: most starts are there in some dozens of rounds


def pairs(sets: int, density, together) -> Features:
    """Pairs of features, from never active together to always, each feature as frequent as before.

    sets: the number of pairs. density: probability that a feature is active, in (0, 1]; scalar or (..., sets).
    together: probability that a feature is active when its partner is, from 0 (or 2 - 1/density, where that is more:
        frequent features cannot avoid each other) to 1; scalar or (..., sets). 0 is an anticorrelated pair, `density`
        an independent one, 1 a correlated one.
    Returns Features with `2 * sets` features. Errors: ValueError that names the argument and what is allowed.
    Source: this series' own; the two ends are those of Elhage et al. 2022, "Correlated and Anticorrelated Features".
    """
    sets, p, c = check.count("sets", sets), check.density(density), _together(together, density)
    shape = check.broadcastable("density, together and sets", p.shape, c.shape, (sets,))
    if shape[-1] != sets:
        raise ValueError(f"density and together give {shape[-1]} pairs: their last axis must be {sets} or 1")
    xp = jnp if check.is_traced(p) or check.is_traced(c) else np
    both, one = p * c, p * (1 - c)
    parts = [xp.broadcast_to(q, shape) for q in (both, one, one, xp.maximum(1 - both - 2 * one, 0))]
    return Features((BOTH_FIRST_SECOND_NONE,), (jnp.asarray(xp.stack(parts, -1), check.dtype()),))


def activity_correlation(density, together):
    """The correlation coefficient of "feature 1 is active" and "feature 2 is active" in a pair, (c - p) / (1 - p).

    density: p, in (0, 1). together: c, as in `pairs`; they broadcast. Returns their common shape, between -1 and 1.
    """
    p, c = check.density(density), _together(together, density)
    if not check.is_traced(p) and (p == 1).any():
        raise ValueError("density must be below 1: what is always active correlates with nothing")
    return (c - p) / (1 - p)


def _together(together, density):
    c = check.numbers("together", together)
    if check.is_traced(c) or check.is_traced(density):
        return c
    check.broadcastable("density and together", np.shape(density), c.shape)
    c, p = np.broadcast_arrays(c, np.asarray(density, float))
    least = np.maximum(0, 2 - 1 / p)
    bad = (c < least - 1e-9) | (c > 1)
    if bad.any():
        raise ValueError(
            f"together must lie between {least[bad][0]:.4g} and 1 where density is {p[bad][0]:g}, got {c[bad][0]:g}"
        )
    return c


# ------------------------------------------------------------------------------ how a W arranges the members


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Means of |W_i · W_j| over the pairs i, j of one set, and over those of different sets; each (...)."""

    inside: jax.Array
    across: jax.Array


def overlaps(W, size: int) -> Overlaps:
    """How strongly features of the same set interfere, and those of different sets.

    W: (..., m, n). size: features per set, from 2 to n / 2. Returns Overlaps of arrays (...).
    Source: Elhage et al. 2022, "Local Almost-Orthogonal Bases", shows WᵀW; the two means are this series' own.
    """
    G = jnp.abs(gram(check.numbers("W", W, check.MOST_PARAMETER)))
    n, size = G.shape[-1], _size(size, G.shape[-1], least=2)
    if size == n:
        raise ValueError(f"size must be below n = {n}: with one set there is nothing across sets")
    same = np.kron(np.eye(n // size), np.ones((size, size)))
    mean = lambda mask: jnp.sum(G * mask, (-2, -1)) / mask.sum()
    return Overlaps(mean(same - np.eye(n)), mean(1 - same))


def local_dimensionality(W, size: int):
    """The feature dimensionality D_i of each feature among the features of its own set alone.

    W: (..., m, n). size: features per set. Returns (..., n), between 0 and 1: 1 where the set is orthogonal.
    Source: Elhage et al. 2022, "Local Almost-Orthogonal Bases" (the idea) and "The Geometry of Superposition" (D_i).
    """
    norms(W)  # refuses what is no W
    *batch, m, n = np.shape(W)
    size = _size(size, n, least=1)
    sets = jnp.swapaxes(jnp.reshape(W, (*batch, m, n // size, size)), -3, -2)
    return feature_dimensionality(sets).reshape(*batch, n)


def pair_cosines(W):
    """The cosine between the two directions of each pair; 0 where one of them is not represented.

    W: (..., m, n), n even; features 2s and 2s + 1 are a pair. Returns (..., n / 2), between -1 and 1.
    """
    size, n = norms(W), np.shape(W)[-1]
    _size(2, n, least=2)
    dot = jnp.sum(jnp.asarray(W)[..., 0::2] * jnp.asarray(W)[..., 1::2], -2)
    length = size[..., 0::2] * size[..., 1::2]
    alive = jnp.minimum(size[..., 0::2], size[..., 1::2]) > 1e-3 * jnp.max(size, -1, keepdims=True)
    return jnp.where(alive, jnp.clip(dot / jnp.where(alive, length, 1), -1, 1), 0)


def collapsed(W, cosine: float = 0.99):
    """Which pairs have collapsed onto one direction: both represented, alike in length, and the cosine above `cosine`.

    W: (..., m, n), n even. cosine: from 0 to 1. Returns booleans (..., n / 2).
    Alike means that neither is more than three times as long as the other: a pair that has kept one feature and nearly
    dropped the other has not collapsed.
    Source: Elhage et al. 2022, "Collapsing of Correlated Features"; the thresholds are ours.
    """
    least = check.numbers("cosine", cosine)
    if least.ndim or not 0 <= least <= 1:
        raise ValueError(f"cosine must be one number from 0 to 1, got {cosine!r}")
    size = norms(W)
    first, second = size[..., 0::2], size[..., 1::2]
    return (pair_cosines(W) > float(least)) & (jnp.minimum(first, second) > jnp.maximum(first, second) / 3)


def _size(size, n: int, least: int) -> int:
    size = check.count("size", size, least=least)
    if n % size:
        raise ValueError(f"size must divide the number of features, got size = {size} and n = {n}")
    return size


# ------------------------------------------------------------------------------ what to hold results against


def principal_loss(features: Features, m: int):
    """The least loss of the linear model, importance 1: the variance that m principal components leave over.

    Projecting on the m leading eigenvectors of the covariance is of the form WᵀW, with the mean in the bias, and no
    map of rank m does better. features: n features. m: hidden dimensions. Returns (...), 0 where m >= n.
    Source: Eckart & Young 1936; Elhage et al. 2022, "Collapsing of Correlated Features", names PCA.
    """
    check_features(features)
    m = check.count("m", m)
    spread = jnp.linalg.eigvalsh(moments(features)[1])  # from the smallest on
    return jnp.sum(spread[..., : max(features.n - m, 0)], -1)


def tight_frame(lengths, m: int, *, key):
    """A random W with these column lengths whose rows are orthogonal and equally long: WWᵀ = (|lengths|² / m) 1.

    A control: as much room and the same lengths as a trained W, and no preference for any pair of features. Found from
    a random start by taking, in turns, the nearest tight W and the asked lengths.
    lengths: (n,), not negative. m: dimensions, at most n. key: a JAX random key.
    Returns (m, n), NumPy. Errors: ValueError where no such W exists: no length² may exceed Σ lengths² / m.
    Source: Tropp et al. 2005, alternating projection; the condition is that of Casazza et al. 2006.
    """
    lengths, m = check.numbers("lengths", lengths), check.count("m", m)
    check.key(key)
    if lengths.ndim != 1 or (lengths < 0).any() or np.count_nonzero(lengths) < m:
        raise ValueError(f"lengths must be (n,), none negative, at least m = {m} of them above 0; got {lengths}")
    level = np.sum(lengths**2) / m
    if lengths.max() ** 2 > level * (1 + 1e-9):
        raise ValueError(
            f"no length may exceed {np.sqrt(level):.4g}, the root of Σ lengths² / m; got {lengths.max():g}"
        )
    for trial in range(TRIALS):
        W = _alternate(lengths, np.asarray(jax.random.normal(jax.random.fold_in(key, trial), (m, len(lengths)))))
        if W is not None:
            return W
    raise ValueError(f"no tight frame found from {TRIALS} starts for these lengths; the longest is close to its limit")


def _alternate(lengths, W):
    """The tight frame that alternating projection reaches from W, or None where it is not there in time."""
    m, level = len(W), np.sum(lengths**2) / len(W)
    for _ in range(ROUNDS):
        W = W / np.maximum(np.linalg.norm(W, axis=0), 1e-30) * lengths  # what has length 0 stays so
        if np.abs(W @ W.T / level - np.eye(m)).max() < 1e-7:
            return W
        left, _, right = np.linalg.svd(W.astype(float), full_matrices=False)
        W = left @ right * np.sqrt(level)
    return None
