"""Where sparse autoencoders fail: features with parents, strengths that vary less, and one card of scores for it all.

A `Zoo` holds families (a parent and children that never come without it), pairs that often come together, and single
features from dense to sparse, all in fewer dimensions than features, so that each failure has its patient.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check, coherence
from toysup.autoencoder import metrics, training, variants
from toysup.correlation import pairs
from toysup.features import Features, check_features, independent, sample

FAMILIES, CHILDREN, PAIRS, SINGLES = 4, 2, 4, 12
FOUND = 0.9  # cosine from which a feature counts as recovered


def nested(families: int, children: int, density, share) -> Features:
    """Families of features: a parent, and children that are active only with it, at most one at a time.

    families: the number of families. children: per parent. density: probability that a parent is active, in (0, 1];
    scalar or (..., families). share: probability that one of its children is active when the parent is, from 0 to 1;
    scalar or (..., families).
    Returns Features with families * (1 + children) features, each parent followed by its children.
    Errors: ValueError that names the argument. Source: Chanin et al. 2024, the toy model of absorption.
    """
    families, children = check.count("families", families), check.count("children", children)
    p, share = check.density(density), check.numbers("share", share)
    if not check.is_traced(share) and ((share < 0) | (share > 1)).any():
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    shape = check.broadcastable("density, share and families", p.shape, share.shape, (families,))
    if shape[-1] != families:
        raise ValueError(f"density and share give {shape[-1]} families: their last axis must be {families} or 1")
    xp = jnp if check.is_traced(p) or check.is_traced(share) else np
    parts = [p * share / children] * children + [p * (1 - share), 1 - p]
    parts = [xp.broadcast_to(q, shape) for q in parts]
    rows = [(1, *(int(i == j) for i in range(children))) for j in range(children)]
    table = (*rows, (1,) + (0,) * children, (0,) * (1 + children))
    return Features((table,), (jnp.asarray(xp.stack(parts, -1), check.dtype()),))


def inputs(features: Features, count: int, *, spread: float = 1.0, key) -> np.ndarray:
    """Inputs whose active strengths lie between 1 - spread and 1: x (count, n), for features without batch axes.

    spread: 1 is this series' uniform strength, 0 makes each active feature exactly 1. Errors: ValueError.
    """
    check_features(features)
    spread = check.numbers("spread", spread)
    if spread.ndim or not 0 <= spread <= 1:
        raise ValueError(f"spread must be one number from 0 to 1, got {spread}")
    if features.shape:
        raise ValueError(f"features must have no batch axes, got {features.shape}")
    x = np.asarray(sample(features, count, key=key))
    return np.where(x > 0, 1 - float(spread) * (1 - x), 0).astype(np.float32)


class Zoo(NamedTuple):
    """Features with every difficulty at once, and directions W (m, n) of length 1.

    parents (families,), children (families, children), partners (pairs, 2), singles from dense to sparse: indices.
    """

    features: Features
    W: np.ndarray
    parents: np.ndarray
    children: np.ndarray
    partners: np.ndarray
    singles: np.ndarray


def zoo(m: int = 24, *, key) -> Zoo:
    """Four families, four pairs and twelve single features (densities 0.3 down to 0.01) in m dimensions.

    m: at most 32; at 32 the directions are orthonormal. Errors: ValueError.
    """
    m = check.count("m", m)
    features = nested(FAMILIES, CHILDREN, 0.12, 0.6) + pairs(PAIRS, 0.08, 0.6)
    features = features + independent(np.geomspace(0.3, 0.01, SINGLES))
    n = features.n
    if m > n:
        raise ValueError(f"m must be at most {n}, the number of features, got {m}")
    W = np.eye(n) if m == n else np.asarray(coherence.spread(m, n, restarts=1, key=key).W[0], np.float64)
    family = np.arange(FAMILIES * (1 + CHILDREN)).reshape(FAMILIES, -1)
    first = family.size
    partners = first + np.arange(2 * PAIRS).reshape(PAIRS, 2)
    singles = first + 2 * PAIRS + np.arange(SINGLES)
    return Zoo(features, W, family[:, 0], family[:, 1:], partners, singles)


# ------------------------------------------------------------------------------------------ scores


class Card(NamedTuple):
    """What one autoencoder does, or many: each an array (...).

    l0: active latents per input. explained: variance. shrinkage: Σ h'·h / Σ |h|², 1 is right. dead: share of latents
    that are never active. f1: of each feature's best latent, the mean over features. recovered: share of features with
    a latent of their own, cosine above `FOUND`. absorption: how much more often the parents' latents are silent beside
    a child than alone. dimming: how much less of the parents' strengths they report there. inherited, mixing: how far
    the latents of children lean towards their parent, and those of a pair towards the partner, in cosines. splitting:
    F1 that a parent gains when up to 1 + CHILDREN latents may report it together.
    """

    l0: np.ndarray
    explained: np.ndarray
    shrinkage: np.ndarray
    dead: np.ndarray
    f1: np.ndarray
    recovered: np.ndarray
    absorption: np.ndarray
    dimming: np.ndarray
    inherited: np.ndarray
    mixing: np.ndarray
    splitting: np.ndarray


def measure(models, animals: Zoo, x) -> Card:
    """Score autoencoders of a zoo on inputs x (inputs, n) that they were not trained on; batch axes (...) of models."""
    shape = models.b.shape[:-1]
    if not shape:
        raise ValueError("models must have batch axes; measure(...) scores many at once")
    h = np.asarray(x @ animals.W.T, np.float32)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(shape) :]), models)
    found = [_score(a, rebuilt, D, h, x, animals) for a, rebuilt, D in _runs(flat, h)]
    return Card(*np.array(found).T.reshape(len(Card._fields), *shape))


def _runs(models, h):
    """Latents, reconstructions and dictionary of each model in turn."""
    for i in range(len(models.b)):
        model = variants.pick(models, i)
        a = variants.encode(model, h)
        yield np.asarray(a), np.asarray(variants.decode(model, a)), np.asarray(variants.dictionary(model))


def _score(a, rebuilt, D, h, x, animals: Zoo):
    truth, alive = animals.W.T, metrics.density(a) > 0
    best = metrics.firing(a, x).f1.max(0)
    return (
        metrics.l0(a), metrics.explained_variance(h, rebuilt), metrics.shrinkage(h, rebuilt), 1 - alive.mean(),
        best.mean(), metrics.recovered(D[alive], truth, FOUND) if alive.any() else 0.0,
        absorbed(a, x, D, animals), absorbed(a, x, D, animals, metrics.dimming), inherited(D, truth, animals),
        mixing(D, truth, animals.partners), split(a, x, animals.parents),
    )  # fmt: skip


def absorbed(a, x, D, animals: Zoo, score=metrics.absorption) -> float:
    """The mean absorption (or `metrics.dimming`) of all parents by their children; a latent is the nearest direction.

    Each child is held against its parent without any child, so that a parent that is silent beside both counts as 1.
    """
    each = [
        score(a, x, parent, child, D, animals.W.T, siblings=row[row != child])
        for parent, row in zip(animals.parents, animals.children, strict=True)
        for child in row
    ]
    return float(np.mean(each))


def mixing(D, truth, partners) -> float:
    """How far latents lean towards the partner of their feature, beyond what the two features themselves do.

    D: (latents, d). truth: (features, d). partners: (pairs, 2). The mean over the members of pairs of the cosine of
    the latent nearest to one member with the other, less the cosine of the two: 0 for true directions, about 0.7
    where one latent stands for both and they are orthogonal.
    """
    return _leaning(D, truth, np.concatenate([partners, np.asarray(partners)[:, ::-1]]))


def inherited(D, truth, animals: Zoo) -> float:
    """The same for the latents of children, towards their parent: 0.7 where each writes its parent and itself."""
    return _leaning(D, truth, [(i, j) for j, row in zip(animals.parents, animals.children, strict=True) for i in row])


def _leaning(D, truth, ordered) -> float:
    C, own = metrics.cosines(D, truth), metrics.cosines(truth, truth)
    return float(np.mean([C[C[:, i].argmax(), j] - own[i, j] for i, j in ordered]))


def split(a, x, parents) -> float:
    """The mean F1 that up to 1 + CHILDREN latents gain when they report a parent together, over the best alone."""
    gain = [metrics.union(a, x[:, i], 1 + CHILDREN) - metrics.union(a, x[:, i], 1) for i in parents]
    return float(np.mean(gain))


def at_l0(card: Card, l0: float) -> Card:
    """Scores at one number of active latents: interpolated in log L0 between the sparsities, for each start.

    card: scores (sparsities, seeds). Returns (seeds,) for each score, NaN for a start whose sparsities do not reach.
    """
    rows = np.argsort(card.l0, 0)
    place = np.log(np.take_along_axis(np.asarray(card.l0, float), rows, 0))
    read = lambda score: [
        np.interp(np.log(l0), x, y, np.nan, np.nan)
        for x, y in zip(place.T, np.take_along_axis(np.asarray(score, float), rows, 0).T, strict=True)
    ]
    found = Card(*(np.array(read(score)) for score in card))
    return found._replace(l0=np.where(np.isnan(found.f1), np.nan, l0))


def soft_threshold_shrinkage(cut):
    """Shrinkage of one feature of uniform strength under an L1 penalty, 1 - 3t/2 + t³/2, where t = `cut`.

    The best latent is max(x - t, 0), with t half the penalty in the units of x, from 0 to 1. Broadcasts.
    Source: our closed form; the effect is that of Wright & Sharkey 2024.
    """
    t = check.numbers("cut", cut)
    if ((t < 0) | (t > 1)).any():
        raise ValueError(f"cut must lie between 0 and 1, got {t}")
    return 1 - 1.5 * t + t**3 / 2


# ------------------------------------------------------------------------------------------ small patients


class Treated(NamedTuple):
    """Autoencoders of a small patient from several random starts, on inputs that they were not trained on.

    E, D: (seeds, latents, d). a: (seeds, inputs, latents). rebuilt: (seeds, inputs, d). x: (inputs, d). objective:
    (seeds,) unexplained variance and penalty. best: the seed with the lowest objective.
    """

    E: np.ndarray
    D: np.ndarray
    a: np.ndarray
    rebuilt: np.ndarray
    x: np.ndarray
    objective: np.ndarray
    best: int


def treat(x, weight: float, *, variant: str = "relu", width: int = 4, seeds: int = 20, key) -> Treated:
    """Train autoencoders of up to four latents on three quarters of inputs x (inputs, d), and run them on the rest.

    weight: of the penalty (the objective counts it as L1, so compare objectives within "relu" only). variant: see
    `autoencoder.VARIANTS`. width: latents in use, 1 to 4. Errors: those of `autoencoder.train`.
    """
    cut = len(x) * 3 // 4
    models = training.train(
        x[:cut], 4, variant=variant, sparsity=weight, width=width, seeds=seeds, steps=600, batch=256,
        learning_rate=0.01, key=key,
    )  # fmt: skip
    unseen = np.asarray(x[cut:], np.float32)
    a, rebuilt = map(np.asarray, _run_all(models, unseen))
    spread = ((unseen - unseen.mean(0)) ** 2).sum(1).mean()
    left = ((unseen - rebuilt) ** 2).sum(-1).mean(-1) / spread
    objective = left + weight * a.sum(-1).mean(-1) / np.sqrt(spread)
    D = np.asarray(variants.dictionary(models))
    return Treated(np.asarray(models.E), D, a, rebuilt, unseen, objective, int(objective.argmin()))


@jax.jit
def _run_all(models, h):
    def one(model):
        a = variants._encode(model, h)
        return a, variants.decode(model, a)

    return jax.lax.map(one, models)


def absorptions(found: Treated, parent: int = 0, child: int = 1, score=metrics.absorption) -> np.ndarray:
    """Absorption (or `metrics.dimming`) of a parent by a child at each start, (seeds,), where features are the axes."""
    truth = np.eye(found.x.shape[1])
    return np.array([score(a, found.x, parent, child, D, truth) for a, D in zip(found.a, found.D, strict=True)])


def lean(D, i: int = 0, j: int = 1) -> np.ndarray:
    """How a direction mixes two features that are axes, 2 D_i D_j over its squared length; D (..., d) -> (...).

    1 for their sum, 0 for one of them alone, -1 for their difference; turning the direction round changes nothing.
    """
    D = check.numbers("D", D)
    return 2 * D[..., i] * D[..., j] / np.maximum((D**2).sum(-1), 1e-12)
