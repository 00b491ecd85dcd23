"""data/dynamics.npz: many equal features in few dimensions, watched while they are trained as people do it.

python -m tools.data_dynamics        some minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

import toysup
from toysup import dynamics

toysup.configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "dynamics.npz"
RUNS, EVERY, RATE, KEPT = 24, 50, 1e-3, 24
LARGE = {"n": 100, "m": 10, "density": 0.4, "spread": (2 / 110) ** 0.5, "steps": 10_000, "batch": 512}
SMALL = tuple(  # the same question for other settings, of which only COLUMNS are kept
    {"n": 40, "m": 5, "density": p, "spread": s, "steps": 6000, "batch": 256}
    for p in (1 / 3, 0.4, 0.5)
    for s in (0.1, 10**-0.5)
)
SKIP = 1000  # steps that do not count for `together`: at the start everything moves
COLUMNS = ("density", "spread", "ups", "downs", "runs_with_a_down", "swaps", "together", "control", "scatter")


def histories(setting, runs: int = RUNS, steps: int | None = None):
    """Steps, feature dimensionalities (runs, records, n) and losses (runs, records) of Adam at a constant rate."""
    n, m, p, spread, usual, batch = setting.values()
    seen = dynamics.watch(
        toysup.independent(p, n), m, objective="sampled", rule="adam", rate=RATE, steps=steps or usual, every=EVERY,
        runs=runs, spread=spread, batch=batch, key=jax.random.key(0),
    )  # fmt: skip
    return seen.steps, np.asarray(toysup.feature_dimensionality(seen.W)), np.asarray(seen.loss)


def summary(setting, steps, D, loss) -> np.ndarray:
    """One row of COLUMNS."""
    found = dynamics.jumps(steps, D, loss)
    downs = [jump for jump in found if not jump.up]
    together, others = dynamics.moves_with_loss(D, loss, window=4, skip=SKIP // EVERY)
    counts = (len(found) - len(downs), len(downs), len({jump.run for jump in downs}), len(dynamics.swaps(found)))
    return np.array([setting["density"], setting["spread"], *counts, together, others.mean(), others.std()])


def highest(D, kept: int = KEPT):
    """Of each run the features that come highest, in order of their numbers, and their numbers."""
    which = np.sort(np.argsort(-D.max(1), axis=-1, kind="stable")[:, :kept], axis=-1)
    return np.take_along_axis(D, which[:, None], -1), which


def main() -> None:
    """Train all settings, and write the file."""
    steps, D, loss = histories(LARGE)
    rows = [summary(LARGE, steps, D, loss), *(summary(s, *histories(s)) for s in SMALL)]
    few, which = highest(D)
    np.savez_compressed(
        FILE, steps=steps, D=few.astype(np.float16), which=which.astype(np.uint8), loss=loss.astype(np.float32),
        moved=np.abs(np.diff(D, axis=1)).sum(-1).astype(np.float16), rows=np.array(rows), columns=np.array(COLUMNS),
    )  # fmt: skip


if __name__ == "__main__":
    main()
