"""Remake data/geometry.npz, what notebook 06 shows of models too large to train on the spot.

python -m tools.data_geometry            about 4 minutes on two cores

Two parts. `sweep`: 400 features in 30 dimensions at 20 densities, trained on samples, two starts each; of the better
one are kept the columns of the represented features. `packs`: k features in d dimensions, for blocks beyond the
exact loss; of the best of several starts is kept what it gains per dimension.
"""

from __future__ import annotations

import time
from pathlib import Path

import jax
import numpy as np

import toysup
from toysup import geometry, packing

toysup.configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "geometry.npz"
INVERSE = np.geomspace(1.1, 20.0, 20).round(2)  # 1/p
N, M, RESTARTS = 400, 30, 2
KEY = jax.random.key(6)
PACKS = [(k, 2) for k in range(5, 9)] + [(k, 3) for k in range(6, 13)] + [(k, 4) for k in range(8, 16)]
PACK_INVERSE = np.geomspace(2.0, 20.0, 12).round(2)


def sweep(inverse=INVERSE, n: int = N, m: int = M, restarts: int = RESTARTS, steps: int = 3000) -> dict:
    """Train n features in m dimensions at each density, and keep the represented columns of the better start.

    Returns arrays by name: inverse (densities,), 1/p; count (densities,) of represented features; columns (m, all of
    them), side by side; norm, D (densities, n), of all features; gain, gain_error (densities,); D_star (densities,
    restarts).
    """
    parts = {name: [] for name in ("count", "columns", "norm", "D", "gain", "gain_error", "D_star")}
    for p in 1 / inverse:
        features = toysup.independent(p, n=n)
        fit = toysup.train(features, m, objective="sampled", restarts=restarts, batch=512, steps=steps, key=KEY)
        gain, error = packing.measured_gain(fit.W, fit.b, p, key=jax.random.key(7))
        best = int(np.argmax(gain))
        W = np.asarray(fit.W[best])
        kept = np.asarray(geometry.represented(W))
        stars = np.asarray(geometry.dimensions_per_feature(fit.W))
        size, share = np.asarray(geometry.norms(W)), np.asarray(geometry.feature_dimensionality(W))
        row = (kept.sum(), W[:, kept], size, share, gain[best], error[best], stars)
        for name, value in zip(parts, row, strict=True):
            parts[name].append(value)
        print(f"1/p = {1 / p:.2f}: {kept.sum()} features, gain {gain[best]:.3f}", flush=True)
    columns = np.concatenate(parts.pop("columns"), axis=1)
    arrays = {name: np.array(values) for name, values in parts.items()} | {"columns": columns}
    short = {name: arrays[name].astype(np.float16) for name in ("columns", "norm", "D")}
    return {"inverse": inverse} | arrays | short


def packs(pairs=tuple(PACKS), inverse=PACK_INVERSE, restarts: int = 6, steps: int = 2000) -> dict:
    """Train k features in d dimensions at each density, and measure the best gain per dimension.

    Returns arrays by name: pairs (blocks, 2); pack_inverse (densities,); pack_gain, pack_error, pack_kept (blocks,
    densities), the last being how many of the k features are represented; space (densities, 3, all k of the blocks
    in three dimensions), their W side by side.
    """
    rows, space = [], []
    for k, d in pairs:
        features = toysup.independent(1 / inverse[:, None], n=k)
        fit = toysup.train(
            features, d, objective="sampled", restarts=restarts, batch=512, steps=steps, learning_rate=0.02, key=KEY
        )
        found = [_best(fit.W[j], fit.b[j], 1 / r) for j, r in enumerate(inverse)]
        rows.append([row for row, _ in found])
        space += [np.array([W for _, W in found])] if d == 3 else []
        print(f"{k} in {d}: gains", *(f"{row[0]:.3f}" for row in rows[-1]), flush=True)
    gain, error, kept = np.moveaxis(np.array(rows), -1, 0)
    found = {"pack_gain": gain, "pack_error": error, "pack_kept": kept.astype(int)}
    found |= {"space": np.concatenate(space, axis=2).astype(np.float16)} if space else {}
    return {"pairs": np.array(pairs), "pack_inverse": inverse, **found}


def _best(W, b, p):
    """The best gain of some restarts, its error, how many features that restart represents; and its W."""
    gain, error = packing.measured_gain(W, b, p, key=jax.random.key(9), samples=2**17)
    best = int(np.argmax(gain))
    return (gain[best], error[best], int(geometry.represented(W[best], 0.4).sum())), np.asarray(W[best])


def main() -> None:
    """Write the file."""
    start = time.time()
    arrays = sweep()
    print(f"sweep: {time.time() - start:.0f} s", flush=True)
    arrays |= packs()
    np.savez_compressed(FILE, **{k: a.round(5) if a.dtype == float else a for k, a in arrays.items()})
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
