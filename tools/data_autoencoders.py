"""data/autoencoders_on_toys.npz: sparse autoencoders on toy models whose features are known, 20 random starts each.

python -m tools.data_autoencoders        about five minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from toysup import autoencoder, configure, independent, recovery

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "autoencoders_on_toys.npz"
SEEDS, STEPS, BATCH, RATE = 20, 800, 256, 0.01
SETTINGS = (("relu", (0.1, 0.4)), ("topk", (1.0, 2.0)), ("frozen", (0.4,)))  # variant, its sparsities
TIMES = (1, 2, 4)  # as many latents as features, twice as many, four times
WEIGHTS = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the penalty, for the trade-off
LONGER = (800, 3200, 12800)
WIDTHS = (8, 16, 24, 32, 48, 96)
CROWDS = {"orthonormal": (16, 16, 0.1), "superposed": (48, 16, 1 / 30)}  # n, m, density
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


def of_crowd(name: str, width: int, *, seeds: int = SEEDS) -> np.ndarray:
    """TopK with k = 3 at one width, with and without superposition: (fields, seeds)."""
    return scores(crowd(name), "topk", 3.0, (width,), seeds=seeds, steps=1000)[:, 0, 0]


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
    """Both crowds at all widths: (fields, widths, seeds)."""
    return {name: np.stack([of_crowd(name, width) for width in WIDTHS], 1) for name in CROWDS}


def main() -> None:
    """Measure everything, and write the file."""
    found = patients()
    np.savez_compressed(FILE, **found, **crowds(), strangers=strangers(found["W ten friends, twice"]))


if __name__ == "__main__":
    main()
