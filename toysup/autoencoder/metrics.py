"""What a dictionary is worth: sparsity, reconstruction, and recovery where the true features are known.

Latents are arrays a (inputs, latents), activations h (inputs, d), dictionaries D (latents, d) and true directions
(features, d). Each definition avoids a slip that toolkits have made; the tests name it. Everything runs in NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from toysup import check

ULTRALOW = 1e-4


def l0(a) -> float:
    """The mean number of active latents per input: a (inputs, latents)."""
    return float((_table("a", a) > 0).sum(1).mean())


def density(a) -> np.ndarray:
    """The share of inputs on which each latent is active: a (inputs, latents) -> (latents,)."""
    return (_table("a", a) > 0).mean(0)


class Counts(NamedTuple):
    """Latents that are never active, hardly ever, and alive; on how many inputs that was looked at."""

    dead: int
    ultralow: int
    alive: int
    inputs: int


def counts(a, low: float = ULTRALOW) -> Counts:
    """How many latents are dead, of ultra-low density (above 0, below `low`), and alive on these inputs."""
    share = density(a)
    dead, ultralow = int((share == 0).sum()), int(((share > 0) & (share < low)).sum())
    return Counts(dead, ultralow, len(share) - dead, len(a))


def explained_variance(h, rebuilt) -> float:
    """1 - Σ|h - h'|² / Σ|h - mean|²: 0 for the mean as an answer, 1 for a perfect one. Sums over all inputs.

    h, rebuilt: (inputs, d). Errors: ValueError where all inputs are the same.
    """
    h, rebuilt = _alike(h, rebuilt)
    if not np.ptp(h, axis=0).any():
        raise ValueError("h is the same input again and again: there is no variance to explain")
    return float(1 - ((h - rebuilt) ** 2).sum() / ((h - h.mean(0)) ** 2).sum())


def shrinkage(h, rebuilt) -> float:
    """Σ h'·h / Σ |h|²: 1 where reconstructions are neither too short nor too long along their inputs.

    h, rebuilt: (inputs, d). Errors: ValueError where all inputs are 0.
    """
    h, rebuilt = _alike(h, rebuilt)
    if not h.any():
        raise ValueError("h is 0 throughout: it has no length to shrink from")
    return float((h * rebuilt).sum() / (h**2).sum())


def loss_recovered(original: float, rebuilt: float, ablated: float) -> float:
    """(ablated - rebuilt) / (ablated - original), from mean losses of a model.

    original: its own. rebuilt: with reconstructed activations. ablated: with activations set to 0 or to their mean;
    state which. Errors: ValueError where ablation does not cost anything.
    """
    for name, value in (("original", original), ("rebuilt", rebuilt), ("ablated", ablated)):
        check.numbers(name, value)
    if not ablated > original:
        raise ValueError(f"ablated must be a larger loss than original, got {ablated} and {original}")
    return float((ablated - rebuilt) / (ablated - original))


# ------------------------------------------------------------------------------------------ directions


def cosines(D, truth) -> np.ndarray:
    """Cosines between dictionary rows and true directions, (latents, features); rows of zeros give 0."""
    D, truth = _table("D", D), _table("truth", truth)
    if D.shape[1] != truth.shape[1]:
        raise ValueError(f"D and truth must live in the same space, got {D.shape} and {truth.shape}")
    unit = lambda A: A / np.maximum(np.linalg.norm(A, axis=1, keepdims=True), 1e-12)
    return unit(D) @ unit(truth).T


class Mmcs(NamedTuple):
    """Mean max cosine similarity, from the truth to the dictionary (recall) and back (precision)."""

    recall: float
    precision: float


def mmcs(D, truth) -> Mmcs:
    """For each feature its best latent, for each latent its best feature; hand in the rows of living latents.

    Source: Sharkey et al. 2022, who report the recall.
    """
    C = cosines(D, truth)
    return Mmcs(float(C.max(0).mean()), float(C.max(1).mean()))


def matched(D, truth, *, signed: bool = True) -> np.ndarray:
    """The cosines of the best one-to-one matching, (min(latents, features),), largest first.

    signed: a latent that points the other way is no match, since latents are never negative. False takes absolute
    values, as the published mean correlation coefficient does. Between two seeds' dictionaries: their stability.
    """
    C = cosines(D, truth)
    C = C if signed else np.abs(C)
    return np.sort(C[linear_sum_assignment(C, maximize=True)])[::-1]


def recovered(D, truth, at: float = 0.9) -> float:
    """The share of features that have a latent of their own with a cosine above `at`."""
    return float((matched(D, truth) > at).sum() / len(truth))


def uniqueness(D, truth) -> float:
    """How many different features are the nearest one of some latent, over the number of latents."""
    return float(len(np.unique(cosines(D, truth).argmax(1))) / len(D))


# ------------------------------------------------------------------------------------------ firing


class Scores(NamedTuple):
    """How well a latent's firing tells a label: three arrays (latents, labels)."""

    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def firing(a, labels, threshold: float = 0.0) -> Scores:
    """F1, precision and recall of every latent for every label.

    a: (inputs, latents). labels: (inputs, labels), active where positive. threshold: a latent counts as firing above
    this share of its own maximum. A label of share q has an F1 of 2q / (1 + q) with a latent that always fires:
    print it beside.
    """
    a, labels = _table("a", a), _table("labels", labels) > 0
    _share(threshold)
    if len(a) != len(labels):
        raise ValueError(f"a and labels must have as many inputs, got {len(a)} and {len(labels)}")
    fires = a > threshold * a.max(0)
    both = fires.T.astype(np.float32) @ labels.astype(np.float32)
    fired, there = fires.sum(0)[:, None], labels.sum(0)
    ratio = lambda x, y: np.divide(x, y, out=np.zeros(both.shape), where=np.broadcast_to(y > 0, both.shape))
    return Scores(ratio(2 * both, fired + there), ratio(both, fired + 0 * there), ratio(both, there + 0 * fired))


