"""data/correlated_sets.npz: two correlated sets of growing size, in as many dimensions as one set has members.

python -m tools.data_correlated        some minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

import toysup
from toysup import correlation

toysup.configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "correlated_sets.npz"
SIZES = (2, 3, 4, 6, 8, 10, 12, 16, 20)
DENSITY, SEEDS, BATCH = 0.05, 24, 512
COLUMNS = ("inside", "across", "local", "overall")


def measure(size: int) -> dict[str, np.ndarray]:
    """Two sets of `size` features in `size` dimensions: COLUMNS by seeds for each kind.

    Kinds: "correlated", and the controls "independent" (features that form no sets) and "frame" (random tight frames
    with the lengths of the trained arrows). The columns: mean |W_i · W_j| inside and across sets, mean feature
    dimensionality among the own set and among all.
    """
    key = jax.random.key(size)
    fit = lambda features: toysup.train(features, size, restarts=SEEDS, objective="sampled", batch=BATCH, key=key).W
    W = fit(toysup.correlated(2, size, DENSITY))
    lengths, keys = np.asarray(toysup.geometry.norms(W), float), jax.random.split(key, SEEDS)
    frames = np.stack([correlation.tight_frame(one, size, key=k) for one, k in zip(lengths, keys, strict=True)])
    kinds = {"correlated": W, "independent": fit(toysup.independent(DENSITY, 2 * size)), "frame": frames}
    return {kind: _columns(W, size) for kind, W in kinds.items()}


def _columns(W, size: int) -> np.ndarray:
    found = correlation.overlaps(W, size)
    local, overall = correlation.local_dimensionality(W, size), toysup.feature_dimensionality(W)
    return np.stack([found.inside, found.across, local.mean(-1), overall.mean(-1)]).astype(np.float32)


def main() -> None:
    """Measure all sizes, and write the file."""
    found = [measure(size) for size in SIZES]
    tables = {kind: np.stack([one[kind] for one in found]) for kind in found[0]}
    np.savez(FILE, sizes=np.array(SIZES), columns=np.array(COLUMNS), density=DENSITY, **tables)


if __name__ == "__main__":
    main()
