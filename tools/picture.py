"""Draw the picture of the README: five features in two dimensions at three sparsities.

python tools/picture.py        writes data/superposition.png
"""

from pathlib import Path

import jax
import numpy as np

import toysup
from toysup.geometry import describe
from toysup.marks import Arrows, Plot
from toysup.plots import show

toysup.configure()

PATH = Path(__file__).resolve().parent.parent / "data" / "superposition.png"


def plots() -> list[Plot]:
    """One plot for each sparsity, with the plan that the best of 32 restarts found."""
    sparsity = np.array([0.0, 0.8, 0.9])
    features = toysup.independent(1 - sparsity[:, None], n=5)
    fit = toysup.train(features, 2, importance=0.9 ** np.arange(5), restarts=32, key=jax.random.key(0)).best()
    W = toysup.canonicalize(fit.W, anchor=0)
    return [Plot(f"sparsity {s:.1f}: {describe(w)}", Arrows(w, limit=1.4)) for s, w in zip(sparsity, W, strict=True)]


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    show(plots()).save(PATH, dpi=110)
    print(f"wrote {PATH}")
