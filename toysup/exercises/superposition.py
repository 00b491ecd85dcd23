"""Exercises of `04_superposition`."""

from __future__ import annotations

import numpy as np

from toysup import geometry, theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _antipodal_loss(), _pentagon_dimensionality(), _misread_pairs(), _linear_floor()


def _antipodal_loss() -> Exercise:
    """Expected loss of two features of importance 1 as an antipodal pair, W = [1, -1], b = 0, density 0.2."""
    p = 0.2
    loss = float(theory.two_in_one(p, 1.0).antipodal)
    return Exercise(
        "antipodal_loss",
        loss,
        0.015,
        (
            (
                loss / 2,
                "this is half of it. The loss is a sum over both features, neither one of them nor the mean.",
            ),
            (loss / p, "both must be active at once for an error: that has the probability p², not p."),
            (loss / p**2, "this is the error once both are active. How often are they?"),
            (
                2 * p**2 * (1 / 3) ** 2,
                "you squared the mean of min(x1, x2), which is 1/3. The loss has the mean of the square.",
            ),
            (2 * loss, "the error is the smaller of two numbers; the mean of its square is 1/6, not 1/3."),
            (p**2, "this is how often the two meet. What does a meeting cost?"),
        ),
        "Both features read min(x1, x2) too little when both are active, and only then.",
    )


def _pentagon_dimensionality() -> Exercise:
    """Feature dimensionality of each feature of a regular pentagon in two dimensions."""
    D = float(geometry.feature_dimensionality(theory.polygon(5))[0])
    return Exercise(
        "pentagon_dimensionality",
        D,
        0.005,
        (
            (1 / 5, "five features share two dimensions here, not one."),
            (1 / 2, "1/2 is the share of a feature in a digon, two features in one dimension."),
            (
                1.0,
                "1 is a feature that has a dimension to itself. Did you sum over all features?",
            ),
            (1 / D, "this is the sum over j. The dimensionality has it below the fraction line."),
            (1 / D - 1, "this is the interference from the other features. The sum over j includes j = i."),
        ),
        "Five equal shares of two dimensions.",
    )


def _misread_pairs() -> Exercise:
    """How many of the 21 pairs of features of a regular heptagon are misread when both are 1."""
    count = theory.misread_pairs(geometry.polygon(7))
    again = "nearly. Every corner has two neighbours; how many pairs of neighbours are there?"
    return Exercise(
        "misread_pairs",
        count.misread,
        0.0,
        (
            (0, "one active feature is always read correctly. Switch on two that are not neighbours."),
            (count.pairs, "not all of them. Look at two neighbours: which features read highest?"),
            (count.correct, "these are the pairs that are read correctly."),
            (count.misread / count.pairs, "this is the share. How many pairs is that?"),
            (2 * count.misread, "count each pair once: {0, 2} and {2, 0} are the same one."),
            (count.misread - 1, again),
            (count.misread + 1, "one too many. " + again.removeprefix("nearly. ")),
        ),
        "Neighbours are read correctly; between any other two lies a feature that reads higher than both.",
    )


def _linear_floor() -> Exercise:
    """The least loss of the linear model with n = 5, m = 2, density 0.3 and importance 0.8^i."""
    p, m, importance = 0.3, 2, 0.8 ** np.arange(5)
    loss = float(theory.linear_loss(p, importance, m))
    worth = importance * theory.variance(p)
    return Exercise(
        "linear_floor",
        loss,
        0.01,
        (
            (
                importance[m:].sum() * p / 3,
                "you took E[x²]. The bias can do better: what is left is the variance.",
            ),
            (
                importance[m:].sum() / 12,
                "1/12 is the variance of an active feature. Most of the time it is not active.",
            ),
            (worth[-m:].sum(), "you dropped two features. The model keeps two, and drops the others."),
            (worth[:m].sum(), "this adds up the features that are kept. They cost nothing."),
            (worth[: len(worth) - m].sum(), "you dropped the most important features. Which ones should go?"),
            (
                worth.sum(),
                "this is the loss of a model that drops all five features. Two dimensions keep two of them.",
            ),
            ((0.8 * worth[m:]).sum(), "features are numbered from 0: the third has the importance 0.8²."),
            (3 * theory.variance(p), "weight each of the three with its importance."),
            (loss / 5, "this is a mean over the five features. The loss is a sum."),
            (importance[m:].sum(), "this adds up the importances. What does a feature of importance 1 cost?"),
        ),
        "The linear model drops the three least important features, at any sparsity.",
    )
