"""data/readouts.npz: softmax and ReLU readouts on the same features: phase diagrams, and shapes of many sizes.

python -m tools.data_readouts              some minutes on two cores
python -m tools.data_readouts wide         only the autoencoders; the rest stays as it is
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import jax
import numpy as np

from toysup import autoencoder, configure, independent, sample, softmax, train
from toysup.autoencoder import metrics

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "readouts.npz"
KEY = jax.random.key(10)
SEEDS, FEW = 20, 6
# Six features in two dimensions, all inputs integrated; then twenty in five, inputs drawn.
CONFIDENCES, DENSITIES = np.geomspace(0.5, 20, 9), np.array([1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02])
LARGE_CONFIDENCES, LARGE_DENSITIES = np.array([0.5, 10.0]), np.array([1.0, 0.1, 0.03])
SHAPES = {5: (6, 7, 8, 9, 10), 4: (7,), 2: (6, 8, 12)}  # dimensions: numbers of features, at SHAPE_DENSITY
SHAPE_DENSITY = 0.05
# Sparse autoencoders of several widths on the hidden vectors of twenty features in five dimensions.
WIDTHS, WIDE_DENSITY = (5, 10, 20, 40), 0.03
WIDE = {"variant": "topk", "sparsity": 2, "seeds": 4, "steps": 2000}
WIDE_INPUTS = 2**15


def lines(n: int, m: int, confidences, densities, *, seeds: int = SEEDS, **how) -> dict[str, np.ndarray]:
    """A phase diagram of softmax models, arrays (confidences, densities).

    free: the lowest loss of `seeds` starts. one: lowest loss with m + 1 features written, none in superposition.
    none: with biases only. kept: features represented by the best model. failed: share of starts 5 % above it.
    """
    features = independent(np.array(densities)[:, None], n)
    confidence = np.array(confidences)[:, None]
    free = softmax.train_softmax(features, m, confidence=confidence, restarts=seeds, key=KEY, **how)
    masks = np.stack([np.arange(n) <= m, np.zeros(n)])[:, None, None].astype(float)
    rest = softmax.train_softmax(
        features, m, confidence=confidence, written=masks, restarts=min(FEW, seeds), key=KEY, **how
    )
    one, none = np.asarray(rest.best().loss)
    best = free.best()
    kept = softmax.represented(best.W, best.b, confidence).sum(-1)
    failed = np.mean(np.asarray(free.loss) > 1.05 * np.asarray(best.loss)[..., None], axis=-1)
    return {"free": np.asarray(best.loss), "one": one, "none": none, "kept": kept, "failed": failed}


def shapes(m: int, n: int, readout: str, *, seeds: int = SEEDS) -> dict[str, np.ndarray]:
    """Models of `seeds` starts: W (seeds, m, n), b (seeds, n), loss (seeds,); confidence 10."""
    features = independent(SHAPE_DENSITY, n)
    if readout == "softmax":
        fit = softmax.train_softmax(features, m, most=2 if n > 10 else 3, restarts=seeds, key=KEY)
    else:
        rest = {} if n <= 6 else {"objective": "stratified", "steps": 2000, "batch": 512}
        fit = train(features, m, restarts=seeds, key=KEY, **rest)
    return {"W": np.asarray(fit.W), "b": np.asarray(fit.b), "loss": np.asarray(fit.loss)}


def hidden_models(*, seeds: int = SEEDS, steps: int = 1500) -> dict[str, np.ndarray]:
    """W (5, 20) of four models of twenty features: confidence 10, 0.5, only six features written, untrained."""
    features = independent(WIDE_DENSITY, 20)
    how = {"batch": 256, "steps": steps, "key": KEY}
    free = softmax.train_softmax(features, 5, confidence=np.array([10.0, 0.5]), restarts=seeds, **how).best()
    six = softmax.train_softmax(features, 5, written=(np.arange(20) < 6) * 1.0, restarts=FEW, **how).best()
    random = np.asarray(jax.random.normal(KEY, (5, 20)))
    names = ("confident", "unsure", "six", "untrained")
    return dict(zip(names, map(np.asarray, (*free.W, six.W, random)), strict=True))


def dictionaries(W, *, gaussian: bool = False, **more):
    """Explained variance (widths, seeds) and features recovered (widths, seeds) by autoencoders on h = W x.

    gaussian: on normal vectors with the covariance of h instead, which have no features.
    """
    h = np.asarray(sample(independent(WIDE_DENSITY, 20), WIDE_INPUTS, key=jax.random.key(1))) @ W.T
    if gaussian:
        normal = np.random.default_rng(0).normal(size=h.shape)
        h = h.mean(0) + normal @ np.linalg.cholesky(np.cov(h.T) + 1e-9 * np.eye(5)).T
    models = autoencoder.train(h, WIDTHS[-1], width=np.array(WIDTHS), key=KEY, **WIDE | more)
    written = W.T[np.linalg.norm(W, axis=0) > 0]
    score = lambda one: (
        metrics.explained_variance(h, np.asarray(autoencoder.reconstruct(one, h))),
        metrics.recovered(np.asarray(autoencoder.dictionary(one)), written) * len(written),
    )
    each = [[score(autoencoder.pick(models, k, s)) for s in range(WIDE["seeds"])] for k in range(len(WIDTHS))]
    return np.moveaxis(np.array(each), -1, 0)


def wide_tables():
    """What autoencoders of several widths make of five kinds of hidden vectors."""
    models = hidden_models()
    for name, W in models.items():
        yield f"wide W {name}", W
    for name, W in models.items():
        yield from zip((f"wide variance {name}", f"wide found {name}"), dictionaries(W), strict=True)
    yield "wide variance gaussian", dictionaries(models["confident"], gaussian=True)[0]


def tables():
    """Every table of the file, with its name, one after the other."""
    for name, table in lines(6, 2, CONFIDENCES, DENSITIES, most=6).items():
        yield f"six {name}", table
    for m, sizes in SHAPES.items():
        for n, readout in itertools.product(sizes, ("relu", "softmax")):
            for name, table in shapes(m, n, readout).items():
                yield f"{readout} {n} in {m} {name}", table
    for name, table in lines(20, 5, LARGE_CONFIDENCES, LARGE_DENSITIES, batch=256, steps=1500).items():
        yield f"twenty {name}", table
    yield from wide_tables()


def main(part: str = "") -> None:
    """Measure everything, or the autoencoders only ("wide"), and write the file."""
    kept = dict(np.load(FILE)) if part else {}
    found = wide_tables() if part else tables()
    np.savez_compressed(FILE, **kept | {name: table.astype(np.float32) for name, table in found})


if __name__ == "__main__":
    main(*sys.argv[1:])
