"""Remake data/cooccurrence.npz and data/autoencoder_relu.safetensors: pairs of latents, on language and on nulls.

python -m tools.data_cooccurrence                   all parts, about 13 minutes of one core
python -m tools.data_cooccurrence noise small       some of them; the rest of the file stays

autoencoders: two variants of sparse autoencoders on the neurons of both transformers, on Gaussian inputs of the same
covariance, and on neurons shuffled one by one; every mean cosine of `cooccurrence.cells`. noise: pairs of latents of
one that was trained on noise, to be drawn. merged: autoencoders on a toy in which each feature has a dimension, and
the pairs that are left with one latent. crowd: twelve pairs of features in eight dimensions. small: two pairs in two
and in four dimensions, from many starts.
"""

from __future__ import annotations

import sys
import time

import jax
import numpy as np

from tools.data_language import FOLDER, MODELS, texts
from toysup import actions, autoencoder, configure, cooccurrence
from toysup.autoencoder import metrics
from toysup.correlation import pair_cosines, pairs
from toysup.language import checkpoint, dictionaries

configure()

FILE = FOLDER / "cooccurrence.npz"
SOURCES = ("language", "same covariance", "shuffled")
VARIANTS = {"relu": 0.2, "batchtopk": 8}  # and their sparsity
LATENTS, SHIPPED, STEPS, BATCH, RATE = 512, 384, 800, 512, 3e-3
LEARN, KEEP = 800, 400  # windows of text
TOGETHER, COSINES = (0.0, 0.1, 0.5, 1.0), (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0)
SETS, DENSITY, SEEDS, PENALTIES, OWN = 4, 0.1, 20, (0.05, 0.2), 0.9

CROWD_TOGETHER, CROWD_SIMILARITY, CROWD_DENSITY = (0.0, 0.05, 1.0), (0.0, 0.6, 1.0), 0.05
ROOM, SMALL_TOGETHER, SMALL_SIMILARITY, STARTS = (2, 4), (0.0, 0.1, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0), 96
SHOWN, BINS = 1500, 80  # pairs of latents to be drawn; bins of cosines from -1 to 1


def inputs(h, source: str, seed: int):
    """The neurons' activations, or what takes their place."""
    made = {
        "language": lambda: h,
        "same covariance": lambda: cooccurrence.same_covariance(h, seed=seed),
        "shuffled": lambda: cooccurrence.shuffled_dimensions(h, seed=seed),
    }
    return np.asarray(made[source](), np.float32)


def dictionary(h, variant: str, latents: int = LATENTS, steps: int = STEPS):
    """One autoencoder of inputs h (inputs, neurons)."""
    models = autoencoder.train(
        h, latents, variant=variant, sparsity=VARIANTS[variant], steps=steps, batch=BATCH, learning_rate=RATE,
        dead="resample", key=jax.random.key(0),
    )  # fmt: skip
    return autoencoder.pick(models, 0)


def scores(seen, model, h) -> dict[str, np.ndarray]:
    """What its pairs of latents are like: cells (axes, outputs, 2, 2), their counts, agreements, and the rest."""
    a = np.asarray(autoencoder.encode(model, h))
    kept = cooccurrence.often(a)
    D, E = np.asarray(autoencoder.dictionary(model))[kept], np.asarray(model.E)[kept]
    found = cooccurrence.survey(seen, a[:, kept], D, E, h=h)
    axis = lambda name: getattr(found, name)
    table = [
        [cooccurrence.cells(found.cosine, axis(x), axis(y)) for y in cooccurrence.OUTPUTS] for x in cooccurrence.AXES
    ]
    rebuilt = np.asarray(autoencoder.decode(model, a))
    return {
        "mean": np.array([[cell.mean for cell in row] for row in table], np.float32),
        "n": np.array([[cell.n for cell in row] for row in table], np.int32),
        "agreement": np.array(
            [cooccurrence.agreement(found.cosine, axis(x)) for x in (*cooccurrence.AXES, *cooccurrence.OUTPUTS)],
            np.float32,
        ),
        "rest": np.array(
            [
                len(kept),
                metrics.l0(a),
                metrics.explained_variance(h, rebuilt),
                cooccurrence.pairs_of("cosine", found.cosine).mean(),
            ],
            np.float32,
        ),
    }


