"""Remake data/geometry.npz, what notebook 06 shows of models too large to train on the spot.

python -m tools.data_geometry            about 5 minutes on two cores

Three parts. `sweep`: 400 features in 30 dimensions at 20 densities, trained on samples, two random starts each.
`dense`: the same below 1/p = 2.3, where random starts fail, from two others: a gentle random one, and a mixture of
shapes. Of the best are kept the columns of the represented features. `packs`: k features in d dimensions, for blocks
beyond the exact loss; the best of several starts is chosen on one draw, and what it gains is measured on another.
"""

from __future__ import annotations

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import toysup
from toysup import geometry, packing
from toysup.features import lowbias, sample_columns
from toysup.geometry import feature_dimensionality
from toysup.optimise import adam

toysup.configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "geometry.npz"
INVERSE = np.geomspace(1.1, 20.0, 20).round(2)  # 1/p
N, M, RESTARTS = 400, 30, 2
KEY = jax.random.key(6)
DENSE = INVERSE[INVERSE < 2.3]
DIGON, TRIANGLE, TETRAHEDRON = (geometry.simplex(k) for k in (2, 3, 4))
MIXTURES = (TETRAHEDRON, TETRAHEDRON, TRIANGLE, DIGON, DIGON)  # the shape of the highest gain at each density of DENSE
PACKS = {3: range(6, 13), 4: (8, 10, 11, 12, 13, 14, 16, 18), 5: (14, 18, 22), 6: (18, 23, 28)}  # k for each d
PACK_RESTARTS = {3: 6, 4: 4, 5: 4, 6: 4}
PAIRS = tuple((k, d) for d, ks in PACKS.items() for k in ks)
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
        stars = np.asarray(geometry.dimensions_per_feature(fit.W))
        for name, value in zip(parts, (*_shape(fit.W[best]), gain[best], error[best], stars), strict=True):
            parts[name].append(value)
        print(f"1/p = {1 / p:.2f}: {parts['count'][-1]} features, gain {gain[best]:.3f}", flush=True)
    return {"inverse": inverse} | _joined(parts)


def dense(inverse=DENSE, shapes=MIXTURES, n: int = N, m: int = M) -> dict:
    """Dense models from two more starts: a gentle random one, and a mixture of shapes, before and after training.

    Returns arrays by name. gentle_gain, mixture_gain, trained_gain (densities,): of the gentle start after training,
    of the mixture as it was put together, of the mixture after training; count, columns, norm, D, gain, gain_error and
    D_star (densities,) as in `sweep`, of the last, the best of the three.
    """
    names = ("count", "columns", "norm", "D", "gentle_gain", "mixture_gain", "gain", "gain_error", "D_star")
    parts = {name: [] for name in names}
    for r, shape in zip(inverse, shapes, strict=True):
        p, mixed = 1 / r, mixture(shape, 1 / r, n, m)
        plain = adam_on_samples(gentle(p, n, m), p, 0.01, 3000, 512)
        grown = adam_on_samples(mixed, p, 0.0003, 2000, 2048)
        measured = [packing.measured_gain(W, b, p, key=jax.random.key(7)) for W, b in (plain, mixed, grown)]
        star = float(geometry.dimensions_per_feature(grown[0]))
        row = (*_shape(grown[0]), measured[0][0], measured[1][0], *measured[2], star)
        for name, value in zip(names, row, strict=True):
            parts[name].append(value)
        print(f"1/p = {r:.2f}: gains", *(f"{g:.3f}" for g, _ in measured), flush=True)
    return _joined(parts)


def gentle(p: float, n: int, m: int):
    """A random start as small as Glorot's, whose biases answer the mean: W (m, n), b (n,)."""
    return jax.random.normal(KEY, (m, n)) * (2 / (n + m)) ** 0.5, jnp.full(n, p / 2)


def mixture(shape, p: float, n: int, m: int, faint: float = 0.003):
    """Copies of one shape, at its best length and bias, at right angles to each other; all other arrows are faint."""
    d, dressed = len(shape), packing.dress(shape, p)
    axes = np.asarray(jax.random.orthogonal(KEY, m))[:, : m // d * d].reshape(m, m // d, d)
    placed = np.einsum("mbd,dk->mbk", axes, float(dressed.length) * np.asarray(shape)).reshape(m, -1)
    W = faint * np.asarray(jax.random.normal(jax.random.key(1), (m, n)), float)
    W[:, : placed.shape[1]] = placed
    b = np.where(np.arange(n) < placed.shape[1], float(dressed.bias), p / 2)
    return jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32)


