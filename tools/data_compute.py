"""data/compute.npz: where superposition pays for models that compute, and what neurons answer to at many densities.

python -m tools.data_compute        some minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from toysup import compute, configure, hidden, independent, motif

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "compute.npz"
KEY = jax.random.key(11)
DENSITIES = np.array([0.75, 0.5, 0.35, 0.2, 0.15, 0.12, 0.08, 0.05, 0.03])  # of the model with neurons
COPIES = {"restarts": 96, "steps": 3000, "batch": 512}
SPARSE = np.array([1.0, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01])  # of the map of absolute values
DECAYS = np.array([0.7, 0.8, 0.9, 1.0])
MAP = {"restarts": 8, "steps": 4000, "batch": 512}
MODELS = {"both": {}, "linear hidden": {"activation": "linear"}, "linear readout": {"readout": "linear"}}
LARGE = np.array([1.0, 0.3, 0.1, 0.03, 0.01])  # 100 features, 40 neurons
LARGE_DECAYS = np.array([0.8, 0.97, 1.0])
ANDS = np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02])
WIDTHS = (4, 8, 12, 16, 20)


def copies(p: float, **more) -> dict[str, np.ndarray]:
    """Ten features of importance 0.75^i in five ReLU neurons: W (restarts, 5, 10), loss and error (restarts,)."""
    fit = hidden.train_hidden(independent(p, n=10), 5, importance=0.75 ** np.arange(10), key=KEY, **COPIES | more)
    return {"W": np.asarray(fit.W), "loss": np.asarray(fit.loss), "error": np.asarray(fit.error)}


def absolute(p: float, decay: float, model: str = "both", n: int = 20, m: int = 8, **more):
    """|x| of n features in m neurons: the ComputeFit of all restarts."""
    importance = decay ** np.arange(n)
    return compute.train_compute(independent(p, n=n), m, importance=importance, key=KEY, **MAP | MODELS[model] | more)


def ands(p: float, m: int, n: int = 8, **more):
    """All ANDs of n binary features through m hidden units and a linear readout: the ComputeFit of all restarts."""
    settings = {"task": "and", "restarts": 8, "steps": 4000, "learning_rate": 0.02, "start": "symmetric"}
    return compute.train_compute(independent(p, n=n), m, key=KEY, **settings | more)


def codes_of(W) -> np.ndarray:
    """The blocks of the model with the lowest loss as text."""
    return np.array(" ".join(f"{features}:{neurons}" for features, neurons in motif.codes(W)))


def tables():
    """Every table of the file, with its name."""
    found = [copies(p) for p in DENSITIES]
    order = [np.argsort(one["loss"], kind="stable") for one in found]
    yield "copies W", np.stack([one["W"][k[0]] for one, k in zip(found, order, strict=True)])
    yield "copies loss", np.stack([one["loss"][k] for one, k in zip(found, order, strict=True)])
    yield "copies codes", np.array([[codes_of(W) for W in one["W"][k]] for one, k in zip(found, order, strict=True)])
    for model in MODELS:
        fits = [[absolute(p, decay, model).best() for p in SPARSE] for decay in DECAYS]
        yield f"abs loss {model}", np.array([[fit.loss for fit in row] for row in fits])
        yield f"abs error {model}", np.array([[fit.error for fit in row] for row in fits])
    large = {"restarts": 2, "steps": 4000, "batch": 256}
    fits = [[absolute(p, decay, n=100, m=40, **large).best() for p in LARGE] for decay in LARGE_DECAYS]
    yield "large loss", np.array([[fit.loss for fit in row] for row in fits])
    yield "large error", np.array([[fit.error for fit in row] for row in fits])
    yield "and loss", np.array([[ands(p, m).best().loss for p in ANDS] for m in WIDTHS])


def main() -> None:
    """Measure everything, and write the file."""
    kept = {}
    for name, table in tables():
        print(name, table.shape, flush=True)
        kept[name] = table if table.dtype.kind == "U" else table.astype(np.float32)
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main()
