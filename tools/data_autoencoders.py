"""data/autoencoders_on_toys.npz: sparse autoencoders on toy models whose features are known, 20 random starts each.

python -m tools.data_autoencoders              about five minutes on two cores
python -m tools.data_autoencoders exact many   only the parts named so; the others stay as they are
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

from toysup import autoencoder, configure, independent, recovery
from toysup.autoencoder import exact

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "autoencoders_on_toys.npz"
SEEDS, STEPS, BATCH, RATE = 20, 800, 256, 0.01
SETTINGS = (("relu", (0.1, 0.4)), ("topk", (1.0, 2.0)), ("frozen", (0.4,)))  # variant, its sparsities
TIMES = (1, 2, 4)  # as many latents as features, twice as many, four times
WEIGHTS = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the penalty, for the trade-off
LONGER = (800, 3200, 12800)
WIDTHS = (8, 16, 24, 32, 48, 96)
CROWDS = {"orthonormal": (16, 16, 0.1), "superposed": (48, 16, 1 / 30)}  # n, m, density
EXACT = {"weights": (0.03, 0.1, 0.4, 0.8), "widths": (8, 16)}  # dictionaries learned with exact inference
EXACT_SCORES = ("objective", "explained", "recovered")
GAP_WEIGHTS = (0.02, 0.1, 0.4, 2.0)
GAP = (  # costs of the true dictionary and of learned ones; shares recovered and variance explained by learned ones
    "true, exact", "true, encoder", "autoencoder's, exact", "autoencoder's, encoder", "by inference, exact",
    "recovered by autoencoders", "recovered by inference", "explained by autoencoders", "explained by inference",
)  # fmt: skip
MANY = (10.0, 20.0)  # latents for each input, where ten features or twenty are active together
KEY = jax.random.key(14)


def scores(source, variant: str, sparsity, widths, *, seeds: int = SEEDS, steps: int = STEPS) -> np.ndarray:
    """Train on one source and measure on other inputs: (fields of `recovery.Card`, sparsities, widths, seeds)."""
    sparsity, frozen = np.atleast_1d(sparsity)[:, None], variant == "frozen"
    models = autoencoder.train(
        source, max(widths), variant="relu" if frozen else variant, sparsity=sparsity, width=np.array(widths),
        seeds=seeds, steps=steps, batch=BATCH, learning_rate=RATE, dead="resample", frozen=frozen, key=KEY,
    )  # fmt: skip
    h = recovery.activations(source, key=jax.random.key(15))
    weights = np.broadcast_to(sparsity, (len(sparsity), len(widths)))
    card = recovery.measure(models, h, recovery.truth(source.W), weights)
    return np.stack(card).astype(np.float32)


def of_patient(source, *, times=TIMES, settings=SETTINGS, seeds: int = SEEDS) -> np.ndarray:
    """All settings on one patient: (fields, settings, widths, seeds)."""
    widths = [many * source.features.n for many in times]
    return np.concatenate([scores(source, name, x, widths, seeds=seeds) for name, x in settings], 1)


def of_crowd(name: str, width: int, k: float = 3.0, *, seeds: int = SEEDS) -> np.ndarray:
    """TopK with k latents for each input at one width, with and without superposition: (fields, seeds)."""
    return scores(crowd(name), "topk", k, (width,), seeds=seeds, steps=1000)[:, 0, 0]


def crowd(name: str):
    """Activations of 16 orthonormal features, or of 48 spread ones, in 16 dimensions."""
    return recovery.crowd(*CROWDS[name], key=KEY)


def patients() -> dict[str, np.ndarray]:
    """The toy models as "W name", what was found in each, a finer sweep of the penalty, and longer training."""
    sources = {name: recovery.patient(name, key=KEY) for name in recovery.PATIENTS}
    found = {"W " + name: np.asarray(source.W, np.float32) for name, source in sources.items()}
    found["weights"] = scores(sources["antiprism"], "relu", WEIGHTS, (8, 16, 32))
    longer = [scores(sources["pentagon"], "relu", 0.1, (5, 10), steps=steps)[:, 0] for steps in LONGER]
    return found | {"longer": np.stack(longer, 1)} | {name: of_patient(source) for name, source in sources.items()}


def strangers(W, *, times=(1, 2)) -> np.ndarray:
    """The arrows of two sets of ten friends, but each feature active on its own: (fields, widths, seeds)."""
    source = autoencoder.Hidden(independent(0.05, W.shape[1]), W)
    return scores(source, "relu", 0.4, [many * W.shape[1] for many in times])[:, 0]


def crowds() -> dict[str, np.ndarray]:
    """Both crowds at all widths, and the first with one latent for each input: (fields, widths, seeds)."""
    table = lambda name, k: np.stack([of_crowd(name, width, k) for width in WIDTHS], 1)
    return {name: table(name, 3.0) for name in CROWDS} | {"orthonormal one": table("orthonormal", 1.0)}


def many(W) -> dict[str, np.ndarray]:
    """Two sets of ten friends, as many latents for each input as features are active: (fields, K, widths, seeds)."""
    source = recovery.source("ten friends, twice", W)
    return {"many": np.concatenate([scores(source, "topk", k, (20, 40)) for k in MANY], 1)}


def by_inference(W) -> dict[str, np.ndarray]:
    """Dictionaries of the square antiprism learned with exact inference: (`EXACT_SCORES`, weights, widths, seeds)."""
    h, unseen, true = inputs("antiprism", W)
    read = lambda card: [getattr(card, name) for name in EXACT_SCORES]
    one = lambda width, weight: recovery.by_inference(h, unseen, true, width, weight, seeds=SEEDS, key=KEY)[1]
    table = [[read(one(width, weight)) for width in EXACT["widths"]] for weight in EXACT["weights"]]
    return {"exact": np.moveaxis(np.array(table, np.float32), 2, 0)}


def inputs(name, W):
    """Inputs to learn from, others to score on, and the true directions."""
    source = recovery.source(name, W)
    h, unseen = (recovery.activations(source, n, key=k) for n, k in ((1024, KEY), (8192, jax.random.key(15))))
    return *recovery.in_units(h, unseen), recovery.truth(source.W)


def amortisation(W, weights=GAP_WEIGHTS, *, seeds: int = SEEDS) -> dict[str, np.ndarray]:
    """What dictionaries of the pentagon cost, with exact inference and with an encoder: (`GAP`, weights)."""
    return {"gap": np.array([_costs(W, weight, seeds) for weight in weights], np.float32).T}


def _costs(W, weight, seeds):
    source, (h, unseen, true) = recovery.source("pentagon", W), inputs("pentagon", W)
    models = autoencoder.train(
        source, 5, sparsity=weight, seeds=seeds, steps=STEPS, batch=BATCH, learning_rate=RATE, dead="resample", key=KEY,
    )  # fmt: skip
    card = recovery.measure(models, recovery.activations(source, key=jax.random.key(15)), true, weight)
    lowest = autoencoder.dictionary(autoencoder.pick(models, int(card.objective.argmin())))
    solved = lambda D: exact.cost(D, unseen, exact.infer(D, unseen, weight).a, weight)
    learned = recovery.by_inference(h, unseen, true, 5, weight, seeds=seeds, key=KEY)[1]
    costs = (
        solved(true),
        encoded(true, h, unseen, weight),
        solved(lowest),
        card.objective.min(),
        learned.objective.min(),
    )
    shares = [getattr(c, name).mean() for name in ("recovered", "explained") for c in (card, learned)]
    return *costs, *shares


def encoded(D, h, unseen, weight) -> float:
    """The cost of a dictionary on unseen inputs with the best of the ReLU encoders that were trained for it on h."""
    model = exact.fit_encoder(D, h, weight, key=KEY)
    return exact.cost(D, unseen - np.asarray(model.c), np.asarray(autoencoder.encode(model, unseen)), weight)


def main(*names: str) -> None:
    """Measure everything, or some parts by name ("crowds", "many", "exact", "gap", "strangers"), and write the file."""
    found = dict(np.load(FILE)) if names else patients()
    W, W_ten = found["W antiprism"], found["W ten friends, twice"]
    parts = {"crowds": crowds, "many": lambda: many(W_ten), "exact": lambda: by_inference(W)}
    parts["gap"] = lambda: amortisation(found["W pentagon"])
    parts["strangers"] = lambda: {"strangers": strangers(W_ten)}
    for name in names or parts:
        found |= parts[name]()
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
