"""Exercises of `06_geometry`."""

from __future__ import annotations

from toysup import packing, theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _antiprism_dimensionality(), _digon_gain(), _best_mixture()


def _antiprism_dimensionality() -> Exercise:
    """The share of a dimension of each of eight equal features in three dimensions."""
    return Exercise(
        "antiprism_dimensionality",
        3 / 8,
        0.005,
        (
            (1 / 8, "eight features share three dimensions here, not one."),
            (8 / 3, "this is how many features there are for each dimension. Turn it round."),
            (1 / 2, "1/2 is the share of a feature in a digon."),
            (3.0, "this is what all eight have together."),
        ),
        "Three dimensions in eight equal shares.",
    )


def _digon_gain() -> Exercise:
    """The gain per dimension of W = (1, -1), b = 0 at density 1/4."""
    p = 0.25
    V, loss = float(theory.variance(p)), float(theory.two_in_one(p, 1.0).antipodal)
    return Exercise(
        "digon_gain",
        float(packing.gain(loss, 2, 1, p)),
        0.003,
        (
            (2 * V - loss, "this is what the pair saves. The gain is in units of V."),
            (2 - loss, "the loss is to be divided by V, too."),
            ((V - loss) / V, "this counts one feature. The digon keeps two."),
            ((2 * V - loss) / (2 * V), "two features share one dimension: divide by d = 1."),
            ((2 * p / 3 - loss) / (p / 3), "what a feature costs when it is ignored is its variance, p/3 - p²/4."),
        ),
        "Free length and bias raise it a little, to 1.697.",
    )


def _best_mixture() -> Exercise:
    """How many features the best mixture of digons (gain 1.77) and pentagons (1.80) keeps in five dimensions."""
    digon, pentagon = packing.Block("digon", 2, 1, 1.77), packing.Block("pentagon", 5, 2, 2 * 1.80)
    count = packing.fill((digon, pentagon), 5)[1]
    return Exercise(
        "best_mixture",
        float(2 * count["digon"] + 5 * count["pentagon"]),
        0.0,
        (
            (10, "one dimension is still empty with two pentagons; and five digons save less."),
            (12.5, "there are no half pentagons."),
            (11, "one pentagon and three digons save 3.60 + 5.31. A second pentagon saves more than two digons."),
            (8.97, "this is what the mixture saves, in units of V. How many features does it keep?"),
        ),
        "Two pentagons and a digon.",
    )
