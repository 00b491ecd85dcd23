"""Languages as tables of arcs: in each state, each next character has a probability and leads to one state.

Because a character never leads to two states, a text takes one path, and all that is usually hard is a sum or a
product along it: the likelihood of a prefix, the entropy of a line, its mean length. A language is written down as
`options`: for each node the pieces of text that may come next, their weights, and the node each leads to. Pieces that
begin alike share their arcs, so that a label of an arc says only what the text up to there has decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable

import numpy as np

END = None  # the node after a line
LEAST_LEFT = 1e-14  # of a line's probability: beyond, a sum over states is over
MOST_STEPS = 100_000  # along lines, of such a sum


@dataclasses.dataclass(frozen=True)
class Option:
    """One piece of text that may come next in a node.

    text: the piece. node: what comes after it, END where nothing does. weight: in proportion to its probability.
    field: one name for all of its characters, or a tuple with one for each. labels: whole numbers by name, in the same
    way one for all characters or a tuple.
    """

    text: str
    node: Hashable
    weight: float = 1.0
    field: str | tuple[str, ...] = ""
    labels: dict[str, int | tuple[int, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Automaton:
    """Arcs, sorted by the state they leave; state 0 is the start, -1 the end of a line.

    source, target: (arcs,) states. letter: (arcs,) the character of each arc. p: (arcs,) its probability in its
    state. field: (arcs,) names. labels: by name, (arcs,) whole numbers, 0 where nothing applies or is decided yet.
    """

    source: np.ndarray
    target: np.ndarray
    letter: np.ndarray
    p: np.ndarray
    field: np.ndarray
    labels: dict[str, np.ndarray]

    @property
    def states(self) -> int:
        """How many states there are."""
        return int(self.source[-1]) + 1


def build(start: Hashable, options: Callable[[Hashable], list[Option]]) -> Automaton:
    """The automaton of a language.

    start: its first node. options: what may come next in a node; of two pieces none may begin with the other.
    Raises ValueError that names a node whose options are ambiguous, empty, or of no weight.
    """
    number, rows, queue = {(start, ""): 0}, [], [start]
    seen = {start}
    while queue:
        node = queue.pop()
        for typed, letter, share, target, field, labels in _arcs(node, options(node)):
            if target[0] not in seen and target[0] is not END:
                seen.add(target[0])
                queue.append(target[0])
            place = -1 if target == (END, "") else number.setdefault(target, len(number))
            rows.append((number.setdefault((node, typed), len(number)), place, letter, share, field, labels))
    return _table(rows)


def _table(rows) -> Automaton:
    rows.sort(key=lambda row: (row[0], row[2]))
    source, target, letter, p, field, labels = zip(*rows, strict=True)
    names = sorted(set().union(*labels))
    values = {name: np.array([row.get(name, 0) for row in labels], np.int16) for name in names}
    return Automaton(np.array(source), np.array(target), np.array(letter), np.array(p), np.array(field), values)


def _arcs(node, options):
    """The arcs inside one node: (text typed so far, letter, probability, next state, field, labels)."""
    options = [option for option in options if option.weight > 0]
    if not options:
        raise ValueError(f"node {node!r} has no option of positive weight: a line could not go on")
    branches = {"": options}
    while branches:
        typed, here = branches.popitem()
        total = sum(option.weight for option in here)
        letters: dict[str, list[Option]] = {}
        for option in here:
            if len(option.text) == len(typed):
                raise ValueError(f"in node {node!r}, {option.text!r} is empty, or another option begins with it")
            letters.setdefault(option.text[len(typed)], []).append(option)
        for letter, group in letters.items():
            ends = [option for option in group if len(option.text) == len(typed) + 1]
            if ends and len(group) > 1:
                raise ValueError(f"in node {node!r}, another option begins with {ends[0].text!r}")
            share = sum(option.weight for option in group) / total
            target = (ends[0].node, "") if ends else (node, typed + letter)
            names = sorted({name for option in group for name in option.labels})
            field = _agreed((option.field for option in group), len(typed), "")
            labels = {n: _agreed((o.labels.get(n, 0) for o in group), len(typed), 0) for n in names}
            yield typed, letter, share, target, field, labels
            if not ends:
                branches[typed + letter] = group


def _agreed(values, place: int, otherwise):
    """What all options of a group say about the character at that place."""
    said = {value[place] if isinstance(value, tuple) else value for value in values}
    return said.pop() if len(said) == 1 else otherwise


def join(parts) -> tuple[Automaton, np.ndarray]:
    """Several automata side by side, and where each one starts.

    parts: automata. Returns one table of arcs (no state leads from one part to another)
    and the states (parts,) in which they begin.
    """
    first = np.cumsum([0] + [part.states for part in parts])[:-1]
    names = sorted({name for part in parts for name in part.labels})
    none = [np.zeros(len(part.p), np.int16) for part in parts]
    both = lambda values: np.concatenate(list(values))
    return Automaton(
        both(part.source + at for part, at in zip(parts, first, strict=True)),
        both(np.where(part.target < 0, -1, part.target + at) for part, at in zip(parts, first, strict=True)),
        both(part.letter for part in parts),
        both(part.p for part in parts),
        both(part.field for part in parts),
        {name: both(p.labels.get(name, zero) for p, zero in zip(parts, none, strict=True)) for name in names},
    ), first


def visits(automaton: Automaton) -> np.ndarray:
    """How often a line visits each state, on average: (states,). Their sum is the mean length of a line.

    Steps along all lines at once, until what is left of their probability is below 1e-14.
    Errors: ValueError where that takes more than 100,000 characters: lines that do not end have no mean length.
    """
    now = np.zeros(automaton.states)
    now[0] = 1
    total = np.zeros(automaton.states)
    inside = automaton.target >= 0
    source, target, p = (a[inside] for a in (automaton.source, automaton.target, automaton.p))
    for _ in range(MOST_STEPS):
        if now.sum() <= LEAST_LEFT:
            return total
        total += now
        now = np.bincount(target, now[source] * p, automaton.states)
    raise ValueError(
        f"a line has more than {MOST_STEPS} characters with a probability of {now.sum():.2g}: does it end?"
    )


def entropy(automaton: Automaton) -> tuple[float, float]:
    """The entropy of a line in nats, and its mean length in characters; their ratio is the entropy per character.

    The sum over states of the mean visits times the entropy of the next character: exact, since a line is one path.
    Source: Cover & Thomas, Elements of Information Theory, chain rule (section 2.5).
    """
    often, p = visits(automaton), automaton.p
    return float(-(often[automaton.source] * p * np.log(p)).sum()), float(often.sum())


def draw(automaton: Automaton, start, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw lines, all at once.

    start: (lines,) the state each one begins in. rng: where chance comes from.
    Returns the arcs of all lines one after the other (characters,) and the length of each line (lines,).
    """
    below, last = _cumulative(automaton), np.searchsorted(automaton.source, np.arange(automaton.states), "right") - 1
    state, line = np.asarray(start), np.arange(len(start))
    arcs, lines, length = [], [], np.zeros(len(start), np.int64)
    while len(line):
        arc = np.searchsorted(below, state + rng.random(len(state)), side="right")
        arc = np.minimum(arc, last[state])  # where the sum was rounded up to the next state
        arcs.append(arc.astype(np.int32))
        lines.append(line)
        length[line] += 1
        state = automaton.target[arc]
        line, state = line[state >= 0], state[state >= 0]
    place = np.concatenate([[0], np.cumsum(length)[:-1]])
    out = np.empty(length.sum(), np.int32)
    for step, (arc, line) in enumerate(zip(arcs, lines, strict=True)):
        out[place[line] + step] = arc
    return out, length


def _cumulative(automaton: Automaton) -> np.ndarray:
    """Ascending over all arcs: the number of the state plus the probability of its arcs up to and with this one."""
    total = np.concatenate([[0], np.cumsum(automaton.p)])
    before = total[np.searchsorted(automaton.source, automaton.source)]
    return automaton.source + np.minimum(total[1:] - before, 1.0)
