"""How well firing tells a label where every unit may have its best cut: each of its positive values is tried.

A unit fires where it lies at its cut or above. A comparison at one cut, or at a few, favours units that need none.
Arrays have the inputs in front: a (inputs, units), labels (inputs, labels), true where positive.
"""

from __future__ import annotations

import numpy as np

from toysup import check


def best(a, labels) -> np.ndarray:
    """The F1 of each unit for each label at the best of all cuts above zero: (units, labels).

    0 for a label without inputs. The cut is chosen on the inputs that score it: look at a control with as many units.
    Errors: ValueError where the numbers of inputs differ.
    """
    a, labels = _both(a, labels)
    fired = np.full(a.shape, np.inf, np.float32)  # how many fire with the cut at this input's value
    for unit, (inputs, many) in enumerate(_ranked(a)):
        fired[inputs, unit] = many
    out = np.zeros((a.shape[1], labels.shape[1]))
    for label, there in enumerate(labels.T):
        if there.any():
            place = np.sort(fired[there], axis=0)
            out[:, label] = (2 * np.arange(1, len(place) + 1)[:, None] / (place + len(place))).max(0)
    return out


def unions(a, labels, k: int) -> np.ndarray:
    """The F1 of the best 1 to k units that fire for a label together, each at its own cut, added one at a time.

    Returns (labels, k). A unit that does not help is not added. Errors: as for `best`.
    """
    a, labels = _both(a, labels)
    k, ranked = check.count("k", k), [one for one in _ranked(a) if len(one[0])]
    return np.array([_union(ranked, label, k) for label in labels.T])


def _union(ranked, label, k):
    if not ranked:
        return np.zeros(k)
    inputs, many = (np.concatenate(part) for part in zip(*ranked, strict=True))
    length = np.array([len(one[0]) for one in ranked])
    first = np.cumsum(length) - length
    cut = many == np.arange(len(many)) - np.repeat(first, length) + 1  # below it lies a smaller value, or zero
    got, found = np.zeros(len(label), bool), np.zeros(k)
    for step in range(k):
        hits, fires = (_within(where & ~got, inputs, first, length) + (where & got).sum() for where in (label, ~label))
        f1 = np.where(cut, 2 * hits / (hits + fires + max(label.sum(), 1)), 0)
        place = f1.argmax()
        if step and f1[place] <= found[step - 1]:
            found[step:] = found[step - 1]
            break
        found[step] = f1[place]
        got[inputs[first[np.searchsorted(first, place, side="right") - 1] : place + 1]] = True
    return found


def _within(where, inputs, first, length):
    """Running counts in each unit of its inputs that are in `where`."""
    total = np.cumsum(where[inputs], dtype=np.int32)
    return total - np.repeat(total[first] - where[inputs[first]], length)


def _ranked(a):
    """Of each unit the inputs on which it is above zero, strongest first, and how many are at least as strong."""
    for column in np.ascontiguousarray(a.T):
        inputs = np.flatnonzero(column > 0)
        inputs = inputs[np.argsort(-column[inputs], kind="stable")]
        value = -column[inputs]
        yield inputs, np.searchsorted(value, value, side="right")


def _both(a, labels):
    a, labels = np.asarray(check.numbers("a", a), np.float32), np.asarray(labels) > 0
    if a.ndim != 2 or labels.ndim != 2 or len(a) != len(labels):
        raise ValueError(f"a and labels must have two axes and as many inputs, got {a.shape} and {labels.shape}")
    return a, labels
