"""data/memorisation.npz: toy models trained on sets of 3 to 2,048 samples, and what they store.

python -m tools.data_memorisation        about ten minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from toysup import configure, independent, memory

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "memorisation.npz"
FEATURES, DENSITY, SEEDS = 200, 0.03, 20
KEY = jax.random.key(13)
SIZES = (3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 2048)
FEWER = (5, 8, 16, 32, 64, 128, 256, 512)
SQUARE = (5, 8, 16, 32, 64, 128, 256)

# Name of each table, its sizes, and what differs from two dimensions, samples of length 1 and the usual training.
TABLES = {
    "usual": (SIZES, {}),
    **{f"decay {decay:g}": (FEWER, {"weight_decay": decay}) for decay in (0.0, 0.1, 0.3, 1.0, 3.0)},
    **{f"steps {steps}": (FEWER, {"steps": steps}) for steps in (500, 8000)},
    **{f"m {m}": (FEWER, {"m": m}) for m in (1, 3, 5, 10)},
    "raw": (FEWER, {"unit": False}),
    "fresh": (FEWER, {"fresh": True}),
    "square": (SQUARE, {"m": FEATURES, "seeds": 5}),
}


def train(sizes, *, m: int = 2, seeds: int = SEEDS, **how) -> memory.Memory:
    """Models of this page's features, all sizes in one program."""
    return memory.memorise(independent(DENSITY, FEATURES), m, samples=sizes, seeds=seeds, key=KEY, **how)


def table(name: str, sizes=None, seeds: int | None = None) -> np.ndarray:
    """The scores of one table, (scores, sizes, seeds), in the order of `memory.SCORES`; or a piece of it."""
    usual, how = TABLES[name]
    how = how | ({} if seeds is None else {"seeds": seeds})
    each = [memory.scores(train([size], **how)) for size in (usual if sizes is None else sizes)]
    return np.stack([np.concatenate([one[score] for one in each]) for score in memory.SCORES]).astype(np.float32)


if __name__ == "__main__":
    found = {}
    for name in TABLES:
        found[name] = table(name)
        print(name, found[name][1].mean(-1).round(3), flush=True)
    np.savez_compressed(FILE, **found)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
