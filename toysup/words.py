"""Word vectors from counts: a small language whose properties are known, and the text that Python carries.

A sentence of the small language is `this|these ADJECTIVE NOUN VERB .`; each noun has its own taste in adjectives and
verbs. In the past tense the verb is the same for one and for many (`sang`), in the present tense it shows the number
too (`sings`, `sing`). A word's row in the table of contexts says how much more often than by chance it has a
word within two places.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

import numpy as np

from toysup import check
from toysup.language.text import library

NOUNS = ("cat", "dog", "car", "apple", "tree", "bird", "house", "boat", "lamp", "king", "road", "coin")
ADJECTIVES = ("big", "red", "old", "new")
PAST = ("stood", "fell", "shone", "moved", "sang", "slept")
ONE = ("stands", "falls", "shines", "moves", "sings", "sleeps")
MANY = ("stand", "fall", "shine", "move", "sing", "sleep")
WORDS = (*NOUNS, *(f"{n}s" for n in NOUNS), *ADJECTIVES, *PAST, *ONE, *MANY, "this", "these", ".")
SINGULAR, PLURAL = np.arange(12), np.arange(12, 24)
_WHERE = {word: index for index, word in enumerate(WORDS)}
_PLACES, _NOUN_AT = 5, 2


@dataclasses.dataclass(frozen=True)
class Language:
    """A small language: `chances` (24 noun forms, 5 places of a sentence, 49 words), summing to 1 over the words.

    Noun form k is the word `WORDS[k]`: 12 singulars, then their plurals, all equally frequent.
    """

    chances: np.ndarray


def language(present: float = 0.0, *, taste: float = 0.3, seed: int = 0) -> Language:
    """A small language, the nouns' tastes drawn at random.

    present: the share of sentences in the present tense, in [0, 1]. taste: parameter of the Dirichlet distribution of
    a noun's preferences; the smaller, the choosier. seed: of the draw. Raises ValueError outside these ranges.
    """
    present, taste = _share("present", present), float(check.positive("taste", taste, 100))
    rng = np.random.default_rng(check.count("seed", seed, least=0))
    verbs, adjectives = (rng.dirichlet(np.full(len(w), taste), len(NOUNS)) for w in (PAST, ADJECTIVES))
    chances = np.zeros((2 * len(NOUNS), _PLACES, len(WORDS)))
    for number, (pointer, form) in enumerate((("this", ONE), ("these", MANY))):
        rows = chances[number * len(NOUNS) : (number + 1) * len(NOUNS)]
        rows[:, 0, _WHERE[pointer]] = 1
        rows[:, 1, [_WHERE[w] for w in ADJECTIVES]] = adjectives
        rows[:, 3, [_WHERE[w] for w in PAST]] = verbs * (1 - present)
        rows[:, 3, [_WHERE[w] for w in form]] = verbs * present
        rows[:, 4, _WHERE["."]] = 1
    chances[np.arange(2 * len(NOUNS)), _NOUN_AT, np.arange(2 * len(NOUNS))] = 1
    return Language(chances)


def sentences(lang: Language, many: int, *, seed: int = 0) -> np.ndarray:
    """Draw sentences as numbers of words: (many, 5), indices into `WORDS`."""
    many = check.count("many", many)
    rng = np.random.default_rng(check.count("seed", seed, least=0))
    form = rng.integers(0, len(lang.chances), many)
    drawn = rng.random((many, _PLACES, 1))
    below = np.cumsum(lang.chances, -1)[form] < drawn * (1 - 1e-12)
    return below.sum(-1)


def counts(ids, size: int, window: int = 2) -> np.ndarray:
    """How often word j stands within `window` places of word i: (size, size), symmetric.

    ids: (k,) word numbers in the order of the text; -1 is a word that is not counted, but takes its place.
    """
    ids, size = np.asarray(ids), check.count("size", size)
    if ids.ndim != 1 or ids.dtype.kind != "i" or not ids.size or ids.min() < -1 or ids.max() >= size:
        raise ValueError(f"ids must be a row of whole numbers from -1 to {size - 1}, got shape {ids.shape}")
    ids = ids.astype(np.int64)  # left * size needs the room
    table = np.zeros((size, size))
    for gap in range(1, check.count("window", window) + 1):
        left, right = ids[:-gap], ids[gap:]
        seen = (left >= 0) & (right >= 0)
        table += np.bincount(left[seen] * size + right[seen], minlength=size * size).reshape(size, size)
    return table + table.T


def ppmi(table) -> np.ndarray:
    """Positive pointwise mutual information, max(0, log of [how often together / how often by chance]), in nats.

    table: (rows, columns) of counts or probabilities, none negative, not all zero. Returns the same shape; cells, rows
    and columns without counts give 0. Source: Levy and Goldberg 2014 (CoNLL), section 2.
    """
    table = check.numbers("table", table)
    if table.ndim != 2 or (table < 0).any() or not table.sum():
        raise ValueError(f"table must be a matrix of counts, none negative and not all zero; got shape {table.shape}")
    chance = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    ratio = np.divide(table, chance, out=np.ones_like(chance), where=table > 0)
    return np.maximum(np.log(ratio), 0)


def noun_table(lang: Language, many: int | None = None, *, seed: int = 0) -> np.ndarray:
    """The PPMI of the 24 noun forms with all 49 words around them: (24, 49).

    many: how many sentences to draw and count, or None for the chances themselves, as of endless text.
    """
    if many is None:
        return ppmi(np.delete(lang.chances, _NOUN_AT, axis=1).sum(1))
    return ppmi(counts(sentences(lang, many, seed=seed).ravel(), len(WORDS))[: 2 * len(NOUNS)])


def vectors(table, d: int | None = None) -> np.ndarray:
    """The rows of a table as vectors of d dimensions, the best in the sense of least squares: (rows, d).

    From the singular value decomposition U s Vᵀ: the first d columns of U √s, the most important first. d: at most the
    smaller side of the table, which is the default.
    """
    table = check.numbers("table", table)
    if table.ndim != 2:
        raise ValueError(f"table must be a matrix, got shape {table.shape}")
    d = min(table.shape) if d is None else check.count("d", d)
    if d > min(table.shape):
        raise ValueError(f"d must be at most {min(table.shape)}, the smaller side of the table; got {d}")
    U, s, _ = np.linalg.svd(table, full_matrices=False)
    return U[:, :d] * np.sqrt(s[:d])


# ------------------------------------------------------------------------------------------ analogies


def answers(E, first, second, *, exclude: bool = False, offset: bool = True, taken=None) -> np.ndarray:
    """For all a, b: the row of E with the largest cosine to E[second[a]] - E[first[a]] + E[first[b]].

    E: (words, d). first, second: (k,) rows, a pair of words each, e.g. singular and plural. exclude: leave the three
    words of the question out of the search. Two controls: offset=False asks for the neighbour of E[first[b]] alone;
    taken: (k,) rows from which offsets are taken in place of second, such as second in another order.
    Returns (k, k) rows of E, [a, b]; on the diagonal, which asks nothing, -1.
    """
    E, first, second = _pairs(E, first, second)
    unit = E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), 1e-12)
    found = np.full((len(first), len(first)), -1)
    taken = second if taken is None else _pairs(E, first, taken)[2]
    for a in range(len(first)):
        shift = E[taken[a]] - E[first[a]] if offset else 0.0
        likeness = (E[first] + shift) @ unit.T
        if exclude:
            likeness[:, [first[a], taken[a]]] = -np.inf
            likeness[np.arange(len(first)), first] = -np.inf
        found[a] = np.round(likeness, 9).argmax(1)  # a tie goes to the first word, on every machine
    np.fill_diagonal(found, -1)
    return found


def score(E, first, second, *, exclude: bool = False, offset: bool = True, taken=None) -> float:
    """The share of the analogies that are right, in [0, 1]; arguments as for `answers`.

    Questions whose answer is the word `taken` are left out; there are none of them if it is not given.
    """
    found, second = answers(E, first, second, exclude=exclude, offset=offset, taken=taken), np.asarray(second)
    taken = second if taken is None else np.asarray(taken)
    asked = (taken[:, None] != second[None]) & ~np.eye(len(second), dtype=bool)
    return float((found == second)[asked].mean())


def offset_cosine(E, first, second) -> float:
    """The mean cosine between the offsets E[second] - E[first] of all pairs of pairs; an offset of 0 counts as 0."""
    E, first, second = _pairs(E, first, second)
    offset = E[second] - E[first]
    unit = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-12)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def sum_share(E, first, second) -> float:
    """How much of the variation of E[first] and E[second] is a sum: a vector for each pair plus one for which half.

    Returns a number in [0, 1], 1 where the vectors are such sums. (An analysis of variance without interaction.)
    """
    E, first, second = _pairs(E, first, second)
    both = np.stack([E[first], E[second]])
    both = both - both.mean((0, 1))
    total = np.square(both).sum()
    if not total:
        raise ValueError("E has the same vector for all words: there is nothing to explain")
    rest = both - both.mean(0) - both.mean(1, keepdims=True)
    return float(1 - np.square(rest).sum() / total)


def _pairs(E, first, second):
    E, first, second = check.numbers("E", E), np.asarray(first), np.asarray(second)
    if E.ndim != 2:
        raise ValueError(f"E must have shape (words, d), got {E.shape}")
    for name, rows in (("first", first), ("second", second)):
        if rows.ndim != 1 or rows.dtype.kind != "i" or len(rows) < 2 or rows.min() < 0 or rows.max() >= len(E):
            raise ValueError(f"{name} must be at least two rows of E, from 0 to {len(E) - 1}; got {rows.tolist()}")
    if len(first) != len(second):
        raise ValueError(f"first and second must be equally long, got {len(first)} and {len(second)}")
    return E, first, second


def _share(name: str, x) -> float:
    x = check.numbers(name, x)
    if x.ndim or not 0 <= x <= 1:
        raise ValueError(f"{name} must be one number in [0, 1], got {x}")
    return float(x)


# ------------------------------------------------------------------------- the text that Python carries

COUNTED = (
    *("argument", "attribute", "byte", "character", "class", "element", "error", "exception", "file", "function"),
    *("instance", "item", "key", "line", "list", "message", "method", "module", "name", "object", "option"),
    *("package", "parameter", "process", "string", "test", "thread", "type", "value", "variable"),
)


def library_words() -> list[str]:
    """The words of this Python's own documentation in lower case: the topics of `help()`, then all docstrings.

    Raises FileNotFoundError where Python came without them.
    """
    return re.findall(r"[a-z]+", "\n".join(library()).lower())


def plural(noun: str) -> str:
    """The plural of a noun of `COUNTED`."""
    return noun + ("es" if noun.endswith("s") else "s")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A counted text: `words` (the most frequent first), `table` (PPMI, words x words), rows of nouns and plurals."""

    words: tuple[str, ...]
    table: np.ndarray
    singular: np.ndarray
    plural: np.ndarray


def corpus(text, most: int = 1000, *, nouns=COUNTED, least: int = 50) -> Corpus:
    """Count a text within two places.

    text: its words in order. most: how many of the most frequent words to count (the nouns are always among them).
    nouns: singulars whose plurals are asked for, dropped where one of the two occurs less than `least` times.
    """
    most, least = check.count("most", most, least=2), check.count("least", least)
    often = Counter(text)
    kept = [n for n in nouns if min(often[n], often[plural(n)]) >= least]
    if len(kept) < 2:
        raise ValueError(f"the text has {len(kept)} nouns with {least} singulars and plurals; it needs 2")
    ranked = sorted(often, key=lambda w: (-often[w], w))
    words = list(dict.fromkeys([*ranked[:most], *kept, *map(plural, kept)]))
    where = {word: index for index, word in enumerate(words)}
    table = ppmi(counts(np.array([where.get(word, -1) for word in text]), len(words)))
    rows = [np.array([where[w] for w in group]) for group in (kept, map(plural, kept))]
    return Corpus(tuple(words), table, *rows)
