"""Latents in pairs: which fire together, which push the output alike, and whether their directions go with that.

Every measure is a matrix over pairs of latents, (k, k); `cells` crosses two of them and averages a third. Inputs are
rows: a (inputs, k) activations of latents, h (inputs, d) what they were read from, D (k, d) a dictionary.
The question and the four cells are those of Abraham 2024, *Feature superposition, co-occurrence and output influence
in LLMs*; `preactivation_correlations` and `output_similarity` are the two axes measured there.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import entr, softmax

from toysup import check
from toysup.autoencoder import metrics
from toysup.language import transformer
from toysup.language.dictionaries import Observed

LEAST_PAIRS = 30  # a cell with fewer has no mean
ROWS, COLUMNS = ("similar output", "different output"), ("fire apart", "fire together")


# ------------------------------------------------------------------------------------------ firing together


def correlations(x) -> np.ndarray:
    """Pearson's correlation of each two columns: x (inputs, k) -> (k, k); 0 where a column is constant."""
    x = _table("x", x)
    x = x - x.mean(0)
    size = np.sqrt((x**2).sum(0))
    x = x / np.where(size > 1e-9 * max(1.0, size.max()), size, np.inf)
    return np.clip(x.T @ x, -1, 1)


def preactivation_correlations(E, covariance) -> np.ndarray:
    """The correlation of pre-activations e_i · h + b_i, e_iᵀ S e_j / √(e_iᵀ S e_i · e_jᵀ S e_j), from S alone.

    E: (k, d) encoder. covariance: S (d, d) of the inputs, symmetric. Returns (k, k): for S = 1 the cosines of the
    encoder's rows. It knows nothing of when a latent fires: biases and ReLU do not appear.
    Errors: ValueError where an encoder row reads a constant.
    """
    E, S = _table("E", E), _table("covariance", covariance)
    if S.shape != (E.shape[1],) * 2 or not np.allclose(S, S.T, atol=1e-6 * np.abs(S).max()):
        raise ValueError(f"covariance must be symmetric, ({E.shape[1]}, {E.shape[1]}) as E is {E.shape}; got {S.shape}")
    both = E @ S @ E.T
    spread = np.diag(both)
    if (spread <= 0).any():
        raise ValueError(f"row {int(np.argmin(spread))} of E reads a constant: it correlates with nothing")
    return np.clip(both / np.sqrt(np.outer(spread, spread)), -1, 1)


def phi(a) -> np.ndarray:
    """The correlation of "i fires" with "j fires", 1 or 0 each: a (inputs, k) -> (k, k).

    1 for latents that always fire together, 0 for independent ones. Two latents of density p that never meet have
    -p / (1 - p): for sparse latents the lower end lies close to 0.
    """
    return correlations(_latents(a) > 0)


# ------------------------------------------------------------------------------------------ pushing alike


def mean_outputs(a, probabilities) -> np.ndarray:
    """The model's output where a latent fires, averaged with its activation as the weight.

    a: (inputs, k), not negative. probabilities: (inputs, outputs), each row sums to 1. Returns (k, outputs); a latent
    that never fires gets the mean of all inputs. Source: Abraham 2024, the analysis notebook.
    """
    a, P = _latents(a), _table("probabilities", probabilities)
    if len(P) != len(a) or (P < 0).any() or not np.allclose(P.sum(1), 1, atol=1e-3):
        raise ValueError(f"probabilities must be ({len(a)}, outputs), not negative, each row with the sum 1; {P.shape}")
    total = a.sum(0)
    return np.where(total[:, None] > 0, a.T @ P / np.where(total > 0, total, 1)[:, None], P.mean(0))


def output_similarity(Q) -> np.ndarray:
    """1 - JSD, the Jensen-Shannon divergence in nats, of each two distributions: Q (k, outputs) -> (k, k).

    From 1 - ln 2 = 0.307 for distributions without a common outcome to 1 for equal ones. Source: Lin 1991.
    """
    Q = _table("Q", Q)
    if (Q < 0).any() or not np.allclose(Q.sum(1), 1, atol=1e-3):
        raise ValueError("Q must be distributions (k, outputs): not negative, each row with the sum 1")
    entropy = entr(Q).sum(1)
    mixed = np.stack([entr((row + Q) / 2).sum(1) for row in Q])
    return 1 - np.clip(mixed - (entropy[:, None] + entropy) / 2, 0, np.log(2))