def adam_on_samples(start, p: float, rate: float, steps: int, batch: int):
    """Adam from a given start, on inputs drawn anew at every step: W, b."""
    features = toysup.independent(p, n=start[1].size)

    def objective(parameters, key):
        W, b = parameters
        x = sample_columns(features, batch, key=key, uniform=lowbias)
        return jnp.mean(jnp.sum((x - jax.nn.relu(W.T @ (W @ x) + b[:, None])) ** 2, 0)) * 3 / (features.n * p)

    return jax.jit(lambda start: adam(objective, start, rate, steps, key=KEY))(start)


def _shape(W):
    """How many features are represented, their columns, and length and dimensionality of all."""
    kept = np.asarray(geometry.represented(W))
    return kept.sum(), np.asarray(W)[:, kept], np.asarray(geometry.norms(W)), np.asarray(feature_dimensionality(W))


def _joined(parts: dict) -> dict:
    """Rows as arrays; columns side by side, what is large in half precision."""
    columns = np.concatenate(parts.pop("columns"), axis=1)
    arrays = {name: np.array(values) for name, values in parts.items()} | {"columns": columns}
    return arrays | {name: arrays[name].astype(np.float16) for name in ("columns", "norm", "D")}


def packs(pairs=PAIRS, inverse=PACK_INVERSE, steps: int = 2000) -> dict:
    """Train k features in d dimensions at each density, and measure the gain per dimension of the best start.

    Returns arrays by name: pairs (blocks, 2); pack_inverse (densities,); pack_gain, pack_error, pack_kept (blocks,
    densities), the last being how many of the k features are represented; space (densities, 3, all k of the blocks
    in three dimensions), their W side by side.
    """
    rows, space = [], []
    for k, d in pairs:
        features = toysup.independent(1 / inverse[:, None], n=k)
        fit = toysup.train(
            features, d, objective="sampled", restarts=PACK_RESTARTS[d], batch=512, steps=steps, learning_rate=0.02,
            key=KEY,
        )  # fmt: skip
        found = [_best(fit.W[j], fit.b[j], 1 / r) for j, r in enumerate(inverse)]
        rows.append([row for row, _ in found])
        space += [np.array([W for _, W in found])] if d == 3 else []
        print(f"{k} in {d}: gains", *(f"{row[0]:.3f}" for row in rows[-1]), flush=True)
    gain, error, kept = np.moveaxis(np.array(rows), -1, 0)
    found = {"pack_gain": gain, "pack_error": error, "pack_kept": kept.astype(int)}
    found |= {"space": np.concatenate(space, axis=2).astype(np.float16)} if space else {}
    return {"pairs": np.array(pairs), "pack_inverse": inverse, **found}


def _best(W, b, p):
    """Of the best restart on one draw: its gain on another, the error, how many features it represents; and its W."""
    best = int(np.argmax(packing.measured_gain(W, b, p, key=jax.random.key(9), samples=2**16)[0]))
    gain, error = packing.measured_gain(W[best], b[best], p, key=jax.random.key(10), samples=2**17)
    return (gain, error, int(geometry.represented(W[best], 0.4).sum())), np.asarray(W[best])


def with_dense(swept: dict, found: dict) -> dict:
    """The arrays of `sweep`, with those of `dense` in the place of its dense models."""
    few, cut = len(DENSE), int(swept["count"][: len(DENSE)].sum())
    random = {"random_gain": swept["gain"][:few], "random_star": swept["D_star"][:few].mean(1)}
    joined = {
        name: np.concatenate([found[name], swept[name][few:]]) for name in ("count", "norm", "D", "gain", "gain_error")
    }
    star = {"D_star": np.concatenate([found["D_star"], swept["D_star"][few:].mean(1)])}
    columns = {"columns": np.concatenate([found["columns"], swept["columns"][:, cut:]], axis=1)}
    kept = {name: found[name] for name in ("gentle_gain", "mixture_gain")}
    return {"inverse": swept["inverse"]} | joined | star | columns | random | kept


def main() -> None:
    """Write the file."""
    start = time.time()
    arrays = with_dense(sweep(), dense())
    print(f"sweep: {time.time() - start:.0f} s", flush=True)
    arrays |= packs()
    np.savez_compressed(FILE, **{k: a.round(5) if a.dtype == float else a for k, a in arrays.items()})
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