def chance(labels) -> np.ndarray:
    """The F1 of a latent that always fires, for each label: (inputs, labels) -> (labels,)."""
    share = (_table("labels", labels) > 0).mean(0)
    return 2 * share / (1 + share)


def union(a, label, k: int, threshold: float = 0.0) -> float:
    """The F1 of the best `k` latents that fire for one label together, added one at a time: the last of `unions`."""
    return float(unions(a, label, k, threshold)[-1])


def unions(a, label, k: int, threshold: float = 0.0) -> np.ndarray:
    """The F1 of the best 1 to `k` latents that fire for one label together, added one at a time: (k,).

    a: (inputs, latents). label: (inputs,). Shows a feature that is split among latents. One that does not help is not
    added.
    """
    a, label, k = _table("a", a), np.asarray(label) > 0, check.count("k", k)
    _share(threshold)
    if label.shape != (len(a),):
        raise ValueError(f"label must have shape ({len(a)},), one for each input; got {label.shape}")
    fires, got, found = (a > threshold * a.max(0)).astype(np.float32), np.zeros(len(label), bool), np.zeros(k)
    added = lambda where: (where & ~got).astype(np.float32) @ fires + (where & got).sum()  # counts, whole in float32
    for many in range(k):
        f1 = 2 * added(label) / np.maximum(added(np.True_) + label.sum(), 1)
        if many and f1.max() <= found[many - 1]:
            found[many:] = found[many - 1]
            break
        found[many], got = f1.max(), got | (fires[:, f1.argmax()] > 0)
    return found


def masked_cosines(a, b) -> np.ndarray:
    """How alike the latents of two dictionaries fire, where at least one of a pair does: a (inputs, j), b (inputs, k).

    The cosine of two columns on the inputs where the first is active, or on those where the second is, whichever is
    larger: (j, k), so that a part of a whole is alike to it. One that is active on few inputs is alike to anything
    active there: look at a control as sparse. Source: Bricken et al. 2023, footnote 32.
    """
    a, b = _table("a", a).astype(np.float32), _table("b", b).astype(np.float32)
    if len(a) != len(b):
        raise ValueError(f"a and b must have as many inputs, got {len(a)} and {len(b)}")
    if (a < 0).any() or (b < 0).any():
        raise ValueError("a and b must not be negative: they are latents")
    where_a = (a**2).sum(0)[:, None] * ((a > 0).astype(np.float32).T @ b**2)
    where_b = (a**2).T @ (b > 0).astype(np.float32) * (b**2).sum(0)
    least = np.sqrt(np.minimum(where_a, where_b))
    return np.divide(a.T @ b, least, out=np.zeros_like(least), where=least > 0)


def absorption(a, x, parent: int, child: int, D=None, truth=None, *, siblings=()) -> float:
    """How much more often the parent's latent is silent beside this child than alone: 0 without absorption, 1 at most.

    a: (inputs, latents), x: (inputs, features) true values. The parent's latent is the one whose direction is nearest
    (with D and truth) or whose firing has the best F1. siblings: the parent's other children; inputs that hold one are
    left out on both sides, or else a parent that is silent beside all its children would count as silent "alone" too.
    Below 0 where the latent is silent more often alone. Source: Chanin et al. 2024, exact here since x is known.
    Errors: ValueError where, siblings aside, parent and child are never active together, or the parent never alone.
    """
    a, x, main, beside, alone = _with_and_without(a, x, parent, child, D, truth, siblings)
    silent = a[:, main] <= 0
    return float(silent[beside].mean() - silent[alone].mean())


