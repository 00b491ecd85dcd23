"""Ways of writing two numbers down, and what a reader gets back: orthogonal, superposed, packed into digits.

The two numbers have one digit each, 0, 0.1, ..., 0.9. With the probability `density` a number is active, and then each
of these ten is equally likely; otherwise it is 0. There are 100 inputs, so every mean here is a sum over all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from toysup import check

DIGITS = np.arange(10) / 10
INPUTS = np.stack(np.meshgrid(DIGITS, DIGITS, indexing="ij"), -1).reshape(100, 2)


@dataclasses.dataclass(frozen=True)
class Code:
    """How two numbers are written and read. write: (..., 2) to (..., m). read: (..., m) to (..., 2). m: dimensions."""

    m: int
    write: Callable
    read: Callable


def pack(x):
    """Two numbers in one: the digit of the first, followed by the second. x: (..., 2). Returns (..., 1)."""
    x = np.asarray(x, float)
    return (np.floor(10 * x[..., :1] + 1e-9) + x[..., 1:]) / 10


def unpack(c):
    """What `pack` has packed, by cutting off the first digit. c: (..., 1). Returns (..., 2)."""
    first = np.floor(10 * c + 1e-9)
    return np.concatenate([first / 10, 10 * c - first], -1)


def unpack_nearest(c):
    """The same for a disturbed c: first go to the nearest number that `pack` can have written."""
    return unpack(np.clip(np.rint(100 * c), 0, 99) / 100)


CODES = {
    "orthogonal": Code(2, lambda x: np.asarray(x, float), lambda h: h),
    "superposed": Code(1, lambda x: x[..., :1] - x[..., 1:], lambda h: np.maximum(np.concatenate([h, -h], -1), 0)),
    "digits": Code(1, pack, unpack),
    "digits, nearest": Code(1, pack, unpack_nearest),
}


def chances(density: float = 1.0) -> np.ndarray:
    """The probability of each of the 100 `INPUTS`: (100,)."""
    density = check.density(density)
    if density.ndim:
        raise ValueError(f"density must be one number, got an array of shape {density.shape}")
    one = np.where(DIGITS > 0, density / 10, 1 - 0.9 * density)
    return np.outer(one, one).ravel()


def squared_errors(code: Code, noise: float = 0.0, *, points: int = 1001) -> np.ndarray:
    """E[(x_i - read)²] for each of the 100 `INPUTS` and both numbers, (100, 2), with normal noise on the code.

    noise: its standard deviation, on each dimension, at least 0. points: equally likely values that stand for the
    normal distribution; the error of a result is about 1 / points of the largest squared error.
    """
    z = ndtri((np.arange(check.count("points", points)) + 0.5) / points) * _noise(noise)
    read = code.read(code.write(INPUTS)[:, None, :] + z[:, None])
    return np.square(read - INPUTS[:, None, :]).mean(1)


def explained(code: Code, noise: float = 0.0, density: float = 1.0, *, errors=None) -> np.ndarray:
    """R² of both numbers as the code's own reader reads them: 1 - E[error²] / variance, (2,). Negative is possible.

    noise, density: see `squared_errors` and `chances`. errors: of `squared_errors`, where they are known already.
    """
    p = chances(density)
    errors = squared_errors(code, noise) if errors is None else errors
    return 1 - p @ errors / _variance(p)


def probed(code: Code, noise: float = 0.0, density: float = 1.0) -> np.ndarray:
    """R² of both numbers as the best linear reader reads them, a h + b with the best a and b: (2,)."""
    p, h = chances(density), code.write(INPUTS)
    return linear_probe(h, INPUTS, p, noise)


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


def _variance(p):
    return p @ np.square(INPUTS) - np.square(p @ INPUTS)


def _noise(noise) -> float:
    noise = check.numbers("noise", noise)
    if noise.ndim or noise < 0:
        raise ValueError(f"noise must be one number, at least 0; got {noise}")
    return float(noise)
