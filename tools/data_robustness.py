"""data/robustness.npz: how much harm attacks do to 20 features in 5 dimensions, and models trained under attack.

python -m tools.data_robustness        some minutes on two cores
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from toysup import configure, geometry, independent, robust, train
from toysup.attacks import attack, dedicated
from toysup.features import sample_active_columns

configure()

FILE = Path(__file__).resolve().parent.parent / "data" / "robustness.npz"
KEY, UNSEEN, STRIKE = jax.random.key(12), jax.random.key(13), jax.random.key(14)
N, M, SEEDS, INPUTS = 20, 5, 20, 256
DENSITIES = np.round(np.geomspace(1, 0.02, 12), 4)
RECIPE = {"steps": 1500, "batch": 256}
SHARE = 0.1  # of the mean norm of the inputs: the published budget
WIDER = np.array([1.0, 2.0, 4.0])  # larger ones, for the ascent
WAYS = (("random", "fixed"), ("feature", "fixed"), ("ascent", "fixed"), ("feature", "moving"), ("ascent", "moving"))
TRAINED_AT = 0.1  # density of the models trained under attack
SHARES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0])
ARMS = (("random", "fixed"), ("drawn", "fixed"), ("ascent", "fixed"), ("ascent", "moving"))
ROBUST = {"steps": 800, "batch": 128}


def inputs(densities) -> tuple[np.ndarray, np.ndarray]:
    """The empty input and drawn ones that are not empty, (k, inputs, n), and how often each comes, (k, inputs)."""
    x, empty, active = sample_active_columns(independent(densities[:, None], n=N), INPUTS - 1, key=UNSEEN)
    x = np.concatenate([np.zeros((len(densities), 1, N)), np.swapaxes(x, 1, 2)], axis=1)
    empty, active = (np.asarray(a, np.float64)[:, None] for a in (empty, active))
    return x, np.concatenate([empty, np.repeat(active / (INPUTS - 1), INPUTS - 1, axis=1)], axis=1)


def mean_norms(densities) -> np.ndarray:
    """The mean length of an input, (k,)."""
    x, often = inputs(densities)
    return (np.linalg.norm(x, axis=-1) * often).sum(-1)


def harms(W, b, densities, budgets, ways=WAYS) -> np.ndarray:
    """The harm of every kind of attack, (ways, k, seeds): W (k, seeds, m, n), budgets (k,)."""
    x, often = inputs(densities)
    found = (attack(W, b, x[:, None], budgets[:, None], kind=kind, target=target, key=STRIKE) for kind, target in ways)
    return np.array([((a.attacked - a.clean) * often[:, None]).sum(-1) for a in found])


def wider(W, b, densities, shares=WIDER) -> dict:
    """The harm of the ascent at larger budgets, to given models (targets, shares, k, seeds) and to dedicated ones."""
    ways, norms = [way for way in WAYS if way[0] == "ascent"], mean_norms(densities)
    both = lambda W, b: np.stack([harms(W, b, densities, share * norms, ways) for share in shares], axis=1)
    axes = (a[:, None] for a in dedicated(densities, N, M))
    return {"wider_share": shares, "wider": both(W, b), "dedicated_wider": both(*axes)[..., 0]}


def crowd(densities, seeds: int = SEEDS) -> dict:
    """Trained models of some densities, and what attacks of two budgets do to them and to dedicated ones."""
    fit = train(independent(densities[:, None], n=N), M, restarts=seeds, key=KEY, **RECIPE)
    own, same = SHARE * mean_norms(densities), np.full(len(densities), SHARE * mean_norms(np.ones(1))[0])
    W, b = (a[:, None] for a in dedicated(densities, N, M))
    return {
        "density": densities,
        "budget": own,
        "W": fit.W,
        "b": fit.b,
        "loss": np.asarray(fit.loss),
        "own": harms(fit.W, fit.b, densities, own),
        "same": harms(fit.W, fit.b, densities, same),
        "dedicated_own": harms(W, b, densities, own)[..., 0],
        "dedicated_same": harms(W, b, densities, same)[..., 0],
    }


def trained(kind: str, target: str, shares=SHARES, seeds: int = SEEDS) -> np.ndarray:
    """Models trained under attack, (4, shares, seeds): |W|²/m, features kept, clean and attacked loss."""
    features = independent(TRAINED_AT, n=N)
    budget = shares * float(robust.mean_norm(features, key=UNSEEN))
    fit = robust.train_robust(features, M, budget, kind=kind, target=target, restarts=seeds, key=KEY, **ROBUST)
    size = (fit.W**2).sum((-1, -2)) / M
    return np.array([size, geometry.represented(fit.W).sum(-1), fit.clean, fit.attacked])


def main() -> None:
    """Make the file."""
    arrays = crowd(DENSITIES)
    arrays |= wider(arrays["W"], arrays["b"], DENSITIES)
    norm = float(robust.mean_norm(independent(TRAINED_AT, n=N), key=UNSEEN))
    arrays |= {"share": SHARES, "mean_norm": np.array(norm)}
    arrays |= {f"trained_{kind}_{target}": trained(kind, target) for kind, target in ARMS}
    small = lambda name, a: np.asarray(a, np.float16 if name in ("W", "b") else np.float32)
    np.savez_compressed(FILE, **{name: small(name, a) for name, a in arrays.items()})
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
