"""data/compute.npz: where superposition pays for models that compute, and what neurons answer to at many densities.

python -m tools.data_compute [copies abs large and cross]     all parts or those named; some minutes each on two cores
"""

from __future__ import annotations

import sys
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
LARGE_DECAYS = np.array([0.8, 1.0])
LARGE_RATES = np.array([0.01, 0.003, 0.001])
LARGE_BUDGET = {"n": 100, "m": 40, "restarts": 1, "steps": 10000, "batch": 256}  # for each start and rate
ANDS = np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02])
WIDTHS = (4, 8, 12, 16, 20)
CROSS = np.array([0.5, 0.3, 0.1, 0.05, 0.02])  # 8 features, 4 neurons: both tasks with both readouts
CROSS_RATES = (0.01, 0.003, 0.001)
CROSS_MODELS = MODELS | {"both": {"readout": "relu"}, "linear hidden": {"activation": "linear", "readout": "relu"}}


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


def cross(p: float, task: str, model: str, **more):
    """|x| of 8 features, or their 28 ANDs, in 4 neurons: the ComputeFit of all restarts; one budget for all."""
    settings = {"restarts": 16, "steps": 6000, "learning_rate": 0.003, "task": task} | CROSS_MODELS[model]
    return compute.train_compute(independent(p, n=8), 4, key=KEY, **settings | more)


def lowest(fits):
    """The lowest loss among fits of one model, for example at several rates."""
    return min(float(fit.loss.min()) for fit in fits)


def codes_of(W) -> np.ndarray:
    """The blocks of the model with the lowest loss as text."""
    return np.array(" ".join(f"{features}:{neurons}" for features, neurons in motif.codes(W)))


def copies_tables():
    """Codes at many densities."""
    found = [copies(p) for p in DENSITIES]
    order = [np.argsort(one["loss"], kind="stable") for one in found]
    yield "copies W", np.stack([one["W"][k[0]] for one, k in zip(found, order, strict=True)])
    yield "copies loss", np.stack([one["loss"][k] for one, k in zip(found, order, strict=True)])
    yield "copies codes", np.array([[codes_of(W) for W in one["W"][k]] for one, k in zip(found, order, strict=True)])


def abs_tables():
    """20 absolute values in 8 neurons, with and without each ReLU."""
    for model in MODELS:
        fits = [[absolute(p, decay, model).best() for p in SPARSE] for decay in DECAYS]
        yield f"abs loss {model}", np.array([[fit.loss for fit in row] for row in fits])
        yield f"abs error {model}", np.array([[fit.error for fit in row] for row in fits])


def large_tables():
    """100 in 40, from small random weights and from the naive wiring: (decays, densities, rates)."""
    for start in ("positive", "wired"):
        one = lambda p, r, rate, start=start: absolute(p, r, start=start, learning_rate=rate, **LARGE_BUDGET).best()
        fits = [[[one(p, decay, rate) for rate in LARGE_RATES] for p in LARGE] for decay in LARGE_DECAYS]
        yield f"large loss {start}", np.array([[[fit.loss for fit in cell] for cell in row] for row in fits])
        yield f"large error {start}", np.array([[[fit.error for fit in cell] for cell in row] for row in fits])


def and_tables():
    """All ANDs of eight features with a linear readout, (widths, densities)."""
    yield "and loss", np.array([[ands(p, m).best().loss for p in ANDS] for m in WIDTHS])


def cross_tables():
    """Both tasks, each with both readouts and with the hidden layer made linear: (densities,)."""
    for task in ("abs", "and"):
        for model in CROSS_MODELS:
            one = lambda p, how=(task, model): lowest(cross(p, *how, learning_rate=rate) for rate in CROSS_RATES)
            yield f"cross {task} {model}", np.array([one(p) for p in CROSS])


PARTS = {"copies": copies_tables, "abs": abs_tables, "large": large_tables, "and": and_tables, "cross": cross_tables}


def main(*parts: str) -> None:
    """Measure the parts named, or everything, and write the file; other parts stay as they are."""
    kept = dict(np.load(FILE)) if parts else {}
    for part in parts or PARTS:
        kept = {name: table for name, table in kept.items() if name.split()[0] != part}
        for name, table in PARTS[part]():
            print(name, table.shape, flush=True)
            kept[name] = table if table.dtype.kind == "U" else table.astype(np.float32)
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