def _with_and_without(a, x, parent, child, D, truth, siblings):
    """The tables, the parent's latent, and the inputs on which the parent is active with this child and without."""
    a, x = _table("a", a), _table("x", x)
    main = (cosines(D, truth) if D is not None else firing(a, x).f1)[:, parent].argmax()
    with_child, siblings = x[:, child] > 0, [int(i) for i in siblings]
    on = (x[:, parent] > 0) & ~(x[:, siblings] > 0).any(1)
    if not (on & with_child).any() or not (on & ~with_child).any():
        aside = f", inputs with {siblings} aside" if siblings else ""
        raise ValueError(f"features {parent} and {child} must be active together and {parent} also alone{aside}")
    return a, x, main, on & with_child, on & ~with_child


def dimming(a, x, parent: int, child: int, D=None, truth=None, *, siblings=()) -> float:
    """How much less of the parent's strength its latent reports beside this child than alone, as a share.

    Arguments as in `absorption`, of which this is the gradual form: the slopes Σ a x / Σ x² of the parent's latent over
    the parent's strength, alone and beside the child, and their difference over the larger one. 0 for a parent whose
    latent does not mind the child, 1 where it falls silent, below 0 where it reports more; 0 if it never fires.
    Errors: those of `absorption`.
    """
    a, x, main, beside, alone = _with_and_without(a, x, parent, child, D, truth, siblings)
    slope = lambda rows: (a[rows, main] * x[rows, parent]).sum() / (x[rows, parent] ** 2).sum()
    return float((slope(alone) - slope(beside)) / max(slope(alone), slope(beside), 1e-12))


def hedging(narrow, wide) -> float:
    """How far the latents of a narrow dictionary lie in the directions that a wider one gives to others.

    narrow: (latents, d). wide: (more latents, d), its first rows grown from the same starts. Of the way each row moved,
    the share inside the span of the added rows, against the share of a random direction: 0 where it moved at random,
    1 where the narrow latents had mixed in what the added latents now hold. Source: Chanin et al. 2025.
    """
    narrow, wide = _table("narrow", narrow), _table("wide", wide)
    k, d = narrow.shape
    if wide.shape[0] <= k or wide.shape[1] != d:
        raise ValueError(
            f"wide must have more rows than narrow, in the same space; got {wide.shape} and {narrow.shape}"
        )
    added = np.linalg.svd(wide[k:], full_matrices=False)[2][: np.linalg.matrix_rank(wide[k:])]
    if len(added) >= d:
        raise ValueError(f"the {wide.shape[0] - k} added latents span all {d} dimensions: hedging says nothing here")
    moved = narrow - wide[:k]
    share = ((moved @ added.T) ** 2).sum() / max((moved**2).sum(), 1e-30)
    baseline = len(added) / d
    return float((share - baseline) / (1 - baseline))


# ------------------------------------------------------------------------------------------ baselines


def random_dictionary(latents: int, d: int, *, seed: int) -> np.ndarray:
    """Random directions, (latents, d)."""
    D = np.random.default_rng(seed).normal(size=(check.count("latents", latents), check.count("d", d)))
    return D / np.linalg.norm(D, axis=1, keepdims=True)


def principal_directions(h) -> np.ndarray:
    """The principal components of activations and their opposites, (2 d, d): a latent is never negative."""
    h = _table("h", h)
    V = np.linalg.svd(h - h.mean(0), full_matrices=False)[2]
    return np.concatenate([V, -V])


def _table(name: str, x) -> np.ndarray:
    x = np.asarray(check.numbers(name, x))
    if x.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {x.shape}")
    return x


def _share(threshold) -> None:
    if np.ndim(threshold) or not 0 <= check.numbers("threshold", threshold) < 1:
        raise ValueError(f"threshold must be one number in [0, 1), a share of the maximum; got {threshold}")


def _alike(h, rebuilt):
    h, rebuilt = _table("h", h), _table("rebuilt", rebuilt)
    if h.shape != rebuilt.shape:
        raise ValueError(f"h and rebuilt must have the same shape, got {h.shape} and {rebuilt.shape}")
    return h, rebuilt
