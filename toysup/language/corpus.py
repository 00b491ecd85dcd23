"""Text of the small language: drawn with exact labels, followed with exact posteriors.

One mode per line, all eight equally likely. Which mode a line is in shows little by little: the posterior
P(source | line so far) is what an ideal reader knows at each character, the surprisal what it still learns from it.
Source of the forward algorithm: Rabiner 1989 (Proc. IEEE 77), section III A; here each source is on one path.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from toysup import check
from toysup.language import automaton as automata
from toysup.language.automaton import Automaton
from toysup.language.modes import MODE_OF, MODES, SOURCES, WEIGHTS, sources
from toysup.language.text import decode, encode


@dataclasses.dataclass(frozen=True)
class Language:
    """All sources in one table of arcs.

    arcs: the table. starts: (sources,) the state each one begins in. source_of: (arcs,) to which one an arc belongs.
    letter: (arcs,) positions in the alphabet. alphabet: the characters in order.
    """

    arcs: Automaton
    starts: np.ndarray
    source_of: np.ndarray
    letter: np.ndarray
    alphabet: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text, and which arc drew each of its characters.

    ids: (characters,) int32, positions in the alphabet. arc: (characters,) arcs of `language()`.
    place: (characters,) places in the line, from 0.
    """

    ids: np.ndarray
    arc: np.ndarray
    place: np.ndarray

    @property
    def alphabet(self) -> str:
        """The characters of the language in order."""
        return language().alphabet

    @property
    def mode(self) -> np.ndarray:
        """The mode of each character: (characters,), positions in MODES."""
        return MODE_OF[self.source]

    @property
    def source(self) -> np.ndarray:
        """The source of each character: (characters,), positions in SOURCES."""
        return language().source_of[self.arc]

    @property
    def field(self) -> np.ndarray:
        """What each character is there for: (characters,) names, empty where the line has not decided it yet."""
        return language().arcs.field[self.arc]

    def label(self, name: str) -> np.ndarray:
        """One of the further labels: (characters,) whole numbers, 0 where nothing applies; names in `labels()`."""
        return language().arcs.labels[check.choice("name", name, labels())][self.arc]

    def __len__(self) -> int:
        """How many characters."""
        return len(self.ids)

    def __str__(self) -> str:
        """The text itself."""
        return decode(self.ids, self.alphabet)

    def __getitem__(self, part: slice) -> Corpus:
        """A stretch of the text, with its labels."""
        if not isinstance(part, slice):
            raise TypeError(f"a corpus is cut by slices, for example corpus[:1000]; got {part!r}")
        return Corpus(self.ids[part], self.arc[part], self.place[part])


@functools.cache
def language() -> Language:
    """The small language; it is built once, in about half a second."""
    arcs, starts = automata.join(sources())
    alphabet = "".join(sorted(set(arcs.letter)))
    source_of = np.searchsorted(starts, arcs.source, side="right") - 1
    return Language(arcs, starts, source_of, encode("".join(arcs.letter), alphabet), alphabet)


def labels() -> tuple[str, ...]:
    """The names of the further labels; `toysup.language.modes` says what they mean."""
    return tuple(language().arcs.labels)


def draw(characters: int = 1_500_000, *, seed: int = 0) -> Corpus:
    """Draw a text: whole lines, then cut to length.

    characters: how many. seed: a whole number. Returns a Corpus. Another length with the same seed is another text.
    """
    characters = check.count("characters", characters)
    rng = np.random.default_rng(check.count("seed", seed, least=0))
    mean, drawn = floor().length, [np.zeros((2, 0), np.int32)]
    while (missing := characters - sum(part.shape[1] for part in drawn)) > 0:
        source = rng.choice(len(SOURCES), size=int(1.01 * missing / mean) + 20, p=WEIGHTS)
        arc, length = automata.draw(language().arcs, language().starts[source], rng)
        first = np.repeat(np.cumsum(length) - length, length)
        drawn.append(np.stack([arc, np.arange(len(arc), dtype=np.int32) - first]).astype(np.int32))
    arc, place = np.concatenate(drawn, axis=1)[:, :characters]
    return Corpus(language().letter[arc], arc, place)


def split(text: Corpus, back: int = 50_000) -> tuple[Corpus, Corpus]:
    """Keep the end of a text back, to see what has been learned: the text before it, and whole lines to its end.

    back: at most how many characters to keep back; fewer, so that what is kept begins with a line, which `read` asks
    for. Raises ValueError where the text has no such line.
    """
    begins = np.flatnonzero(text.place == 0)
    begins = begins[(begins > 0) & (begins >= len(text) - check.count("back", back))]
    if not begins.size:
        raise ValueError(f"back = {back}: no line begins in the last {back} of {len(text)} characters, after the first")
    return text[: begins[0]], text[begins[0] :]


# ------------------------------------------------------------------------------------------------ what is exact


@dataclasses.dataclass(frozen=True)
class Floor:
    """Exact numbers of the language, per source in the order of SOURCES, entropies in nats.

    line_entropy: (sources,) of a line when its source is known. line_length: (sources,) mean characters, newline
    included. rate: nats per character of the whole language, if every line gave its source away, as they do:
    only random base64 could be mistaken to the end, for encoded words, and is not in practice. length: of a line.
    """

    line_entropy: np.ndarray
    line_length: np.ndarray
    rate: float
    length: float

    def mode_rates(self) -> np.ndarray:
        """Nats per character of each mode when its source is known: (modes,)."""
        share = lambda a: np.bincount(MODE_OF, WEIGHTS * a)
        return share(self.line_entropy) / share(self.line_length)


