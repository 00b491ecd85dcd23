"""Tools of several tests: counting compilations, other processes, the ledger, a reference for the expected loss."""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
from functools import lru_cache

import jax
import numpy as np
from scipy.special import erf
from scipy.stats import qmc

from toysup import ledger

ROOT = pathlib.Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def compilations():
    """List every program that is lowered and compiled (or fetched from the cache on disk) inside the block."""
    seen = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def python(code: str, *arguments, home=None, **environ) -> subprocess.CompletedProcess:
    """Run `code` in a new Python that knows the package. A variable set to None is removed."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    settings |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    if home is not None:
        settings |= {"HOME": str(home), "XDG_CACHE_HOME": str(pathlib.Path(home) / ".cache")}
        settings |= {"USERPROFILE": str(home), "LOCALAPPDATA": str(home)}
    settings |= {k: str(v) for k, v in environ.items()}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300)


# ------------------------------------------------------------ the ledger of claims


@lru_cache(maxsize=1)
def ledger_rows():
    """The rows of data/ledger.toml."""
    return ledger.read(ROOT / "data" / "ledger.toml")


def confirm(name: str, number: float, control: float) -> None:
    """Fail where a number measured now, or that of its control, is not what the ledger says within its error."""
    row = ledger.find(ledger_rows(), name)
    print(f"\n{name}: {number:.6g} (ledger {row.number} ± {row.error}), control {control:.6g} ({row.control_number})")
    assert abs(number - row.number) <= row.error, f"{name}: {number}; the ledger has {row.number} ± {row.error}"
    assert abs(control - row.control_number) <= row.control_error, (
        f"{name}: control {control}; the ledger has {row.control_number} ± {row.control_error}"
    )


# ------------------------------------------------------------ the expected loss once more, and differently

READOUTS = {
    "relu": lambda z: np.maximum(z, 0),
    "abs": np.abs,
    "linear": lambda z: z,
    "gelu": lambda z: z * (1 + erf(z / np.sqrt(2))) / 2,
}


@lru_cache(maxsize=16)
def points(k: int, exponent: int) -> np.ndarray:
    """Points in the unit cube as columns, (k, points), all of the same weight: midpoints for k = 1, Sobol's beyond."""
    if k <= 1:
        return (np.arange(2**exponent)[None] + 0.5)[:k] / 2**exponent
    return np.ascontiguousarray(qmc.Sobol(k, seed=k).random_base2(exponent).T)


def supports(n: int) -> np.ndarray:
    """All sets of active features, bool (2**n, n)."""
    return np.array(list(itertools.product((False, True), repeat=n)))


def losses_by_support(W, b, importance=1.0, readout="relu", exponent: int = 17) -> np.ndarray:
    """The expected loss given each set of active features, (2**n,), from 2**exponent points in each, in float64."""
    W, b = np.asarray(W, np.float64), np.asarray(b, np.float64)
    gram, f, out = W.T @ W, READOUTS[readout], []
    for on in supports(len(b)):
        x = points(int(on.sum()), exponent) if on.any() else np.zeros((0, 1))
        parts = [_squares(f, gram, b, on, part) for part in np.array_split(x, max(1, x.shape[1] // 2**12), axis=1)]
        out.append((sum(parts) / x.shape[1] * importance).sum())
    return np.array(out)


def _squares(f, gram, b, on, x):
    """The squared error of each output, summed over some points (few enough for the processor's cache)."""
    error = f(gram[:, on] @ x + b[:, None])
    error[on] -= x
    return np.vecdot(error, error)


def independent(p):
    """The probability of each set of active features when feature i is active with probability p[i]."""
    p = np.asarray(p, np.float64)
    return np.where(supports(len(p)), p, 1 - p).prod(1)


def correlated(sets: int, size: int, p: float):
    """The same for sets of which all or no features are active."""
    active = supports(sets * size).reshape(-1, sets, size).sum(-1)
    return np.select([active == 0, active == size], [1 - p, p], 0.0).prod(1)


def anticorrelated(sets: int, size: int, p: float):
    """The same for sets of which one feature is active, with probability p, or none."""
    active = supports(sets * size).reshape(-1, sets, size).sum(-1)
    return np.select([active == 0, active == 1], [1 - p, p / size], 0.0).prod(1)
