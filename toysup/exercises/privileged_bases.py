"""Exercises of `02_privileged_bases`."""

from __future__ import annotations

import numpy as np

from toysup import basis
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _turned_purity(), _mirrored_loss(), _most_monosemantic()


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


def _mirrored_loss() -> Exercise:
    """The loss of a ReLU model W = -I with three features at density 0.3."""
    p = 0.3
    return Exercise(
        "mirrored_loss",
        3 * p / 3,
        0.005,
        (
            (0.0, "the linear model would not mind. Here ReLU stands between the two matrices."),
            (p / 3, "this is the cost of one feature. The loss is a sum."),
            (3 * (p / 3 - p**2 / 4), "this is the loss of answering the mean. With b = 0 the model answers 0."),
            (3 / 3, "this is the cost when every feature is active. How often is one?"),
            (3 * p / 2, "this adds the means of x. The error is squared."),
        ),
        "The model answers 0 to everything.",
    )


def _most_monosemantic() -> Exercise:
    """How many of four neurons can be monosemantic when seven features are stored."""
    return Exercise(
        "most_monosemantic",
        3.0,
        0.0,
        (
            (4, "then the other features would have no neuron that answers to them."),
            (0, "one crowded neuron may serve many features, and leave others clean."),
            (1, "a neuron can be clean as long as the others, together, take the remaining features."),
            (7, "there are four neurons."),
        ),
        "The fourth neuron has to answer to the four features that are left.",
    )