@functools.cache
def floor() -> Floor:
    """What no model can beat: H(source) + Σ P(source) H(line | source), divided by the mean length of a line."""
    entropy, length = np.array([automata.entropy(part) for part in sources()]).T
    choosing = -(WEIGHTS * np.log(WEIGHTS)).sum()
    return Floor(entropy, length, float((choosing + WEIGHTS @ entropy) / (WEIGHTS @ length)), float(WEIGHTS @ length))


@dataclasses.dataclass(frozen=True)
class Reading:
    """What an ideal reader knows who sees the text from the beginning of each line.

    posterior: (characters, sources), after each character. surprisal: (characters,), -log P(character | line before
    it) in nats. states: (characters, sources) where each source stands after the character, -1 where it is ruled out
    or the line has ended.
    """

    posterior: np.ndarray
    surprisal: np.ndarray
    states: np.ndarray

    def modes(self) -> np.ndarray:
        """The posterior of the modes: (characters, modes)."""
        return np.stack([self.posterior[:, m == MODE_OF].sum(1) for m in range(len(MODES))], axis=1)

    def log_odds(self) -> np.ndarray:
        """Log-odds of each mode against all others: (characters, modes), infinite where they are ruled out."""
        modes = self.modes()
        rest = np.stack([np.delete(modes, m, axis=1).sum(1) for m in range(len(MODES))], axis=1)
        with np.errstate(divide="ignore"):
            return np.log(modes) - np.log(rest)


def read(ids) -> Reading:
    """Follow a text with all sources at once, every line from its beginning.

    ids: (characters,) positions in the alphabet of `language()`, or the text itself; the first character begins a
    line. Returns a Reading. Raises ValueError that names a character no source could have written.
    """
    lang = language()
    ids = encode(ids, lang.alphabet) if isinstance(ids, str) else _ids(ids, len(lang.alphabet))
    ends = np.flatnonzero(ids == lang.alphabet.index("\n")) + 1
    first = np.concatenate([[0], ends[ends < len(ids)]])
    length = np.diff(np.append(first, len(ids)))
    posterior, states = np.empty((len(ids), len(SOURCES))), np.empty((len(ids), len(SOURCES)), np.int32)
    surprisal = np.empty(len(ids))
    weight, state = np.tile(WEIGHTS, (len(first), 1)), np.tile(lang.starts, (len(first), 1))
    for step in range(length.max()):
        weight, state, first = (a[length > step] for a in (weight, state, first))
        length = length[length > step]
        at = first + step
        arc = _arc_of()[state, ids[at, None]]
        weight = weight * np.where(arc < 0, 0.0, lang.arcs.p[arc])
        total = weight.sum(1, keepdims=True)
        if not total.all():
            _impossible(ids, at[np.argmin(total[:, 0])], step, lang.alphabet)
        weight = weight / total
        state = np.where(arc < 0, -1, lang.arcs.target[arc])
        posterior[at], states[at], surprisal[at] = weight, state, -np.log(total[:, 0])
    return Reading(posterior, surprisal, states)


def forecast(reading: Reading) -> np.ndarray:
    """The ideal reader's probability of each next character: (characters, alphabet).

    After a newline a new line begins: row t is P(next | line so far), the target of a perfect language model.
    """
    lang = language()
    chances = np.zeros((lang.arcs.states + 1, len(lang.alphabet)))
    chances[lang.arcs.source, lang.letter] = lang.arcs.p
    out = sum(q[:, None] * chances[state] for q, state in zip(reading.posterior.T, reading.states.T, strict=True))
    ended = (reading.states < 0).all(1)
    out[ended] = WEIGHTS @ chances[lang.starts]
    return out


@functools.cache
def _arc_of() -> np.ndarray:
    """The arc that a state and a character take: (states + 1, alphabet), -1 where there is none."""
    lang = language()
    table = np.full((lang.arcs.states + 1, len(lang.alphabet)), -1, np.int32)
    table[lang.arcs.source, lang.letter] = np.arange(len(lang.letter))
    return table


def _ids(ids, size: int) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= size:
        raise ValueError(f"ids must be a row of whole numbers from 0 to {size - 1}, got shape {ids.shape}")
    return ids


def _impossible(ids, at: int, step: int, alphabet: str) -> None:
    line = decode(ids[at - step : at + 1], alphabet)
    raise ValueError(f"no mode writes {line!r}: its last character (number {at} of the text) has probability 0")


# --------------------------------------------------------------------------------------------- characters in context


def tokens_in_context(corpus: Corpus, least: int = 60) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Labels that ask for a character and its mode, of all characters that occur in two modes or more.

    least: how often a label must occur. Returns the labels (mode, character) and for each character of the text the
    label it has: (characters,), -1 where it has none. Source: Bricken et al. 2023, "token in context features".
    """
    size = len(corpus.alphabet)
    key = corpus.mode * size + corpus.ids
    often = np.bincount(key, minlength=len(MODES) * size).reshape(len(MODES), size) >= check.count("least", least)
    wanted = np.flatnonzero((often & (often.sum(0) > 1)).ravel())
    number = np.full(len(MODES) * size, -1)
    number[wanted] = np.arange(len(wanted))
    return [(MODES[k // size], corpus.alphabet[k % size]) for k in wanted.tolist()], number[key]
