"""Exercises of `17_cooccurrence_and_output`."""

from __future__ import annotations

import math

import numpy as np

from toysup import cooccurrence
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _phi_of_a_pair(), _half_shared_output(), _actions_behind_cosine()


def _phi_of_a_pair() -> Exercise:
    """φ of two latents of density 0.1 that fire together on 4 % of the inputs."""
    p, both = 0.1, 0.04
    return Exercise(
        "phi_of_a_pair",
        (both - p * p) / (p * (1 - p)),
        0.01,
        (
            (both / p, "this is how often one fires when the other does. By chance alone it would fire at times, too."),
            (both, "this is how often both fire."),
            (both - p * p, "this is the covariance. Divide it by the variance of one of the two."),
            (both / p - p, "this is the surplus over chance. How large could the surplus be at most?"),
            (both / (p * p), "this is the lift, how many times more often than by chance."),
        ),
        "Had they never met, it would be -0.11, hardly below 0.",
    )


def _half_shared_output() -> Exercise:
    """1 - JSD in nats of a certain outcome and a fair coin that has it on one side."""
    similarity = float(cooccurrence.output_similarity(np.array([[1.0, 0.0], [0.5, 0.5]]))[0, 1])
    divergence = 1 - similarity
    return Exercise(
        "half_shared_output",
        similarity,
        0.005,
        (
            (divergence, "this is the divergence. Take it from 1."),
            (1 - divergence / math.log(2), "this is in bits. A nat uses the natural logarithm."),
            (1 - math.log(2), "this is for two that have no outcome in common."),
            (1 - math.log(2) / 2, "this takes off half of ln 2, the mean entropy of the two. And that of the average?"),
            (0.5, "this is the overlap of the two. The divergence weighs by logarithms."),
        ),
        "Not even half way from 1 to the floor at 0.307.",
    )


def _actions_behind_cosine() -> Exercise:
    """The cosine of actions whose features, with room for all, have a cosine of one half."""
    t = 0.5
    return Exercise(
        "actions_behind_cosine",
        2 * t / (1 + t * t),
        0.01,
        (
            (t / (1 + math.sqrt(1 - t * t)), "this goes from actions to directions. You need the way back."),
            (t, "only 0 and 1 are left alone by the formula."),
            (t / (1 + t * t), "a factor 2 is missing."),
            (math.sqrt(1 - t * t), "the square root belongs to ρ, which you do not know yet."),
        ),
        "Directions differ by more than the actions that they stand for.",
    )
