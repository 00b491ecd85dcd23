"""Exercises of `18_under_the_hood`."""

from __future__ import annotations

from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _programs(), _smaller_scatter()


def _programs() -> Exercise:
    """How many programs are compiled for 3 values of n, 4 of m and 10 of the density."""
    n, m, density = 3, 4, 10
    return Exercise(
        "programs",
        n * m,
        0.0,
        (
            (n * m * density, "the density is traced: one program serves all its values."),
            (n + m, "every n meets every m."),
            (n + m + density, "every n meets every m, and the density is traced."),
            (1, "n and m are shapes of arrays, and a program is made for one shape."),
        ),
        "Shapes are static, the density is traced.",
    )


def _smaller_scatter() -> Exercise:
    """By which factor the scatter shrinks at density 0.001 and n = 5 if empty inputs are not drawn."""
    some = 1 - (1 - 0.001) ** 5
    return Exercise(
        "smaller_scatter",
        some**-0.5,
        0.02,
        (
            (1 / some, "so many more inputs say something. The scatter falls as the square root of their number."),
            (some**0.5, "this is the share that the scatter shrinks to. By which factor is it smaller?"),
            (0.001**-0.5, "this would be one feature. An input of five is empty only if all five are zero."),
        ),
        "Only one input in 200 has anything in it.",
    )
