"""Exercises of `11_computing_in_superposition`."""

from __future__ import annotations

import numpy as np

from toysup import naive
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _naive_of_ten(), _half_a_function(), _tolerable_error()


def _naive_of_ten() -> Exercise:
    """The baseline for ten absolute values in six neurons at density 0.1."""
    p = 0.1
    one = p / 3 - p**2 / 4
    return Exercise(
        "naive_of_ten",
        float(naive.naive_loss(6, np.full(10, p))),
        0.005,
        (
            (4 * one, "an absolute value takes two neurons, one for each sign."),
            (7 * p / 3, "this is the cost of answering 0. Answering the mean is better."),
            (7 * (p / 3 - p**2 / 9), "the mean of |x| is p/2: its square is what the variance subtracts."),
            (3 * one, "these are the features that are served. The others cost."),
            (one, "this is what one dropped feature costs. The loss is a sum."),
        ),
        "Seven features are dropped.",
    )


def _half_a_function() -> Exercise:
    """What is left of the variance of |x| when one neuron answers to its positive values, at density 1."""
    return Exercise(
        "half_a_function",
        float(naive.half_loss(1.0) / naive.target_variance(np.ones(1))[0]),
        0.005,
        (
            (0.2, "this is the share that is explained. Which share is left?"),
            (0.5, "this is the answer for very rare features. At density 1 the mean already says much."),
            (0.0, "the neuron sees one sign of x only."),
            (1 / 15, "this is the loss itself. Divide by the variance of |x|, 1/12."),
        ),
        "Half of the neurons do a fifth of the work.",
    )


def _tolerable_error() -> Exercise:
    """The error at which computing every AND is no better than answering the mean, at density 0.1."""
    p = 0.1
    return Exercise(
        "tolerable_error",
        (p**2 * (1 - p**2)) ** 0.5,
        0.002,
        (
            (p**2 * (1 - p**2), "this is the squared error. Which ε has it as its square?"),
            (p, "nearly: the mean of an AND is not 0, and answering it is a little better than answering 0."),
            (p**2, "this is how often an AND is true."),
            ((p * (1 - p)) ** 0.5, "this is the spread of a feature. An AND is true with probability p²."),
        ),
        "About p: one tenth of a true answer.",
    )
