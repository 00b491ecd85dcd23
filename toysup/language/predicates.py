"""What a latent could mean: a closed set of statements about a character and the text before it, and a score.

The score of a latent asks no judge: the best statement is chosen on one half of the windows, and its rank correlation
with the latent is measured on the other. A closed set is a limit too: what it cannot say scores low.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from toysup import check
from toysup.language.corpus import labels
from toysup.language.dictionaries import WARM, Observed
from toysup.language.modes import MODES, SOURCES

SAID = {
    ("number", 1): "subject is singular",
    ("number", 2): "subject is plural",
    ("agreement", 1): "verb shows its number",
    ("depth", 1): "one open bracket",
    ("depth", 2): "two open brackets",
    ("carry", 1): "sum without a carry",
    ("carry", 2): "sum with a carry",
}
CLASSES = {
    "a digit": str.isdigit,
    "an upper-case letter": str.isupper,
    "a lower-case letter": str.islower,
    "a letter": str.isalpha,
    "no letter and no digit": lambda c: not c.isalnum(),
}


@dataclasses.dataclass(frozen=True)
class Predicates:
    """Statements that hold at some inputs. names: of each. table: (inputs, statements) booleans."""

    names: tuple[str, ...]
    table: np.ndarray


def quoted(characters: str) -> str:
    """Characters as they are written in statements: in quotes, a line's end as ⏎."""
    return f"‘{characters.replace(chr(10), '⏎')}’"


def predicates(seen: Observed, least: int = 60) -> Predicates:
    """All statements that hold at `least` inputs or more; of those that hold at the same inputs only the first.

    Of any text: the character, its class, the one before it, both together. Of a Corpus besides: mode, source, field,
    place in the line, the further labels, and a character or class in a mode.
    """
    least, found, tables = check.count("least", least), {}, set()
    for name, column in _statements(seen):
        print_of = np.packbits(column).tobytes()
        if column.sum() >= least and print_of not in tables:
            tables.add(print_of)
            found[name] = column
    if not found:
        raise ValueError(f"no statement holds at {least} of {len(seen.h)} inputs: observe more windows")
    return Predicates(tuple(found), np.stack(list(found.values()), axis=1))


def _statements(seen: Observed) -> Iterator[tuple[str, np.ndarray]]:
    now = seen.ids[seen.at]
    before = np.where(seen.at > 0, seen.ids[seen.at - 1], -1)
    characters = [(quoted(c), now == k) for k, c in enumerate(seen.alphabet)]
    classes = [
        (name, np.isin(now, [k for k, c in enumerate(seen.alphabet) if says(c)])) for name, says in CLASSES.items()
    ]
    if seen.truth is not None:
        yield from _labelled(seen, characters + classes)
    yield from characters
    yield from classes
    yield from ((f"after {quoted(c)}", before == k) for k, c in enumerate(seen.alphabet))
    pairs, often = np.unique(before.astype(np.int64) * len(seen.alphabet) + now, return_counts=True)
    for pair in pairs[(often > 1) & (pairs >= 0)]:
        first, second = divmod(int(pair), len(seen.alphabet))
        yield quoted(seen.alphabet[first] + seen.alphabet[second]), (before == first) & (now == second)


def _labelled(seen: Observed, characters) -> Iterator[tuple[str, np.ndarray]]:
    truth, at = seen.truth, seen.at
    modes = [(mode, truth.mode[at] == k) for k, mode in enumerate(MODES)]
    yield from modes
    yield from ((source, truth.source[at] == k) for k, source in enumerate(SOURCES))
    place, field = truth.place[at], truth.field[at]
    yield from ((f"character {k + 1} of the line", place == k) for k in range(8))
    for mode, inside in modes:
        yield from ((f"{mode}: {name or 'no field'}", inside & (field == name)) for name in np.unique(field[inside]))
    for label in labels():
        value = truth.label(label)[at]
        for v in np.unique(value[value > 0]).tolist():
            yield SAID.get((label, v), f"{label} {v}"), value == v
    for mode, inside in modes:
        yield from ((f"{name} in {mode}", inside & column) for name, column in characters)


# ------------------------------------------------------------------------------------------ the score


@dataclasses.dataclass(frozen=True)
class Interpretation:
    """The best statement about each latent.

    statement: (latents,) its place among the predicates. chosen: (latents,) Spearman's rank correlation on the half
    where it was chosen. score: (latents,) the same on the other half; 0 where the latent never fires there.
    """

    statement: np.ndarray
    chosen: np.ndarray
    score: np.ndarray


def interpret(seen: Observed, a, known: Predicates) -> Interpretation:
    """Choose the best statement for each latent on the even windows, and score it on the odd ones.

    a: (inputs, latents). known: as from `predicates`. The first 6 characters of each window are left out.
    """
    a = np.asarray(a, np.float32)
    if a.ndim != 2 or len(a) != len(known.table):
        raise ValueError(f"a must have shape ({len(known.table)}, latents), a row for each input; got {a.shape}")
    window = np.repeat(np.arange(len(seen.rows)), seen.rows.shape[1] - 1)
    warm = seen.offset >= WARM
    halves = [warm & (window % 2 == k) for k in (0, 1)]
    first, second = (correlations(ranks(a[half]), known.table[half]) for half in halves)
    best = first.argmax(1)
    each = np.arange(len(best))
    return Interpretation(best, first[each, best], second[each, best])


def ranks(x) -> np.ndarray:
    """Ranks in each column, ties sharing their mean rank: (inputs, columns), as float32 about their mean."""
    x = np.asarray(x)
    out = np.empty(x.shape, np.float32)
    for k, column in enumerate(x.T):
        loud = column > column.min()  # most of a latent is one long tie at 0, which needs no sorting
        quiet = len(x) - int(loud.sum())
        out[~loud, k] = (quiet + 1) / 2
        out[loud, k] = quiet + rankdata(column[loud])
    return out - (len(x) + 1) / 2


def correlations(x, y) -> np.ndarray:
    """Pearson's correlation of every column of x with every column of y; 0 where one does not vary.

    x: (inputs, j). y: (inputs, k). Returns (j, k).
    """
    x, y = _standard(x), _standard(y)
    if len(x) != len(y):
        raise ValueError(f"x and y must have as many inputs, got {len(x)} and {len(y)}")
    return np.clip(x.T @ y, -1, 1)


def _standard(x) -> np.ndarray:
    x = np.asarray(x, np.float32)
    x = x - x.mean(0, dtype=np.float64).astype(np.float32)
    size = np.sqrt(np.einsum("ij,ij->j", x, x, dtype=np.float64))
    return x * np.divide(1, size, out=np.zeros_like(size), where=size > 1e-6).astype(np.float32)
