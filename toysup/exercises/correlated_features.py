"""Exercises of `08_correlated_features`."""

from __future__ import annotations

import math

from toysup import correlation
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _partner_correlation(), _merged_triple(), _free_dimensions()


def _partner_correlation() -> Exercise:
    """The correlation of being active, for density 0.2 and a partner that is active in 60 % of these cases."""
    p, c = 0.2, 0.6
    return Exercise(
        "partner_correlation",
        float(correlation.activity_correlation(p, c)),
        0.01,
        (
            (c, "this is how often the partner is active. By chance alone it would be active at times, too."),
            (c - p, "this is the surplus over chance. How large could the surplus be at most?"),
            (p * c, "this is how often both are active."),
            (p * c - p * p, "this is the covariance. Divide it by the variance of one of the two."),
            (c / (1 - p), "subtract first what chance alone would give."),
        ),
        "0 is what chance gives, 1 is always together.",
    )


def _merged_triple() -> Exercise:
    """The loss of one set of three always active together at density 0.3, each answered by the mean of the three."""
    p, size = 0.3, 3
    loss = p * (size - 1) / 12
    return Exercise(
        "merged_triple",
        loss,
        0.01,
        (
            (p * size / 12, "this is the loss around the true mean of 1/2. The mean of three moves along with each."),
            (p / 12, "this is a pair. With three there are two directions that are lost."),
            (loss / p, "this is the loss of an input in which they are active. How often is that?"),
            (loss / size, "this is the loss of one feature. There are three."),
            (p * size / 3, "this is what it costs to drop all three."),
        ),
        "A set of k loses k - 1 directions of variance 1/12 each, whenever it is active.",
    )


def _free_dimensions() -> Exercise:
    """How many dimensions three independent sets of three mutually exclusive features need for a loss of 0."""
    sets, size = 3, 3
    need = sets * math.ceil(size / 2)
    return Exercise(
        "free_dimensions",
        need,
        0.0,
        (
            (math.ceil(sets * size / 2), "two features per dimension, but of one set: other sets are active, too."),
            (sets * size / 2, "a dimension is not shared between sets: round for each set."),
            (sets, "three arrows in one dimension: two of them point the same way."),
            (sets * size, "two of a set can share a dimension, as opposites."),
            (size // 2 + 1, "this is one set. How do the sets lie to each other?"),
        ),
        "Each set needs two dimensions, and sets must be at right angles to each other.",
    )
