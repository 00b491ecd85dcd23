"""Exercises of `02_privileged_bases`."""

from __future__ import annotations

import numpy as np

from toysup import basis
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _slanted_part(), _turned_purity(), _most_monosemantic()


def _turned_purity() -> Exercise:
    """The purity of a neuron when two features along the axes are turned by 30 degrees."""
    angle = np.pi / 6
    cos, sin = np.cos(angle), np.sin(angle)
    return Exercise(
        "turned_purity",
        float(basis.purity(basis.rotation(angle), "linear")[0]),
        0.005,
        (
            (cos**2, "this is the alignment of a feature, with squares. The purity is a share of plain answers."),
            (cos, "this is the strongest answer. What share of the sum of both is it?"),
            (sin / (sin + cos), "this is the share of the weaker feature."),
            (cos / (cos - sin), "the answer to feature 1 counts with its size, not with its sign."),
        ),
        "cos 30° / (cos 30° + sin 30°).",
    )


def _slanted_part() -> Exercise:
    """How much of [-1, 1] there is in [2, 3], beside [1, 1]."""
    return Exercise(
        "slanted_part",
        float(np.linalg.solve([[1, -1], [1, 1]], [2, 3])[1]),
        0.005,
        (
            (-1.0, "add up 2 [1, 1] and -[-1, 1]: this is not [2, 3]."),
            (2.5, "this stands before [1, 1]."),
            (1.0, "this is the dot product with [-1, 1], whose squared length is 2."),
            (1 / 2**0.5, "this is for an arrow of length 1; [-1, 1] is longer."),
            (-0.5, "mind the sign: a - b = 2 and a + b = 3."),
        ),
        "A basis at right angles, but not of length 1: the dot product over the squared length.",
    )


def _most_monosemantic() -> Exercise:
    """How many of four neurons can be monosemantic when seven features are stored."""
    return Exercise(
        "most_monosemantic",
        3.0,
        0.0,
        (
            (4, "then the other features would have no neuron that answers to them."),
            (0, "try to give one neuron a feature of its own, and the rest to the others."),
            (1, "can you clean one more?"),
            (7, "there are four neurons."),
        ),
        "The fourth neuron has to answer to the four features that are left.",
    )