def two_latents(together: float, cosine: float, *, seeds: int = SEEDS, steps: int = 800) -> np.ndarray:
    """The share of pairs whose two features have a latent each, (penalties, seeds).

    A feature's latent is the one whose direction is nearest; it is its own if the cosine is above `OWN` and if it is
    not also the partner's.
    """
    W = toy(2 * cosine / (1 + cosine**2))  # the ρ of which this is the `roomy_cosine`
    source = autoencoder.Hidden(pairs(SETS, DENSITY, together), W)
    models = autoencoder.train(
        source, 4 * SETS, sparsity=np.array(PENALTIES), seeds=seeds, steps=steps, batch=256, learning_rate=1e-2,
        key=jax.random.key(0),
    )  # fmt: skip
    h = np.asarray(autoencoder.training.draw(source, 4096, jax.random.key(1)))
    out = np.zeros((len(PENALTIES), seeds))
    for place in np.ndindex(out.shape):
        model = autoencoder.pick(models, *place)
        alive = (np.asarray(autoencoder.encode(model, h)) > 0).mean(0) > 1e-3
        C = metrics.cosines(np.asarray(autoencoder.dictionary(model))[alive], W.T)
        nearest, close = C.argmax(0), C.max(0) > OWN
        first, second = slice(0, None, 2), slice(1, None, 2)
        out[place] = ((nearest[first] != nearest[second]) & close[first] & close[second]).mean()
    return out


def toy(similarity: float) -> np.ndarray:
    """W (n, n) of the toy in which every feature has a dimension: balanced, U W = A."""
    A = np.asarray(actions.actions(SETS, similarity))
    return np.asarray(actions.balanced(A, np.eye(len(A))))


def crowd(readout: str, together=CROWD_TOGETHER, similarity=CROWD_SIMILARITY, *, seeds=SEEDS, steps: int = 2500):
    """Twelve pairs in eight dimensions: cosines of partners, of others, losses; (3, together, similarity, seeds)."""
    fit = actions.train(
        np.asarray(together)[:, None], np.asarray(similarity), sets=12, m=8, density=CROWD_DENSITY, readout=readout,
        restarts=seeds, steps=steps, key=jax.random.key(0),
    )  # fmt: skip
    return np.stack([np.asarray(x) for x in (pair_cosines(fit.W).mean(-1), actions.across(fit.W), fit.loss)])


def small(m: int, readout: str) -> np.ndarray:
    """Two pairs in m dimensions: cosines of partners, of others, losses; (3, together, similarity, starts)."""
    fit = actions.train(
        np.array(SMALL_TOGETHER)[:, None], np.array(SMALL_SIMILARITY), m=m, readout=readout, restarts=STARTS,
        key=jax.random.key(0),
    )  # fmt: skip
    return np.stack([np.asarray(x) for x in (pair_cosines(fit.W).mean(-1), actions.across(fit.W), fit.loss)])


