"""Packing: how much each shape saves per dimension it takes, and which mixture of shapes fills m dimensions best.

Blocks of features in orthogonal subspaces do not see each other: the loss of the model is the sum of the losses of its
blocks, each as if it were alone. All features here have the same density p and importance 1. A feature that is left
out costs its variance V(p). What k features in d dimensions *save* is k V - loss; their *gain* is that per dimension,
in units of V. A feature with an axis to itself has the gain 1.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check, theory
from toysup import loss as losses
from toysup.features import independent, sample_columns
from toysup.model import get_readout
from toysup.optimise import bfgs

MOST_FEATURES = 8  # of a shape whose loss is computed exactly
STARTS = np.array([(1.0, 0.0), (0.8, 0.1), (0.6, 0.2), (1.1, -0.1), (1.4, -0.3)])  # lengths and biases to begin with


class Dressed(NamedTuple):
    """A shape at its best length and bias: `length`, `bias`, `loss`, each with the axes of the density."""

    length: np.ndarray
    bias: np.ndarray
    loss: np.ndarray


def dress(shape, density) -> Dressed:
    """The best common length and common bias for the directions of a shape, and the loss they give.

    Where every feature of the shape looks the same (polygons, simplices), nothing better can be found nearby without
    breaking the symmetry; whether breaking it pays is for `train` to tell.

    shape: (d, k) unit vectors, k at most 8. density: p, any shape. Returns arrays with the shape of density.
    """
    shape, p = _unit(shape), np.asarray(check.density(density), float)
    k = shape.shape[1]
    if k > MOST_FEATURES:
        raise ValueError(f"shape has {k} features: the exact loss is for {MOST_FEATURES} at most")
    table = losses.lines(independent(0.5, n=k), losses.FINE)
    weight = losses.line_weights(independent(p.reshape(-1, 1), n=k), table)
    length, bias, loss = (np.asarray(a, float).reshape(p.shape) for a in _dress(shape, p.ravel(), weight, table))
    return Dressed(length, bias, loss)


@jax.jit
def _dress(shape, p, weight, table):
    readout, k = get_readout("relu"), shape.shape[1]

    def one(start, weight, p):
        of = lambda v: losses.exact_loss(v[0] * shape, jnp.full(k, v[1]), table, weight, jnp.ones(k), readout)
        best = bfgs(lambda v: of(v) * 3 / (k * p), start, 60)
        return best, of(best)

    starts = jnp.asarray(STARTS, shape.dtype)
    per_density = jax.vmap(one, (0, None, None))
    found, loss = jax.lax.map(lambda a: per_density(starts, *a), (weight, p))
    pick = jnp.argmin(loss, 1)
    best = jnp.take_along_axis(found, pick[:, None, None], 1)[:, 0]
    return best[:, 0], best[:, 1], jnp.take_along_axis(loss, pick[:, None], 1)[:, 0]


def gain(loss, features: int, dimensions: int, density):
    """What a block saves per dimension, in units of V(p): (k V - loss) / (d V).

    loss: of the block, any shape. features, dimensions: k and d. density: p. Returns what broadcasting gives.
    """
    k, d = check.count("features", features), check.count("dimensions", dimensions)
    loss, V = check.numbers("loss", loss), theory.variance(density)
    check.broadcastable("loss and density", loss.shape, V.shape)
    return (k * V - loss) / (d * V)


@dataclasses.dataclass(frozen=True)
class Block:
    """One kind of block: its name, features k and dimensions d, both at least 1, and what it saves (in any unit)."""

    name: str
    features: int
    dimensions: int
    saved: float

    def __post_init__(self):
        check.count("features", self.features)
        check.count("dimensions", self.dimensions)
        if check.numbers("saved", self.saved).ndim:
            raise ValueError(f"saved must be one number, got {self.saved!r:.60}")


def fill(blocks, m: int, n: int | None = None) -> tuple[float, dict[str, int]]:
    """The mixture of blocks that saves most in m dimensions with at most n features.

    Every mixture is tried, one block at a time (dynamic programming); dimensions and features may stay unused.

    blocks: a sequence of `Block`. m: dimensions. n: features; None for as many as one likes.
    Returns what the mixture saves, and how many blocks of each name it has.
    """
    blocks, m = tuple(blocks), check.count("m", m)
    if not blocks or not all(isinstance(block, Block) for block in blocks):
        raise TypeError(f"blocks must be a list of Block, not empty; got {blocks!r:.60}")
    most = m * max(block.features for block in blocks)
    n = most if n is None else min(check.count("n", n), most)
    saved, last = _table(tuple((b.features, b.dimensions, b.saved) for b in blocks), m, n)
    count, d, k = {}, m, n
    while last[d, k] >= 0:
        block = blocks[last[d, k]]
        count[block.name] = count.get(block.name, 0) + 1
        d, k = d - block.dimensions, k - block.features
    return float(saved[m, n]), count


def _table(blocks, m, n):
    """The most that can be saved in d dimensions with k features, and the block that comes last (-1: none)."""
    saved, last = np.zeros((m + 1, n + 1)), np.full((m + 1, n + 1), -1)
    for d in range(1, m + 1):
        for index, (features, dimensions, value) in enumerate(blocks):
            if dimensions > d or features > n:
                continue
            with_it = np.full(n + 1, -np.inf)
            with_it[features:] = saved[d - dimensions, : n + 1 - features] + value
            better = with_it > saved[d] + 1e-12 * abs(value)
            saved[d] = np.where(better, with_it, saved[d])
            last[d] = np.where(better, index, last[d])
    return saved, last


def measured_gain(W, b, density, *, key, samples: int = 2**17) -> tuple[np.ndarray, np.ndarray]:
    """The gain of whole models, from drawn inputs: (n V - loss) / (m V), and its standard error.

    What a model saves is averaged input by input, against the answer p/2 for every feature. So features that are
    left out, most of the loss of a large sparse model, add no noise.

    W: (..., m, n). b: (..., n). density: p, a number. key: a JAX random key. samples: inputs, in batches of 1,024.
    Returns gain and error, both (...).
    """
    W = check.numbers("W", W)
    W, b = check.parameters(W, b, W.shape[-1] if W.ndim else 0)
    p, key = check.density(density), check.key(key)
    batches = -(-check.count("samples", samples) // 1024)
    if p.ndim:
        raise ValueError(f"density must be one number, got shape {p.shape}")
    shape, (m, n) = np.broadcast_shapes(W.shape[:-2], b.shape[:-1]), W.shape[-2:]
    W, b = np.broadcast_to(W, (*shape, m, n)).reshape(-1, m, n), np.broadcast_to(b, (*shape, n)).reshape(-1, n)
    each = _savings(jnp.asarray(W, check.dtype()), jnp.asarray(b, check.dtype()), independent(p, n=n), key, batches)
    each = np.asarray(each, float).reshape(batches, *shape) / (m * theory.variance(p))
    return each.mean(0), each.std(0, ddof=1) / np.sqrt(batches) if batches > 1 else np.full(shape, np.nan)


@partial(jax.jit, static_argnames="batches")
def _savings(W, b, features, key, batches):
    """What each model saves on each of some batches of 1,024 inputs, (batches, models)."""

    def one(_, key):
        x = sample_columns(features, 1024, key=key)
        ignored = jnp.sum((x - features.density[:, None] / 2) ** 2)
        lost = lambda model: jnp.sum((x - jax.nn.relu(model[0].T @ (model[0] @ x) + model[1][:, None])) ** 2)
        return None, (ignored - jax.lax.map(lost, (W, b))) / 1024

    return jax.lax.scan(one, None, jax.random.split(key, batches))[1]


def tight_frame(k: int, d: int, *, key, steps: int = 2000) -> np.ndarray:
    """Random unit vectors that cover all directions of their space evenly: F Fᵀ = (k/d) 1, so every D_i is d/k.

    From random vectors, in turns: make the frame tight (nearest one, by its polar decomposition), make the vectors
    unit. k: vectors, more than d. d: dimensions. key: a JAX random key. steps: the most turns.
    Returns (d, k). Errors: RuntimeError where the turns do not settle.
    """
    k, d = check.count("k", k), check.count("d", d)
    if k < d:
        raise ValueError(f"k must be at least d = {d}, got {k}: fewer vectors cannot cover the space")
    F = np.asarray(jax.random.normal(check.key(key), (d, k)), float)
    for _ in range(check.count("steps", steps)):
        left, _, right = np.linalg.svd(F, full_matrices=False)
        F = left @ right
        F /= np.linalg.norm(F, axis=0)
        if np.abs(F @ F.T - k / d * np.eye(d)).max() < 1e-10:
            return F
    raise RuntimeError(f"no tight frame of {k} in {d} after {steps} turns: try another key")


def turned(points, turn: float, tilt: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of space as they are seen from a side: turned about the upright axis, then tilted towards the eye.

    points: (3, n). turn, tilt: angles in degrees. Returns where they are in the picture, (2, n), and how near to the
    eye, (n,): 1 for the nearest possible, 0 for the farthest.
    """
    points = check.numbers("points", points)
    if points.ndim != 2 or points.shape[0] != 3:
        raise ValueError(f"points must have shape (3, n), got {points.shape}")
    a, b = np.deg2rad(_number("turn", turn)), np.deg2rad(_number("tilt", tilt))
    x = np.cos(a) * points[0] - np.sin(a) * points[1]
    y = np.sin(a) * points[0] + np.cos(a) * points[1]
    up, near = np.cos(b) * points[2] + np.sin(b) * y, np.sin(b) * points[2] - np.cos(b) * y
    reach = max(np.linalg.norm(points, axis=0).max(), 1e-12)
    return np.stack([x, up]), (near / reach + 1) / 2


