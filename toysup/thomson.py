"""Points that repel each other on a sphere, and what this has to do with features.

Thomson's problem: where do n equal charges on a sphere come to rest? With one active feature at a time, the loss of
a toy model is of the same kind: a sum over pairs, of an energy that is higher the closer two directions are.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.optimise import bfgs

ENERGIES = ("coulomb", "interference")


class Rest(NamedTuple):
    """Where points came to rest: `points` (restarts, d, n), `energy` (restarts,), the lowest first."""

    points: np.ndarray
    energy: np.ndarray


def energy(points, kind: str = "coulomb"):
    """The energy of unit vectors that repel each other, summed over pairs i < j.

    "coulomb": 1 / |x_i - x_j|, Thomson's. "interference": 2/3 ReLU(x_i · x_j)², what unit features without bias lose
    when one of the two is active: each reads ReLU(x_i · x_j) times the other's value, whose mean square is 1/3.

    points: (..., d, n), columns of length 1. Returns (...). Errors name the argument. Source: Elhage et al. 2022, "The
    Geometry of Superposition" and "Mathematical Understanding" (interference).
    """
    points = check.numbers("points", points)
    if points.ndim < 2 or points.shape[-1] < 2:
        raise ValueError(f"points must have shape (..., d, n) with n of at least 2, got {points.shape}")
    length = np.linalg.norm(points, axis=-2)
    if np.abs(length - 1).max() > 1e-4:
        raise ValueError(f"points must be unit vectors; their lengths are {length.min():.4g} to {length.max():.4g}")
    return _energy(jnp.asarray(points), check.choice("kind", kind, ENERGIES))


def _energy(points, kind):
    n = points.shape[-1]
    dots = jnp.einsum("...di,...dj->...ij", points, points)[..., *np.triu_indices(n, 1)]
    if kind == "interference":
        return 2 / 3 * jnp.sum(jax.nn.relu(dots) ** 2, -1)
    return jnp.sum(1 / jnp.sqrt(jnp.maximum(2 - 2 * dots, 1e-9)), -1)


def settle(n: int, d: int, kind: str = "coulomb", *, restarts: int = 16, steps: int = 300, key) -> Rest:
    """Let n points repel each other on the unit sphere of d dimensions, from several random starts.

    n: points, at least 2. d: dimensions, at least 2. kind: see `energy`. steps: of BFGS. key: a JAX random key.
    Returns a `Rest`, sorted by energy. The lowest is the best of these starts, not a proven minimum.
    """
    n, d = check.count("n", n, least=2), check.count("d", d, least=2)
    restarts, steps = check.count("restarts", restarts), check.count("steps", steps)
    check.choice("kind", kind, ENERGIES)
    points, reached = _settle(check.key(key), n=n, d=d, kind=kind, restarts=restarts, steps=steps)
    order = np.argsort(np.asarray(reached), kind="stable")
    return Rest(np.asarray(points, float)[order], np.asarray(reached, float)[order])


@partial(jax.jit, static_argnames=("n", "d", "kind", "restarts", "steps"))
def _settle(key, *, n, d, kind, restarts, steps):
    on_sphere = lambda x: x / jnp.linalg.norm(x, axis=-2, keepdims=True)
    start = on_sphere(jax.random.normal(key, (restarts, d, n)))
    end = on_sphere(jax.vmap(lambda x: bfgs(lambda y: _energy(on_sphere(y), kind), x, steps))(start))
    return end, _energy(end, kind)


def cosine_matrix(points) -> np.ndarray:
    """The cosines between all columns.

    points: (..., d, n), no column 0. Returns (..., n, n).
    """
    points = check.numbers("points", points)
    if points.ndim < 2 or points.shape[-1] < 2:
        raise ValueError(f"points must have shape (..., d, n) with n of at least 2, got {points.shape}")
    size = np.linalg.norm(points, axis=-2, keepdims=True)
    if (size == 0).any():
        raise ValueError("points must not have a column of length 0: it has no direction")
    unit = points / size
    return np.clip(np.swapaxes(unit, -1, -2) @ unit, -1, 1)


def cosines(points) -> np.ndarray:
    """The cosines between all pairs of columns, in rising order: what is left of a shape when it may turn freely.

    points: (..., d, n), no column 0. Returns (..., n (n - 1) / 2).
    """
    matrix = cosine_matrix(points)
    return np.sort(matrix[..., *np.triu_indices(matrix.shape[-1], 1)], -1)


def apart(a, b) -> float:
    """How far two shapes of the same number of points are apart: the largest difference of their sorted cosines.

    a, b: (d, n), (e, n). Returns a number from 0 (alike up to this measure) to 2.
    """
    first, second = cosines(a), cosines(b)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"two shapes with equally many points are needed, got {np.shape(a)} and {np.shape(b)}")
    return float(np.abs(first - second).max())
