"""Ways of writing two numbers down, and what a reader gets back: orthogonal, superposed, packed into digits.

With the probability `density` a number is active, and then uniform on [0, 1]; otherwise it is 0. A reader sees the code
with normal noise. Means over inputs and noise are sums over a fine grid of what can be seen, nothing is drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import ndtr

from toysup import check

NODES = (np.arange(400) + 0.5) / 400  # values that stand for an active number
STEP = 1 / 4000  # of the grid of what can be seen
LEAST, MOST = 1e-3, 0.5  # noise that the grid bears
EDGE = round((1 + 6 * MOST) / STEP)
READERS = ("own", "linear", "best")


@dataclasses.dataclass(frozen=True)
class Code:
    """How two numbers are written and read. write: (..., 2) to (..., m). read: (..., m) to (..., 2). m: dimensions.

    m is 1, or 2 with each number in a dimension of its own.
    """

    m: int
    write: Callable
    read: Callable


def pack(x):
    """Two numbers in one: the first digit of the first, followed by all of the second. x: (..., 2). Returns (..., 1).

    Numbers of exactly 1 count as 0.999... Source: Elhage et al. 2022, appendix "Nonlinear Compression", Z = 10.
    """
    x = np.asarray(x, float)
    return (np.minimum(np.floor(10 * x[..., :1] + 1e-9), 9) + x[..., 1:]) / 10


def unpack(c):
    """What `pack` has packed, by cutting off the first digit. c: (..., 1). Returns (..., 2)."""
    first = np.floor(10 * c + 1e-9)
    return np.concatenate([first / 10, 10 * c - first], -1)


CODES = {
    "orthogonal": Code(2, lambda x: np.asarray(x, float), lambda h: h),
    "superposed": Code(1, lambda x: x[..., :1] - x[..., 1:], lambda h: np.maximum(np.concatenate([h, -h], -1), 0)),
    "packed": Code(1, pack, unpack),
}


def explained(code: Code, noise: float = 0.0, density: float = 1.0, *, reader: str = "own") -> np.ndarray:
    """R² of both numbers, 1 - E[error²] / variance: (2,).

    noise: standard deviation of the normal noise on each dimension, from 0.001 to 0.5, or 0 for the own reader.
    density: probability that a number is active. reader: "own" is the code's `read` (R² can be negative), "linear"
    the best a h + b, "best" the mean of the number given what is seen, which no reader beats and which knows the
    density and the noise. Accurate to about 1e-3.
    """
    check.choice("reader", reader, READERS)
    noise, density = _noise(noise), _density(density)
    variance = density / 3 - density**2 / 4
    if reader == "own" and not noise:
        return 1 - _mean(lambda x: np.square(code.read(code.write(x)) - x), density) / variance
    seen, chance, share = seen_by(code, noise, density)
    if reader == "linear":
        mean = (chance * seen).sum(-1)
        across = (share * seen).sum(-1) - mean * density / 2
        return across**2 / ((chance * seen**2).sum(-1) - mean**2) / variance
    if reader == "best":
        read = np.clip(share / np.maximum(chance, 1e-15), 0, 1)
    else:
        read = code.read(np.repeat(seen[:, None], code.m, 1)).T
    return 1 - (density / 3 - 2 * (share * read).sum(-1) + (chance * read**2).sum(-1)) / variance


def reading(code: Code, noise: float, density: float = 1.0):
    """What the best reader answers to what it sees: seen (k,), readings (2, k), where anything is seen at all."""
    seen, chance, share = seen_by(code, noise, density)
    return seen, np.where(chance > 1e-9, share / np.maximum(chance, 1e-15), np.nan)


def seen_by(code: Code, noise: float, density: float):
    """What can be seen of each number: values (k,), their chances (2, k), and E[x_i, this is seen] (2, k)."""
    p = _density(density)
    weight = np.array([(1 - p) ** 2, p * (1 - p), p * (1 - p), p * p])  # none, the second, the first, both
    seen, table = _cases(code, _noise(noise))
    return seen, *np.einsum("c,cqik->qik", weight, table)


@lru_cache(maxsize=128)
def _cases(code, noise):
    """The same for each set of active numbers: values (k,), and (4, 2, 2, k): set, chance or E[x], number, value."""
    if not LEAST <= noise <= MOST:
        raise ValueError(f"noise must lie in [{LEAST}, {MOST}] for this reader, got {noise:g}")
    kernel = np.diff(ndtr(np.arange(-EDGE, EDGE + 2) * STEP / noise))  # the chance of each cell between two points
    table = fftconvolve(_without_noise(code), kernel[None, None, None], mode="same", axes=-1)
    return (np.arange(-EDGE, EDGE + 1) + 0.5) * STEP, np.maximum(table, 0)


@lru_cache(maxsize=16)
def _without_noise(code):
    return np.stack([_binned(code, case // 2, case % 2) for case in range(4)])


def _binned(code, first, second):
    """Chance and E[x] of both numbers on the grid, (2, 2, k), if the numbers told by two flags are active."""
    x = np.stack(np.meshgrid(NODES if first else [0.0], NODES if second else [0.0], indexing="ij"), -1).reshape(-1, 2)
    h = np.broadcast_to(code.write(x), x.shape) / STEP + EDGE  # a code of one dimension shows it to both readers
    low = np.floor(h + 1e-6).astype(int)
    high = np.clip(h - low, 0, 1)
    made = np.zeros((2, 2, 2 * EDGE + 1))
    for i in range(2):
        for place, share in ((low[:, i], 1 - high[:, i]), (low[:, i] + 1, high[:, i])):
            made[0, i] += np.bincount(place, share, 2 * EDGE + 1) / len(x)
            made[1, i] += np.bincount(place, share * x[:, i], 2 * EDGE + 1) / len(x)
    return made


def _mean(f, density):
    """The mean of f(x), (..., 2) to (..., 2), over the inputs."""
    p, values = _density(density), np.concatenate([[0.0], NODES])
    one = np.concatenate([[1 - p], np.full(len(NODES), p / len(NODES))])
    x = np.stack(np.meshgrid(values, values, indexing="ij"), -1)
    return np.einsum("a,b,abi->i", one, one, f(x))


def linear_probe(h, x, p=None, noise: float = 0.0) -> np.ndarray:
    """R² of the best linear reading of each feature from a code: (n,), each in [0, 1].

    h: (k, m), the code of k inputs. x: (k, n), the inputs, no feature constant. p: (k,), their probabilities (default:
    equal). noise: standard deviation of noise on each dimension of h. For uncorrelated features the R² add up to at
    most m, whatever the code: the readings span m dimensions, and uncorrelated features are orthogonal.
    """
    h, x = check.numbers("h", h), check.numbers("x", x)
    if h.ndim != 2 or x.ndim != 2 or len(h) != len(x):
        raise ValueError(f"h must have shape (k, m) and x (k, n) with the same k, got {h.shape} and {x.shape}")
    p = np.full(len(h), 1 / len(h)) if p is None else check.numbers("p", p)
    if p.shape != (len(h),) or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"p must be {len(h)} probabilities that add up to 1, got shape {p.shape}")
    h, x = h - p @ h, x - p @ x
    variance = p @ np.square(x)
    if (variance <= 1e-15).any():
        raise ValueError(f"x is constant for feature {int(np.argmax(variance <= 1e-15))}: there is nothing to read")
    inside = h.T @ (p[:, None] * h) + _noise(noise) ** 2 * np.eye(h.shape[1])
    across = h.T @ (p[:, None] * x)
    return np.einsum("mn,mn->n", across, np.linalg.pinv(inside, hermitian=True) @ across) / variance


def read_linearly(W) -> np.ndarray:
    """R² of the best linear reading of n independent, equally varied features from h = W x.

    W: (..., m, n). Returns (..., n), the diagonal of W⁺ W, the projection onto the rows of W; its sum is W's rank.
    """
    W = check.numbers("W", W)
    if W.ndim < 2:
        raise ValueError(f"W must have shape (..., m, n), got {W.shape}")
    return np.diagonal(np.linalg.pinv(W) @ W, axis1=-2, axis2=-1).copy()


def _density(density) -> float:
    density = check.density(density)
    if density.ndim:
        raise ValueError(f"density must be one number, got an array of shape {density.shape}")
    return float(density)


def _noise(noise) -> float:
    noise = check.numbers("noise", noise)
    if noise.ndim or noise < 0:
        raise ValueError(f"noise must be one number, at least 0; got {noise}")
    return float(noise)
