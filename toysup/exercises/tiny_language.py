"""Exercises of `16_a_tiny_language_model`."""

from __future__ import annotations

import math

from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _always_firing(), _short_lines_floor(), _without_it()


def _always_firing() -> Exercise:
    """The F1 of a latent that always fires, for a label that holds on 15 % of the inputs."""
    q = 0.15
    return Exercise(
        "always_firing",
        2 * q / (1 + q),
        0.01,
        (
            (q, "this is the precision. F1 also counts the recall."),
            (1.0, "this is the recall. F1 also counts the precision."),
            ((1 + q) / 2, "F1 is the harmonic mean of precision and recall, not the ordinary one."),
            (2 * q, "what stands below the fraction line? Precision plus recall is not 1."),
            (math.sqrt(q), "F1 is the harmonic mean, not the geometric one."),
        ),
        "So a score has to be held against this one before it says anything.",
    )


def _short_lines_floor() -> Exercise:
    """Nats per character of lines of 8, 9 or 10 equally likely letters out of four, newline included."""
    letters, lengths = 9, 3
    line = letters * math.log(4) + math.log(lengths)
    return Exercise(
        "short_lines_floor",
        line / (letters + 1),
        0.004,
        (
            (math.log(4), "this is a letter's. A line also says where it ends, and its last character is the newline."),
            (
                letters * math.log(4) / (letters + 1),
                "the length of the line is not known in advance: what does it tell?",
            ),
            (
                (letters * math.log(4) + math.log(letters)) / (letters + 1),
                "how many lengths are there to choose from? Not how long a line is.",
            ),
            (line / letters, "the newline is a character too: divide by 10."),
            (line / (letters + 1) / math.log(2), "this is in bits. A nat uses the natural logarithm."),
            (line, "this is for a whole line. Divide by its characters."),
        ),
        "A little less than a letter's ln 4 = 1.386: the end of a line costs less than a letter.",
    )


def _without_it() -> Exercise:
    """The probability 0.28 of a character after 1.5 · 1.06 is taken off its logit, the others left alone."""
    p, logit = 0.28, 1.5 * 1.06
    without = p * math.exp(-logit) / (1 - p + p * math.exp(-logit))
    return Exercise(
        "without_it",
        without,
        0.01,
        (
            (p * math.exp(-logit), "probabilities must sum to 1 again: divide by the new sum."),
            (p - without, "this is what the latent adds to the probability. What is left without it?"),
            (math.log(p / without), "this is the effect in nats. The question was for the probability."),
            (p * math.exp(logit) / (1 - p + p * math.exp(logit)), "this is with the latent added once more."),
            (p * math.exp(-1.06) / (1 - p + p * math.exp(-1.06)), "a latent of 1.5 adds 1.5 times its logit weight."),
        ),
        "The effect is ln(0.28 / 0.0735) = 1.34 nats where the next character is t, and below 0 where it is another.",
    )
