"""Exercises of `13_memorisation`."""

from __future__ import annotations

import math

from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _heptagon(), _never_seen(), _shrunk()


def _heptagon() -> Exercise:
    """Dimensionality of each of seven samples that form a regular heptagon."""
    return Exercise(
        "heptagon_of_samples",
        2 / 7,
        0.01,
        (
            (1 / 7, "this would be seven samples in one dimension. There are two."),
            (7 / 2, "this is the sum in the denominator for unit vectors, or samples per dimension: turn it over."),
            (2 / 5, "this is the pentagon."),
        ),
        "A regular polygon shares its two dimensions evenly.",
    )


def _never_seen() -> Exercise:
    """How many of 200 features of density 0.03 are active in none of 64 samples, on average."""
    missed = 0.97**64
    return Exercise(
        "features_never_seen",
        200 * missed,
        0.01,
        (
            (missed, "this is the probability for one feature. There are 200."),
            (200 * (1 - missed), "these are the features that are seen at least once."),
            (200 * 0.03 * 64, "this counts how often features are active in all the samples together."),
            (200 * 0.97, "this is for a single sample."),
        ),
        "Each sample is a new chance to be seen, so the probabilities of being missed multiply.",
    )


def _shrunk() -> Exercise:
    """The factor by which a weight without gradient shrinks in 2,000 steps at weight decay 0.3."""
    return Exercise(
        "shrunk_without_gradient",
        math.exp(-3),
        0.02,
        (
            (math.exp(-6), "this holds for a constant rate. It rises and falls, and is half of its top on average."),
            (math.exp(-10), "this is for a weight decay of 1."),
            (1 - math.exp(-3), "this is how much is lost. What is left?"),
            (3.0, "this is the sum of all the small shares. They multiply."),
            (-3.0, "this is the logarithm of the factor."),
        ),
        "Sum the rates, multiply with the decay, and take the exponential.",
    )
