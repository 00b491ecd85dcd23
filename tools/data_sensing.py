"""Remake data/sensing.npz: what it takes to read sparse vectors back, with a solver and with a network.

    python -m tools.data_sensing          # about 4 minutes on one core

positive, signed: (50, 100), a row for each random matrix: how many measurements a vector of 100 entries takes when
1, 2, ..., 100 of them are not 0. dims: (15,), and readout, model (15, 20) and solver (15, 5): the shares of the
variance that 32 features of density 0.05 lose in so many dimensions. `border` and `shares` make any piece of it.
"""

import pathlib

import numpy as np

from toysup import configure, sensing

configure()

FILE = pathlib.Path(__file__).resolve().parent.parent / "data" / "sensing.npz"
N, MATRICES = 100, 50
FEATURES, DENSITY, DIMS = 32, 0.05, np.arange(2, 31, 2)


def border(index: int, signed: bool, n: int = N) -> np.ndarray:
    """The border of one random matrix: the measurements needed for k = 1 ... n entries, (n,) integers."""
    draw = np.random.default_rng([index, signed])
    W = draw.standard_normal((n, n))
    return sensing.staircase(W, draw.choice([-1.0, 1.0], size=n) if signed else None)


def shares(m: int) -> sensing.Compared:
    """What is lost in m dimensions: 20 random W with a trained readout, 20 models, 5 random W with the solver."""
    return sensing.compare(int(m), FEATURES, DENSITY)


if __name__ == "__main__":
    made = {"dims": DIMS.astype(np.uint8)}
    for name, signed in (("positive", False), ("signed", True)):
        made[name] = np.array([border(index, signed) for index in range(MATRICES)], np.uint8)
    compared = [shares(m) for m in DIMS]
    made |= {name: np.array([getattr(c, name) for c in compared], np.float32) for name in sensing.Compared._fields}
    np.savez_compressed(FILE, **made)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
