"""Exercises of `07_one_feature_differs`."""

from __future__ import annotations

import math

from toysup import theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _two_digons_loss(), _length_for_bias(), _flattery_of_two()


def _two_digons_loss() -> Exercise:
    """Loss of two digons of unit arrows without bias at density 0.05, the fifth feature dropped, of density 0.03."""
    p, own = 0.05, 0.6 * 0.05
    pair, dropped = 2 * p**2 / 6, float(theory.variance(own))
    return Exercise(
        "two_digons_loss",
        2 * pair + dropped,
        0.004,
        (
            (2 * pair, "these are the two digons. What does the dropped feature cost?"),
            (pair + dropped, "there are two digons, and each has collisions of its own."),
            (dropped, "this is the dropped feature. The digons are not free: their features meet at times."),
            (2 * pair + own / 3, "with the best constant answer a dropped feature costs its variance, not E[x²]."),
            (2 * pair + float(theory.variance(p)), "the dropped feature has 0.6 times the density of the others."),
            (4 * pair + dropped, "a digon costs p²/3 in all, both of its features together."),
        ),
        "Two digons share no dimension, so their costs add up.",
    )


def _length_for_bias() -> Exercise:
    """The length at which an arrow with bias -0.2 reads its own feature, at strength 1, as 1."""
    b = -0.2
    return Exercise(
        "length_for_bias",
        math.sqrt(1 - b),
        0.004,
        (
            (1 - b, "this is the squared length. An arrow is multiplied with itself when it is read."),
            (1 / (1 - b), "this is the printed formula. Put it back into the reading: does it give 1?"),
            (1 / (1 + b), "this would be right if the arrow were met once. It is written with, and read with."),
            (math.sqrt(1 + b), "mind the sign: a negative bias must be made up for by a longer arrow."),
        ),
        "‖W‖² · 1 + b = 1.",
    )


def _flattery_of_two() -> Exercise:
    """By how many standard errors the lower of two measurements of the same loss lies below it, on average."""
    return Exercise(
        "flattery_of_two",
        1 / math.sqrt(math.pi),
        0.01,
        (
            (-1 / math.sqrt(math.pi), "by how much it lies below: a positive number."),
            (2 / math.sqrt(math.pi), "this is the mean distance of the two. The lower one lies half of it below."),
            (math.sqrt(2 / math.pi), "this is E|g| for one number. The difference of two scatters √2 times as much."),
            (0.0, "their mean is right on average. The lower of the two is not."),
            (1.0, "one standard error is the usual scatter of a single measurement."),
        ),
        "The lower of two is their mean minus half their distance, and the distance is 2/√π on average.",
    )
