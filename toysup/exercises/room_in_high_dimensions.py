"""Exercises of `03_room_in_high_dimensions`."""

from __future__ import annotations

import math

from toysup import coherence, sensing
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _typical_cosine(), _welch(), _dimensions()


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


def _welch() -> Exercise:
    """Welch's bound for 28 directions in 7 dimensions."""
    return Exercise(
        "welch_28_in_7",
        coherence.welch(7, 28),
        0.01,
        (
            (1 / 9, "this bounds the square of the overlap."),
            (math.sqrt(21 / (7 * 28)), "the fraction has N - 1 below the line, not N."),
            (7 / 28, "this is m/N, the share of a dimension for each direction."),
            (1 / math.sqrt(7), "this is the typical cosine of two random directions. The bound lies below."),
        ),
        "All 378 pairs have the same overlap then.",
    )


def _dimensions() -> Exercise:
    """What the solver needs for 1,000 features of density 0.05."""
    n, p = 1000, 0.05
    return Exercise(
        "dimensions_needed",
        n * float(sensing.threshold(p)),
        0.01,
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
        "Six features to a dimension.",
    )
