"""Exercises of `10_readouts`."""

from __future__ import annotations

import math

import numpy as np

from toysup import softmax
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _simplex_length(), _right_angles(), _two_of_six()


def _simplex_length() -> Exercise:
    """Squared length of the arrows that store four features in three dimensions for a softmax of confidence 8."""
    square = float((softmax.simplex_solution(8.0, 4)[:, 0] ** 2).sum())
    return Exercise(
        "softmax_simplex_length",
        square,
        0.005,
        (
            (math.sqrt(square), "this is the length. The question asks for its square."),
            (8.0, "nearly. The softmax ignores a common shift, and the simplex makes use of it: take 1/n of β away."),
            (8 * (1 - 1 / 3), "the features count here, n = 4, not the dimensions."),
            (1 - 1 / 4, "this is for the confidence 1."),
            (2.0, "this is β/n, the part that is taken away."),
        ),
        "The diagonal of β (I - 11ᵀ/n).",
    )


def _right_angles() -> Exercise:
    """How many pairs of eleven features in eight dimensions are at right angles, by the rule for softmax."""
    W = softmax.equal_simplices(11, 8)
    count = int((np.abs(np.triu(W.T @ W, 1) + np.tril(np.ones((11, 11)))) < 1e-9).sum())
    return Exercise(
        "pairs_at_right_angles",
        count,
        0.0,
        (
            (55 - count, "these are the pairs inside a simplex. The others are at right angles."),
            (52, "three digons and five axes: this is the rule for ReLU."),
            (0, "one simplex of eleven features would take ten dimensions. There are eight, so it takes three."),
            (2 * count, "count each pair once."),
            (32, "one large simplex and two digons fit as well, but the sizes are to be as equal as possible."),
        ),
        "Simplices of 4, 4 and 3 features have 15 pairs inside.",
    )


def _two_of_six() -> Exercise:
    """The cross-entropy of six equally frequent classes and a neuron that fires on two of them."""
    right = (2 * math.log(2) + 4 * math.log(4)) / 6
    return Exercise(
        "two_of_six",
        right,
        0.005,
        (
            (right / math.log(2), "this is in bits. Take natural logarithms."),
            (math.log(6), "this is without the neuron. What does it tell?"),
            (math.log(2), "this holds when the neuron fires. How often does it, and what else can happen?"),
            (math.log(4), "this holds when the neuron is silent. How often is it?"),
            ((math.log(2) + math.log(4)) / 2, "the two cases are not equally frequent."),
            (
                (4 * math.log(2) + 2 * math.log(4)) / 6,
                "the shares are swapped: the neuron fires on two of six classes.",
            ),
            (5 / 6 * math.log(5), "this is a neuron that fires on one class."),
            (4 / 6, "this is the squared error."),
        ),
        "One third of the time two classes are left, two thirds of the time four.",
    )