def autoencoders() -> dict[str, np.ndarray]:
    """What `scores` says of every model, source and variant; writes the dictionary that is shipped, too."""
    learned, kept = texts()
    made: dict[str, list] = {}
    for name in MODELS:
        source = checkpoint.load(FOLDER / f"transformer_{name}.safetensors")
        learn = dictionaries.observe(source.model, learned, source.alphabet, LEARN).h
        seen = dictionaries.observe(source.model, kept, source.alphabet, KEEP)
        for kind in SOURCES:
            for variant in VARIANTS:
                start = time.process_time()
                model = dictionary(inputs(learn, kind, 0), variant)
                found = scores(seen, model, inputs(seen.h, kind, 1))
                for key, value in found.items():
                    made.setdefault(key, []).append(value)
                print(name, kind, variant, found["rest"], f"{time.process_time() - start:.0f} CPU s", flush=True)
                print("   agreement", found["agreement"], flush=True)
                for x, m, n in zip(cooccurrence.AXES, found["mean"], found["n"], strict=True):
                    print("  ", x, np.round(m, 3).tolist(), n.tolist(), flush=True)
            if name == "a" and kind == "language":
                model = dictionary(learn, "relu", SHIPPED)
                dictionaries.save(FILE.with_name("autoencoder_relu.safetensors"), model, transformer=name, steps=STEPS)
    shape = (len(MODELS), len(SOURCES), len(VARIANTS))
    return {key: np.stack(value).reshape(*shape, *value[0].shape) for key, value in made.items()}


def noise() -> dict[str, np.ndarray]:
    """Of latents trained on Gaussian noise: cosine, φ and ablation of some pairs, and how often each cosine occurs."""
    learned, kept = texts()
    source = checkpoint.load(FOLDER / f"transformer_{next(iter(MODELS))}.safetensors")
    learn = dictionaries.observe(source.model, learned, source.alphabet, LEARN).h
    seen = dictionaries.observe(source.model, kept, source.alphabet, KEEP)
    model, h = dictionary(inputs(learn, "same covariance", 0), "relu"), inputs(seen.h, "same covariance", 1)
    a = np.asarray(autoencoder.encode(model, h))
    on = cooccurrence.often(a)
    found = cooccurrence.survey(
        seen, a[:, on], np.asarray(autoencoder.dictionary(model))[on], np.asarray(model.E)[on], h=h
    )
    table = np.stack([cooccurrence.pairs_of(x, getattr(found, x)) for x in ("cosine", "phi", "ablation")])
    some = np.random.default_rng(0).choice(table.shape[1], SHOWN, replace=False)
    counts = np.histogram(table[0], BINS, (-1, 1))[0]
    print("noise: all pairs", table.shape[1], "mean", table.mean(1), "sd", table.std(1), flush=True)
    return {"noise_pairs": table[:, some].astype(np.float16), "noise_cosines": counts.astype(np.int32)}


def merged() -> dict[str, np.ndarray]:
    """`two_latents` at every setting."""
    found = np.array([[two_latents(c, r) for r in COSINES] for c in TOGETHER], np.float32)
    for c, row in zip(TOGETHER, found.mean(-1), strict=True):
        print("together", c, np.round(row, 2).T.tolist(), flush=True)
    return {"two_latents": found}


def crowds() -> dict[str, np.ndarray]:
    """`crowd` with every readout."""
    found = np.stack([crowd(readout) for readout in actions.READOUTS]).astype(np.float32)
    print("crowd, mean over seeds", np.round(found.mean(-1), 2).tolist(), flush=True)
    return {"crowd": found}


def smalls() -> dict[str, np.ndarray]:
    """`small` in every room, with every readout."""
    found = np.stack([[small(m, readout) for readout in actions.READOUTS] for m in ROOM]).astype(np.float32)
    low = found[:, :, 2].argmin(-1)[:, :, None, ..., None]
    print("small, best", np.round(np.take_along_axis(found, low, -1)[..., 0], 3).tolist(), flush=True)
    return {"small": found}


PARTS = {"autoencoders": autoencoders, "noise": noise, "merged": merged, "crowd": crowds, "small": smalls}


def main(names) -> None:
    """Write the file and print what is in it; without names all parts, else these, in the place of what it held."""
    arrays = dict(np.load(FILE)) if names else {}
    for name in names or PARTS:
        arrays |= PARTS[name]()
    arrays |= {
        "together": TOGETHER, "cosines": COSINES, "penalties": PENALTIES, "room": ROOM,
        "small_together": SMALL_TOGETHER, "small_similarity": SMALL_SIMILARITY,
    }  # fmt: skip
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