def ablation_profiles(a, logits, effects) -> np.ndarray:
    """What each latent gives the output: probabilities with it, minus those without, a mean over where it fires.

    a: (inputs, k). logits: (inputs, outputs) of the whole model. effects: (k, outputs) what one unit of a latent adds
    to the logits. Returns (k, outputs); 0 for a latent that never fires. Compare two of them by their cosine.
    """
    a, logits, effects = _latents(a), _table("logits", logits), _table("effects", effects)
    if len(logits) != len(a) or effects.shape != (a.shape[1], logits.shape[1]):
        raise ValueError(f"a {a.shape}, logits {logits.shape}, effects {effects.shape} are not (i, k), (i, o), (k, o)")
    P, out = softmax(logits, 1), np.zeros_like(effects)
    for k, on in enumerate(a.T > 0):
        if on.any():
            out[k] = (P[on] - softmax(logits[on] - a[on, k, None] * effects[k], 1)).mean(0)
    return out


# ------------------------------------------------------------------------------------------ the four cells


@dataclasses.dataclass(frozen=True)
class Cells:
    """Mean cosines in four cells; rows: output similar, different; columns: fire apart, together.

    mean: (2, 2), NaN where a cell holds fewer than `LEAST_PAIRS`. n: (2, 2) pairs in each. share: (2, 2) how many of
    them have a cosine below 0, NaN as for mean. cuts: (2, 2) where the cells begin; rows: the axis of firing together,
    the output axis; columns: at most so much is apart (different), at least so much together (similar).
    """

    mean: np.ndarray
    n: np.ndarray
    share: np.ndarray
    cuts: np.ndarray

    def __str__(self) -> str:
        """Four lines; numbers of pairs to hundreds: at its threshold a latent fires on one machine, not on another."""
        say = lambda m, n: f"{m:+.2f} ({round(n, -2):4d})" if n >= LEAST_PAIRS else f"no data (< {LEAST_PAIRS})"
        lines = [f"{'mean cosine (pairs)':19}" + "".join(f"{name:>17}" for name in COLUMNS)]
        for name, mean, n in zip(ROWS, self.mean, self.n, strict=True):
            lines.append(f"{name:19}" + "".join(f"{say(*one):>17}" for one in zip(mean, n, strict=True)))
        (apart, joint), (different, similar) = np.round(self.cuts, 2) + 0.0
        ends = f"apart up to {apart:.2f}, together from {joint:.2f}; different up to {different:.2f}"
        return "\n".join([*lines, f"{ends}, similar from {similar:.2f}"])


def cells(cosine, together, output, *, share: float = 0.05, share_output: float = 0.2) -> Cells:
    """The mean cosine of pairs that are extreme on two axes.

    cosine, together, output: (k, k) symmetric; each pair i < j counts once. share: "together" are the pairs in the top
    `share` of that axis, "apart" those in the bottom; share_output: the same for "similar" and "different".
    Both lie in (0, 0.5]. Where many pairs are equal at a border, all or none of them are in.
    """
    parts = [pairs_of(name, x) for name, x in (("cosine", cosine), ("together", together), ("output", output))]
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"cosine, together and output must have the same shape; pairs: {[len(p) for p in parts]}")
    values, co, out = parts
    cuts = np.array([_ends("share", co, share), _ends("share_output", out, share_output)])
    apart, joint, different, similar = co <= cuts[0, 0], co >= cuts[0, 1], out <= cuts[1, 0], out >= cuts[1, 1]
    masks = [[row & column for column in (apart, joint)] for row in (similar, different)]
    n = np.array([[mask.sum() for mask in row] for row in masks])
    mean = lambda v: np.array([[v[m].mean() if m.sum() >= LEAST_PAIRS else np.nan for m in row] for row in masks])
    return Cells(mean(values), n, mean(values < 0), cuts)


def pairs_of(name: str, matrix) -> np.ndarray:
    """The entries above the diagonal of a symmetric matrix (k, k) -> (k (k - 1) / 2,); name: for the error."""
    matrix = _table(name, matrix)
    if matrix.shape[0] != matrix.shape[1] or len(matrix) < 3:
        raise ValueError(f"{name} must be (k, k) with at least three latents, got {matrix.shape}")
    return matrix[np.triu_indices(len(matrix), 1)]


def agreement(one, other) -> float:
    """Pearson's correlation of two measures over all pairs, each (k, k)."""
    x = np.stack([pairs_of("one", one), pairs_of("other", other)], 1)
    return float(correlations(x)[0, 1])


def shuffled(matrix, *, seed: int) -> np.ndarray:
    """The same matrix with the latents renamed at random: what is left of a relation is chance. (k, k) -> (k, k).

    Renaming, unlike shuffling entries, keeps what entries of one row have in common. Source: Mantel 1967.
    """
    matrix = _table("matrix", matrix)
    order = np.random.default_rng(check.count("seed", seed, least=0)).permutation(len(matrix))
    return matrix[np.ix_(order, order)]


