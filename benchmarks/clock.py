"""Time that is fair on a machine others use too: contenders take turns, and medians are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Contender:
    """Something that trains `models` models for any number of steps: `run(steps)` returns when it is done.

    short, long: the two numbers of steps whose difference in time is the time of long - short steps: what is
    done once (evaluation, set-up, the start of the program) drops out.
    """

    name: str
    run: Callable[[int], object]
    models: int
    short: int
    long: int


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def take_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each call, (rounds,): in every round each works once, after one call that is not counted."""
    for work in works.values():
        work()
    taken = [{name: seconds(work) for name, work in works.items()} for _ in range(rounds)]
    return {name: np.array([turn[name] for turn in taken]) for name in works}


def rates(contenders: list[Contender], rounds: int) -> dict[str, np.ndarray]:
    """Model-steps per second of each contender, (rounds,), in the steady state."""
    works = {}
    for c in contenders:
        for steps in (c.short, c.long):
            works[c.name, steps] = lambda c=c, steps=steps: c.run(steps)
    taken = take_turns(works, rounds)
    return {c.name: _rate(c, taken) for c in contenders}


def _rate(c: Contender, taken) -> np.ndarray:
    difference = taken[c.name, c.long] - taken[c.name, c.short]
    # On a busy machine a short run can take longer than a long one: such a round says nothing.
    return np.where(difference > 0, c.models * (c.long - c.short) / np.where(difference > 0, difference, 1), np.nan)


def median(values) -> float:
    """The middle one of the rounds that say something; NaN where none does."""
    told = np.asarray(values)[~np.isnan(values)]
    return float(np.median(told)) if len(told) else float("nan")
