"""Remake data/one_feature.npz: plain training by the recipe of the paper's companion notebook, one feature differing.

python -m tools.data_one_feature

64 runs of 10,000 steps of 1,024 inputs for each density ratio of the varied feature, five features in two dimensions,
and as many at ratio 1 and 0.4 for 5 to 8 features in three dimensions. A few minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from toysup import configure, expected_loss
from toysup.branches import one_differs
from toysup.recipe import plain_training

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "one_feature.npz"
DENSITY, RUNS = 0.05, 64
RATIOS = (1.0, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2)
DEEP_RATIOS, DEEP_FEATURES, DEEP_RUNS = (1.0, 0.4), (5, 6), 64


def make(ratio: float, n: int = 5, m: int = 2, runs: int = RUNS):
    """The runs of one ratio: W (runs, m, n), b (runs, n), and their exact losses (runs,)."""
    features = one_differs(DENSITY, ratio, n)
    W, b = plain_training(features, m, runs=runs, key=jax.random.key(round(1000 * ratio)))
    return tuple(np.asarray(a, np.float32) for a in (W, b, expected_loss(W, b, features)))


def main() -> None:
    """Train, and write the file."""
    W, b, loss = (np.stack(a) for a in zip(*(make(ratio) for ratio in RATIOS), strict=True))
    deep = {
        f"deep_loss_{n}": np.stack([make(ratio, n, 3, DEEP_RUNS)[2] for ratio in DEEP_RATIOS]) for n in DEEP_FEATURES
    }
    np.savez_compressed(FILE, ratio=RATIOS, W=W, b=b, loss=loss, deep_ratio=DEEP_RATIOS, **deep)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