# ------------------------------------------------------------------------------------------ of a language model


@dataclasses.dataclass(frozen=True)
class Survey:
    """All measures of the latents of one dictionary, each (k, k).

    cosine: of directions. preactivation, activation, phi: three axes of firing together. output: 1 - JSD of mean
    outputs; ablation: the cosine of ablation profiles.
    """

    cosine: np.ndarray
    preactivation: np.ndarray
    activation: np.ndarray
    phi: np.ndarray
    output: np.ndarray
    ablation: np.ndarray


AXES = ("preactivation", "activation", "phi")
OUTPUTS = ("output", "ablation")


def survey(seen: Observed, a, D, E, *, h=None) -> Survey:
    """Measure the latents of a dictionary of a transformer's neurons.

    seen: a text, observed. a: (inputs, k) latents on it. D, E: (k, neurons) dictionary and encoder. h: (inputs,
    neurons) what takes the place of the neurons, where the latents read something else. Hand in latents that fire now
    and then (`often`): one that never does correlates with nothing.
    """
    h = seen.h if h is None else np.asarray(h, np.float32)
    ids = seen.ids[seen.rows[:, :-1]]
    logits = np.asarray(transformer.forward(seen.model, ids, h.reshape(*ids.shape, -1))).reshape(len(h), -1)
    Q, profiles = (
        mean_outputs(a, softmax(logits, 1)),
        ablation_profiles(a, logits, transformer.logit_weights(seen.model, D)),
    )
    return Survey(
        cosine=metrics.cosines(D, D),
        preactivation=preactivation_correlations(E, np.cov(h.T)),
        activation=correlations(a),
        phi=phi(a),
        output=output_similarity(Q),
        ablation=metrics.cosines(profiles, profiles),
    )


def often(a, low: float = 0.002, high: float = 0.5) -> np.ndarray:
    """The latents whose density lies between low and high: a (inputs, k) -> indices."""
    density = (_latents(a) > 0).mean(0)
    return np.flatnonzero((density > low) & (density < high))


# ------------------------------------------------------------------------------------------ data without structure


def matched_latents(h, D, density) -> np.ndarray:
    """Latents that read directions off centred inputs and fire on a given share of them, ReLU(D (h - mean) - t).

    The null for a dictionary: D random, density that of the trained latents. h: (inputs, d). D: (k, d). density: (k,)
    or scalar, in [0, 1]. Returns (inputs, k).
    """
    h, D = _table("h", h), _table("D", D)
    density = np.broadcast_to(check.numbers("density", density), (len(D),))
    if (density < 0).any() or (density > 1).any():
        raise ValueError(f"density must lie in [0, 1], got {density.min():g} to {density.max():g}")
    pre = (h - h.mean(0)) @ D.T
    ranked = np.sort(pre, 0)
    count = np.round(density * len(h)).astype(int)
    cut = np.concatenate([ranked, ranked[-1:] + 1])[len(h) - count, np.arange(len(D))]
    return np.where(pre >= cut, pre - cut + 1e-6 * pre.std(), 0)


def same_covariance(h, *, seed: int) -> np.ndarray:
    """Gaussian inputs with the mean and the covariance of h (inputs, d), and nothing else of it."""
    h = _table("h", h)
    rng = np.random.default_rng(check.count("seed", seed, least=0))
    size, turn = np.linalg.eigh(np.cov(h.T))
    return h.mean(0) + rng.normal(size=h.shape) * np.sqrt(np.maximum(size, 0)) @ turn.T


def shuffled_dimensions(h, *, seed: int) -> np.ndarray:
    """Each dimension of h (inputs, d) shuffled by itself over the inputs: the same values, no relation left."""
    rng = np.random.default_rng(check.count("seed", seed, least=0))
    return rng.permuted(_table("h", h), axis=0)


def _ends(name: str, x, share):
    """The largest value of the bottom share and the smallest of the top share."""
    share = float(check.positive(name, share, most=0.5))
    return np.quantile(x, share, method="lower"), np.quantile(x, 1 - share, method="higher")


def _latents(a) -> np.ndarray:
    a = _table("a", a)
    if (a < 0).any():
        raise ValueError(f"a must not be negative: latents fire or are silent; got {a.min():g}")
    return a


def _table(name: str, x) -> np.ndarray:
    x = np.asarray(check.numbers(name, x), np.float64)
    if x.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {x.shape}")
    return x
