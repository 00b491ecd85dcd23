"""data/autoencoder_failures.npz: sparse autoencoders of six variants on patients that each show one failure.

python -m tools.data_failures              about eight minutes on two cores
python -m tools.data_failures "zoo topk"   only the tables whose names begin so; the others stay as they are
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np

from toysup import autoencoder, configure, failures, independent
from toysup.autoencoder import metrics
from toysup.correlation import pairs

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "autoencoder_failures.npz"
KEY, UNSEEN = jax.random.key(15), jax.random.key(16)
SEEDS, ROWS, LATENTS = 20, 2**14, 32
RECIPE = {"batch": 256, "learning_rate": 0.01}
WEIGHTS = {  # chosen so that between about 1 and 12 latents are active per input
    "relu": (0.03, 0.06, 0.1, 0.2, 0.4, 0.8),
    "gated": (0.1, 0.2, 0.3, 0.5, 0.8, 1.2),
    "topk": (1, 2, 3, 4, 6, 8),
    "batchtopk": (1, 2, 3, 4, 6, 8),
    "jumprelu": (0.003, 0.01, 0.03, 0.06, 0.1, 0.2),
    "matryoshka": (1, 2, 3, 4, 6, 8),
}
MIDDLE = {"relu": 0.2, "gated": 0.8, "topk": 3, "batchtopk": 3, "jumprelu": 0.06, "matryoshka": 3}
WIDTHS = (16, 32, 64)
REMEDY = dict.fromkeys(("topk", "batchtopk", "matryoshka"), "auxiliary")  # as their papers have it; the others: none
NARROW = 0.001  # JumpReLU's bandwidth and first threshold in its paper
DEAD = ("none", "resample", "restart", "auxiliary", "both")
DEAD_SCORES = ("dead", "explained", "f1")
WIDTH_SCORES = ("absorption", "mixing", "f1")
SPLIT_WIDTHS, SPLIT_CHILDREN = (2, 3, 4, 6, 8, 10, 12, 16), 4
TOYS = ("child", "stranger", "pair", "apart")


def zoo_scores(variant: str, spread: float, weights, *, latents=LATENTS, dead=None, steps=1000, seeds=SEEDS, **more):
    """Scores of the zoo in 24 dimensions, (scores, weights, seeds), in the order of `failures.Card`.

    dead: what is done about dead latents; None is what the variant's paper does. more: for `autoencoder.train`.
    """
    dead = REMEDY.get(variant, "none") if dead is None else dead
    animals = failures.zoo(24, key=KEY)
    x, unseen = (failures.inputs(animals.features, n, spread=spread, key=k) for n, k in ((ROWS, KEY), (4096, UNSEEN)))
    models = autoencoder.train(
        x @ animals.W.T, latents, variant=variant, sparsity=np.array(weights, float), seeds=seeds,
        steps=steps, dead=dead, key=KEY, **RECIPE, **more,
    )  # fmt: skip
    return np.array(failures.measure(models, animals, unseen), np.float32)


def toy_features(name: str):
    """Four orthogonal features: 0 and 1 are parent and child, strangers, friends, or an independent pair."""
    two = {
        "child": lambda: failures.nested(1, 1, 0.25, 0.5),
        "stranger": lambda: independent(np.array([0.25, 0.125])),
        "pair": lambda: pairs(1, 0.2, 0.6),
        "apart": lambda: pairs(1, 0.2, 0.2),
    }
    return two[name]() + independent(0.1, 2)


def toy_scores(name: str, variant: str, *, seeds=SEEDS) -> np.ndarray:
    """Of four features of strength 1 and four latents, (weights, seeds): absorption of 0 by 1, or their mixing."""
    features = toy_features(name)
    x, unseen = (failures.inputs(features, n, spread=0.0, key=k) for n, k in ((ROWS, KEY), (4096, UNSEEN)))
    models = autoencoder.train(
        x, 4, variant=variant, sparsity=np.array(toy_weights(variant), float), seeds=seeds, steps=1000, key=KEY,
        **RECIPE,
    )  # fmt: skip
    return np.array([[_toy_score(name, m, unseen) for m in row] for row in _each(models)], np.float32)


def toy_weights(variant: str):
    """Two settings for the small patients, whose inputs hold less than one feature on average."""
    return (1, 2) if variant in ("topk", "batchtopk", "matryoshka") else WEIGHTS[variant][3:5]


def _each(models):
    return [[autoencoder.pick(models, i, j) for j in range(models.b.shape[1])] for i in range(len(models.b))]


def _toy_score(name, model, x) -> float:
    D = np.asarray(autoencoder.dictionary(model))
    if name in ("pair", "apart"):
        return failures.mixing(D, np.eye(4), [[0, 1]])
    return metrics.absorption(np.asarray(autoencoder.encode(model, x)), x, 0, 1, D, np.eye(4))


def splitting(*, widths=SPLIT_WIDTHS, seeds=SEEDS) -> dict[str, np.ndarray]:
    """Two families of four children each, strengths 1, ReLU latents: (widths, seeds) scores, and dictionaries.

    one, four: F1 for parents of the best latent, and of up to four together. living: latents that are ever active.
    explained. D: that of the seed with the lowest objective, (widths, 16, 10), rows in the order of their children.
    """
    features = failures.nested(2, SPLIT_CHILDREN, 0.2, 1.0)
    x, unseen = (failures.inputs(features, n, spread=0.0, key=k) for n, k in ((ROWS, KEY), (4096, UNSEEN)))
    models = autoencoder.train(
        x, max(SPLIT_WIDTHS), sparsity=0.2, width=np.array(widths), seeds=seeds, steps=1000, dead="resample", key=KEY,
        **RECIPE,
    )  # fmt: skip
    found = np.array([[_split_score(m, unseen) for m in row] for row in _each(models)], np.float32)
    best = found[..., 4].argmin(1)
    D = [_ordered(np.asarray(autoencoder.dictionary(autoencoder.pick(models, i, k)))) for i, k in enumerate(best)]
    return dict(zip(("one", "four", "living", "explained"), np.moveaxis(found, -1, 0)[:4], strict=True)) | {"D": D}


def _split_score(model, x) -> tuple[float, ...]:
    a, rebuilt = np.asarray(autoencoder.encode(model, x)), np.asarray(autoencoder.reconstruct(model, x))
    explained = metrics.explained_variance(x, rebuilt)
    union = [np.mean([metrics.union(a, x[:, p], most) for p in (0, 1 + SPLIT_CHILDREN)]) for most in (1, 4)]
    scale = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    return *union, (metrics.density(a) > 1e-3).sum(), explained, 1 - explained + 0.2 * a.sum(1).mean() / scale


def _ordered(D):
    """Rows in the order of the child they lean to most, empty rows last."""
    children = np.delete(np.arange(D.shape[1]), [0, 1 + SPLIT_CHILDREN])
    return D[np.argsort(np.where(np.abs(D).sum(1) > 0, D[:, children].argmax(1), len(D)), kind="stable")]


def dead_scores(variant: str, how: str, **more) -> np.ndarray:
    """`DEAD_SCORES` of the zoo, (scores, seeds), with twice as many latents as features and one way for the dead."""
    found = zoo_scores(variant, 1.0, [MIDDLE[variant]], latents=2 * LATENTS, dead=how, **more)[:, 0]
    return found[[failures.Card._fields.index(name) for name in DEAD_SCORES]]


def widths(variant: str) -> np.ndarray:
    """`WIDTH_SCORES` of the zoo with constant strengths, (widths, scores, seeds), without a remedy."""
    one = lambda width: zoo_scores(variant, 0.0, [MIDDLE[variant]], latents=width, dead="none")[:, 0]
    return np.stack([one(width) for width in WIDTHS])[:, [failures.Card._fields.index(name) for name in WIDTH_SCORES]]


def tables() -> dict:
    """Every table of the file by its name, each as a function that makes it."""
    made = {f"zoo {v}": partial(zoo_scores, v, 1.0, weights) for v, weights in WEIGHTS.items()}
    made["narrow jumprelu"] = partial(zoo_scores, "jumprelu", 1.0, WEIGHTS["jumprelu"], bandwidth=NARROW)
    made |= {f"{toy} {variant}": partial(toy_scores, toy, variant) for variant in WEIGHTS for toy in TOYS}
    made |= {f"dead topk {how}": partial(dead_scores, "topk", how) for how in DEAD} | {
        f"dead longer {how}": partial(dead_scores, "topk", how, steps=4000) for how in DEAD[:4]
    }
    made["dead relu none"] = partial(dead_scores, "relu", "none")
    made["untrained"] = lambda: zoo_scores("topk", 1.0, [MIDDLE["topk"]], steps=1)[:, 0]
    return made | {f"widths {variant}": partial(widths, variant) for variant in ("relu", "batchtopk", "matryoshka")}


def main(*names: str) -> None:
    """Make the tables whose names begin with one of `names`, or all, and write the file after each."""
    kept = dict(np.load(FILE)) if names else {}
    wanted = lambda name: not names or name.startswith(names)
    if wanted("split"):
        kept |= {f"split {name}": np.array(table, np.float16) for name, table in splitting().items()}
    for name, make in tables().items():
        if wanted(name):
            kept[name] = make().astype(np.float16)
            np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
