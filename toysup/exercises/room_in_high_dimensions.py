"""Exercises of `03_room_in_high_dimensions`."""

from __future__ import annotations

import math

from toysup import sensing
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _typical_cosine(), _distortion(), _dimensions()


def _typical_cosine() -> Exercise:
    """The number of dimensions in which two random directions have the typical cosine 0.05."""
    return Exercise(
        "typical_cosine",
        1 / 0.05**2,
        0.01,
        (
            (1 / 0.05, "1/m is the mean of the square. Square the cosine."),
            (math.sqrt(1 / 0.05), "you took the root where a square is needed."),
            (0.05**2, "this is 1/m."),
        ),
        "Half the cosine takes four times the dimensions.",
    )


def _distortion() -> Exercise:
    """To what the lemma must keep squared distances so that overlaps are at most 0.25."""
    e = 0.25
    return Exercise(
        "distortion_for_overlap",
        e / (1 + e),
        0.01,
        (
            (e, "the dot product is at most δ then. The images may be shorter than 1."),
            (e / (1 - e), "you have solved δ = ε/(1 - ε). The unknown stands on the other side."),
            (e / (2 + e), "this wastes half of it: both squares err at most by 2δ, and four dot products share that."),
            (e / 2, "the overlap is a dot product over two lengths."),
        ),
        "Squared distances right to a fifth.",
    )


def _dimensions() -> Exercise:
    """What the solver needs for 1,000 features of density 0.07."""
    n, p = 1000, 0.07
    return Exercise(
        "dimensions_needed",
        n * float(sensing.threshold(p)),
        0.02,  # a border measured at n = 100 may be off by a per cent
        (
            (
                n * float(sensing.threshold(p, signed=True)),
                "this is for entries of both signs; features are at least 0.",
            ),
            (float(sensing.threshold(p)), "this is the share m/n. How many dimensions are that?"),
            (n * p, "this is how many are active. The solver does not know which ones."),
            (-n * p * math.log(p), "this is the order of growth, without its constant."),
            (n, "this is what a linear readout needs."),
        ),
        "Nearly five features to a dimension.",
    )
