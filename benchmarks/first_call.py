"""Time the first calls of toysup.train in this process, all of them or those named.

Prints one line for each: name, seconds, programs compiled anew.
"""

from __future__ import annotations

import sys

import jax

import toysup
from benchmarks import clock, ours, problems

CASES = {
    "n=2, m=1, exact": lambda: _diagram(2, 1),
    "n=3, m=2, exact": lambda: _diagram(3, 2),
    "n=5, m=2, exact": lambda: ours.train_exact(problems.pentagon(4).features, 2, 1.0, restarts=2),
    "n=5, m=2, sampled": lambda: ours.train_sampled(problems.sampled(5, 2, 64), 3),
    "n=100, m=20, sampled": lambda: ours.train_sampled(problems.sampled(100, 20, 8), 3),
}


def main() -> None:
    toysup.configure()
    jax.devices()
    anew = count_compilations()
    for name in sys.argv[1:] or CASES:
        train = CASES[name]
        before = len(anew)
        first, second = clock.seconds(train), clock.seconds(train)
        print(name, f"{first - second:.3f}", len(anew) - before, sep="\t", flush=True)


def count_compilations() -> list[str]:
    """A list that grows by one for every program that the cache on disk does not have."""
    anew = []

    def on_event(event, **_):
        if event == "/jax/compilation_cache/cache_misses":
            anew.append(event)

    jax.monitoring.register_event_listener(on_event)
    return anew


def _diagram(n: int, m: int):
    features, importance = problems.diagram(n, 4)
    return ours.train_exact(features, m, importance, restarts=2)


if __name__ == "__main__":
    main()