def own_space(W, dimensions: int) -> np.ndarray:
    """The columns of a block in axes of their own: those along which they reach furthest, the furthest first.

    W: (m, k). dimensions: how many axes to keep (zeros where the block has fewer). Returns (dimensions, k).
    """
    W, d = check.numbers("W", W), check.count("dimensions", dimensions)
    if W.ndim != 2:
        raise ValueError(f"own_space takes one block, W of shape (m, k); got shape {W.shape}")
    left, _, _ = np.linalg.svd(W)
    axes = left[:, :d] * np.where(left[np.abs(left).argmax(0)[:d], np.arange(min(d, len(W)))] < 0, -1, 1)
    out = np.zeros((d, W.shape[1]))
    out[: axes.shape[1]] = axes.T @ W
    return out


def antiprism(height: float) -> np.ndarray:
    """The square antiprism: two squares at heights ± `height`, one turned by 45° against the other; unit vectors.

    height: between 0 and 1; 1/√3 makes it a tight frame (D = 3/8). Returns (3, 8).
    """
    height = _number("height", height)
    if not 0 <= height < 1:
        raise ValueError(f"height must lie in [0, 1), got {height:g}")
    angle = np.pi / 2 * np.concatenate([np.arange(4), np.arange(4) + 0.5])
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.repeat([height, -height], 4)])


def _number(name: str, x) -> float:
    x = check.numbers(name, x)
    if x.ndim:
        raise ValueError(f"{name} must be one number, got an array of shape {x.shape}")
    return float(x)


def _unit(shape):
    shape = check.numbers("shape", shape)
    if shape.ndim != 2 or np.abs(np.linalg.norm(shape, axis=0) - 1).max() > 1e-6:
        raise ValueError(f"shape must be unit vectors as columns, (d, k); got an array of shape {shape.shape}")
    return np.asarray(shape, np.float32)
