"""Remake data/phases_three_in_two.npz: three features in two dimensions, trained on a grid of 100 x 100 cells.

    python -m tools.data_phases          # about 20 seconds on two cores

`diagram` trains any piece of it, with the same restarts.
"""

import pathlib

import numpy as np

import toysup
from toysup import phases

toysup.configure()

FILE = pathlib.Path(__file__).resolve().parent.parent / "data" / "phases_three_in_two.npz"
DENSITY, RATIO = np.geomspace(1, 0.01, 100), np.geomspace(0.1, 10, 100)
RESTARTS = 8


def diagram(density=DENSITY, ratio=RATIO) -> dict[str, np.ndarray]:
    """The best of 8 restarts in each cell: its loss, its plan, and how many restarts came within 0.1 % of it.

    density: (rows,). ratio: importance of feature 2 relative to the others, (columns,). Returns both, and loss
    (rows, columns), plan (an index into `phases.plan_names(3)`) and reached.
    """
    found = toysup.sweep(density=density, relative_importance=ratio, n=3, m=2, restarts=RESTARTS, seed=0)
    return {
        "density": np.asarray(density),
        "ratio": np.asarray(ratio),
        "loss": found.loss.values.astype(np.float32),
        "plan": phases.nearest_plan(found.W.values).astype(np.int8),
        "reached": found.reached.values.astype(np.int8),
    }


if __name__ == "__main__":
    np.savez_compressed(FILE, **diagram())
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
