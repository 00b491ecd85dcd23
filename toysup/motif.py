"""Motifs of neurons: which neurons and features form a code of their own, and asymmetric superposition.

A neuron of a model that computes can be rescaled: W1[k] by a factor, W2[:, k] by its inverse, and nothing changes.
All functions here look at neurons after `normalise`. Source: Elhage et al. 2022, "The Asymmetric Superposition Motif".
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from toysup import check

TIED = 0.3  # least |W| of a feature that counts as written to a neuron
SECONDARY = (0.15, 0.6)  # secondary input weight over primary input weight
RECIPROCAL = (0.5, 1.5)  # input weight times output weight, for both features; 1 is a faithful answer
INHIBITED = 0.5  # least share of the interference that another neuron takes back


def codes(W, threshold: float = TIED) -> tuple[tuple[int, int], ...]:
    """The blocks of a tied model, as pairs (features, neurons): features share a block if they share neurons.

    W: (m, n). threshold: least |W| that counts. Features and neurons without any are in no block.
    Returns pairs, smallest first: ((1, 1), (1, 1), (3, 2)) is two neurons for themselves and three features in two.
    Errors name the argument. Source: Elhage et al. 2022, "Superposition in a Privileged Basis" (the regimes).
    """
    on = np.abs(_matrix("W", W)) > check.positive("threshold", threshold, most=10.0)
    m, n = on.shape
    graph = csr_array(np.block([[np.zeros((m, m), bool), on], [on.T, np.zeros((n, n), bool)]]))
    label = connected_components(graph, directed=False)[1]
    neurons, features = Counter(label[:m].tolist()), Counter(label[m:].tolist())
    return tuple(sorted((features[k], neurons[k]) for k in neurons if features[k]))


def normalise(W1, W2):
    """The same model with every neuron's largest |input weight| at 1; neurons without inputs become 0.

    W1: (..., m, n). W2: (..., outputs, m). Returns both. For hidden units without bias. Errors name the argument.
    """
    W1, W2 = _stack("W1", W1), _stack("W2", W2)
    if W2.shape[-1] != W1.shape[-2]:
        raise ValueError(f"W2 has shape {W2.shape}: its last axis must be m = {W1.shape[-2]}, the neurons of W1")
    size = np.abs(W1).max(-1)
    scale = np.where(size > 1e-9, size, np.inf)
    return W1 / scale[..., None], W2 * np.where(size > 1e-9, size, 0)[..., None, :]


@dataclasses.dataclass(frozen=True)
class Asymmetric:
    """One asymmetric motif: `neuron` serves two features, with a small weight in and a large weight out for one.

    primary, secondary: the two features. ratio: |input weights|, secondary over primary. outputs: weights out to the
    primary and to the secondary output. inhibitor: the neuron that takes the interference back. taken: how much of it,
    1 is all.
    """

    neuron: int
    primary: int
    secondary: int
    ratio: float
    outputs: tuple[float, float]
    inhibitor: int
    taken: float


def asymmetric(W1, W2) -> tuple[Asymmetric, ...]:
    """The asymmetric motifs of a model that computes |x|, one for each such pair of a neuron and a feature.

    Neuron k with primary feature i (its largest |input weight|) and another feature j counts if, after `normalise`,
    |W1_kj| lies in SECONDARY, |W1_ki| W2_ik and |W1_kj| W2_jk both lie in RECIPROCAL, and one other neuron l is driven
    by the same sign of feature i and takes back at least INHIBITED of what k leaks to output j: -|W1_li| W2_jl against
    |W1_ki| W2_jk.

    W1: (m, n). W2: (n, m). Returns the motifs, by neuron. Errors name the argument.
    Source: Elhage et al. 2022, "The Asymmetric Superposition Motif"; the thresholds are this series' own.
    """
    W1, W2 = normalise(_matrix("W1", W1), _matrix("W2", W2))
    if W2.shape != W1.T.shape:
        raise ValueError(f"W2 has shape {W2.shape}: it must be (n, m) = {W1.T.shape}, one output for each feature")
    size, primary = np.abs(W1), np.abs(W1).argmax(1)
    faithful = size * W2.T  # (m, n): in times out
    good = (faithful >= RECIPROCAL[0]) & (faithful <= RECIPROCAL[1])
    small = (size >= SECONDARY[0]) & (size <= SECONDARY[1])
    candidates = good & small & good[np.arange(len(W1)), primary][:, None]
    found = (_inhibited(W1, W2, k, primary[k], j) for k, j in np.argwhere(candidates).tolist())
    return tuple(motif for motif in found if motif is not None)


def _inhibited(W1, W2, k, i, j) -> Asymmetric | None:
    """The motif of neuron k with primary i and secondary j, if another neuron takes back what k leaks to output j."""
    sign, leak = np.sign(W1[k, i]), W2[j, k]  # |W1_ki| is 1
    taken = np.maximum(sign * W1[:, i], 0) * -W2[j] / leak
    taken[k] = 0
    best = int(taken.argmax())
    if taken[best] < INHIBITED:
        return None
    ratio, outputs = float(abs(W1[k, j])), (float(W2[i, k]), float(leak))
    return Asymmetric(k, int(i), j, ratio, outputs, best, float(taken[best]))


def shuffled(W1, W2, rng, keep_pairs: bool = False):
    """A null model: each neuron's weights dealt out to other features, after `normalise`.

    keep_pairs: False, and every neuron's input weights are permuted over the features, and its output weights over the
    outputs, independently; True, and both by the same permutation, so that a neuron stays what it was, and only its
    partners change. rng: a NumPy generator. Returns W1 (m, n) and W2 (n, m). Errors name the argument.
    """
    W1, W2 = normalise(_matrix("W1", W1), _matrix("W2", W2))
    where = np.stack([rng.permutation(W1.shape[1]) for _ in W1])
    if keep_pairs:
        return np.take_along_axis(W1, where, 1), np.take_along_axis(W2.T, where, 1).T
    return rng.permuted(W1, axis=1), rng.permuted(W2, axis=0)


def _matrix(name, W):
    W = np.asarray(check.numbers(name, W, check.MOST_PARAMETER))
    if W.ndim != 2:
        raise ValueError(f"{name} has shape {W.shape}: it must be one matrix")
    return W


def _stack(name, W):
    W = np.asarray(check.numbers(name, W, check.MOST_PARAMETER))
    if W.ndim < 2:
        raise ValueError(f"{name} has shape {W.shape}: it must be (..., rows, columns)")
    return W
