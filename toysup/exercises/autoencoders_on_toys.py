"""Exercises of `14_autoencoders_on_toys`."""

from __future__ import annotations

import math

from toysup import theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _near_by_chance(), _shrunken_latent(), _floor_of_one()


def _near_by_chance() -> Exercise:
    """The probability that a random direction of the plane has a cosine above 0.9 with a given one."""
    angle = math.acos(0.9)
    return Exercise(
        "near_by_chance",
        angle / math.pi,
        0.01,
        (
            (angle / (2 * math.pi), "this is one side of the feature. A direction may miss it to the left or right."),
            (2 * angle / math.pi, "latents that point the other way do not count: the whole circle has 2π."),
            (0.1, "cosines are not spread evenly; angles are."),
            (
                0.05,
                "this would be right for a cosine uniform between -1 and 1. In a plane the angle is uniform.",
            ),
            (angle, "this is the angle in radians. Which share of the circle lies within it?"),
        ),
        "26 degrees to either side, out of 360.",
    )


def _shrunken_latent() -> Exercise:
    """The activation that minimises (0.9 - a)² + 0.2 a."""
    x, weight = 0.9, 0.2
    return Exercise(
        "shrunken_latent",
        x - weight / 2,
        0.01,
        (
            (x, "this is the perfect reconstruction. Is a little less not cheaper?"),
            (x - weight, "the slope of the squared error is 2(a - x), with a factor of two."),
            (x * (1 - weight), "the penalty takes off the same from each activation, not the same share."),
            (x * (1 - weight / 2), "half the penalty is right, as an amount and not as a share."),
        ),
        "Every active latent loses λ/2, and a strength below λ/2 is not seen at all.",
    )


def _floor_of_one() -> Exercise:
    """The unexplained variance of two orthonormal features of density 0.2 if only the stronger one is kept."""
    p = 0.2
    total = 2 * float(theory.variance(p))
    return Exercise(
        "floor_of_one",
        p**2 / 6 / total,
        0.01,
        (
            (p**2 / 6, "this is what is lost. Divide it by the variance there is."),
            (p**2 / 3 / total, "what is dropped is the smaller of two uniform numbers; its mean square is below 1/3."),
            (p**2 / 2 / total, "this drops the larger one."),
            (p / 6 / total, "how often are both active?"),
            (p**2 / 6 / (2 * p / 3), "variance is counted from the mean: p/3 - p²/4 for each feature."),
            (
                p**2 / 3 / (2 * p / 3),
                "variance is counted from the mean, and the smaller one has a mean square of 1/6.",
            ),
        ),
        "No dictionary does better with one latent per input and no bias: it is the data's, not training's.",
    )
