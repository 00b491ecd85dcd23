"""Remake data/sensing.npz: what it takes to read sparse vectors back, with a solver and with a network.

    python -m tools.data_sensing          # about 5 minutes on two idle cores

positive, signed: (50, 100), a row for each random matrix: how many measurements a vector of 100 entries takes when
1, 2, ..., 100 of them are not 0. dims: (15,), and readout, model (15, 20) and solver (15, 5): the shares of the
variance that 32 features of density 0.05 lose in so many dimensions. search: (4, 2), the same for the search through
all sets, in 2, 4, 6 and 8 dimensions. depths: (5,), and unrolled (5, 5): the same in 12 dimensions for so many trained
steps. `border`, `shares`, `searched` and `unrolled` make any piece of it.
"""

import pathlib

import jax
import numpy as np

from toysup import coherence, configure, sensing

configure()

FILE = pathlib.Path(__file__).resolve().parent.parent / "data" / "sensing.npz"
N, MATRICES = 100, 50
FEATURES, DENSITY, DIMS = 32, 0.05, np.arange(2, 31, 2)
SEARCHED, DEPTHS = np.array([2, 4, 6, 8]), np.array([1, 2, 4, 8, 16])


def border(index: int, signed: bool, n: int = N) -> np.ndarray:
    """The border of one random matrix: the measurements needed for k = 1 ... n entries, (n,) integers."""
    draw = np.random.default_rng([index, signed])
    W = draw.standard_normal((n, n))
    return sensing.staircase(W, draw.choice([-1.0, 1.0], size=n) if signed else None)


def shares(m: int) -> sensing.Compared:
    """What is lost in m dimensions: 20 random W with a trained readout, 20 models, 5 random W with the solver."""
    return sensing.compare(int(m), FEATURES, DENSITY)


def inputs(many: int) -> np.ndarray:
    """The inputs on which `shares` judges, or the first of them: (32, many)."""
    return sensing.unseen(FEATURES, DENSITY)[:, :many]


def searched(m: int, draws: int = 2) -> np.ndarray:
    """What the search through all sets loses in m dimensions, on the first random W of `shares`: (draws,)."""
    x = inputs(200)
    frames = coherence.random_frame(int(m), FEATURES, seed=0, draws=20)[:draws]
    return np.array([sensing.lost(x, sensing.search(W, W @ x), DENSITY) for W in frames])


def unrolled(depth: int, draws: int = 5) -> np.ndarray:
    """What so many trained steps lose in 12 dimensions, on the first random W of `shares`: (draws,)."""
    x, frames = inputs(2000), coherence.random_frame(12, FEATURES, seed=0, draws=20)[:draws]
    V, b = sensing.train_steps(frames, DENSITY, int(depth), key=jax.random.key(1))
    read = [np.asarray(sensing.unroll(W, W @ x, v, c), float) for W, v, c in zip(frames, V, b, strict=True)]
    return np.array([sensing.lost(x, guess, DENSITY) for guess in read])


if __name__ == "__main__":
    made = {"dims": DIMS.astype(np.uint8)}
    for name, signed in (("positive", False), ("signed", True)):
        made[name] = np.array([border(index, signed) for index in range(MATRICES)], np.uint8)
    compared = [shares(m) for m in DIMS]
    made |= {name: np.array([getattr(c, name) for c in compared], np.float32) for name in sensing.Compared._fields}
    made["search"] = np.array([searched(m) for m in SEARCHED], np.float32)
    made |= {"depths": DEPTHS.astype(np.uint8), "unrolled": np.array([unrolled(d) for d in DEPTHS], np.float32)}
    np.savez_compressed(FILE, **made)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
