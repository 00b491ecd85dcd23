"""The eight modes of the small language, each a few lines of text that says what may come next.

A line is in one mode and ends in a newline. Base64 is two sources: random characters, and encoded English words.
Fields say what a character is there for; labels beside them, 0 where nothing applies or the text has not decided yet:

number     English: the subject's, 1 singular, 2 plural, from where it shows to the end of the verb
agreement  English: 1 on the character that shows the verb's number
depth      Python: open brackets, this character included
carry      arithmetic: 1 in sums without, 2 with a carry from the units
phase      base64: the place in a group of four, 1 to 4
"""

from __future__ import annotations

import functools

import numpy as np

from toysup.language.automaton import END, Automaton, Option, build

NOUNS = ("cat", "dog", "car", "apple", "tree", "bird", "house", "boat")
VERBS = ("sit", "run", "see", "like", "need", "find")
ADJECTIVES = ("big", "red", "old", "new", "small")
SIXTY_FOUR = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MODES = ("english", "dna", "hexadecimal", "base64", "roman", "date", "python", "arithmetic")
SOURCES = ("english", "dna", "hexadecimal", "base64 random", "base64 of text", "roman", "date", "python", "arithmetic")
MODE_OF = np.array([0, 1, 2, 3, 3, 4, 5, 6, 7])  # the mode of each source
WEIGHTS = np.array([2, 2, 2, 1, 1, 2, 2, 2, 2]) / 16  # of the sources: all modes are equally likely


def english(node) -> list[Option]:
    """Sentences such as `the big cats see the tree.`; the verb agrees with its subject. A third go on after one."""
    match node:
        case "start":
            return [Option("the ", "subject", field="determiner")]
        case "subject":
            return [Option(f"{a} ", "noun", 1 / len(ADJECTIVES), field="adjective") for a in ADJECTIVES] + [
                Option(o.text, o.node, 1 / (2 * len(NOUNS)), o.field, o.labels) for o in english("noun")
            ]
        case "noun":
            one = [Option(f"{n} ", ("verb", 1), field="noun", labels={"number": 1}) for n in NOUNS]
            return one + [Option(f"{n}s ", ("verb", 2), field="noun", labels={"number": 2}) for n in NOUNS]
        case ("verb", number):
            return [Option(v, ("ending", number), field="verb", labels={"number": number}) for v in VERBS]
        case ("ending", number):
            ending, shows = ("s ", (1, 0)) if number == 1 else (" ", 1)
            return [Option(ending, "the", field="verb", labels={"number": number, "agreement": shows})]
        case "the":
            return [Option("the ", "object", field="determiner")]
        case "object":
            return [
                Option(f"{n}{s}.", "more", field=(*["object"] * len(n + s), "stop")) for n in NOUNS for s in ("", "s")
            ]
        case "more":
            return [Option("\n", END, 2, field="end"), Option(" ", "start", field="stop")]


def _string(node, letters: str, shortest: int, longest: int, field: str) -> list[Option]:
    """A string of equally likely letters, all lengths equally likely; the node is how many there are already."""
    stop = 0.0 if node < shortest else 1 / (longest - node + 1)
    more = [Option(c, node + 1, (1 - stop) / len(letters), field=field) for c in letters]
    return [*more, Option("\n", END, stop, field="end")]


def dna(node) -> list[Option]:
    """15 to 40 letters of acgt."""
    return _string(0 if node == "start" else node, "acgt", 15, 40, "base")


def hexadecimal(node) -> list[Option]:
    """`0x` and 8 to 24 digits."""
    if node == "start":
        return [Option("0x", 0, field="prefix")]
    return _string(node, "0123456789abcdef", 8, 24, "digit")


def base64_random(node) -> list[Option]:
    """16 to 36 random characters of base64, padded to a multiple of four; bits that padding leaves over are random."""
    k = 0 if node == "start" else node
    lengths = [n for n in range(max(k, 16), 37) if n % 4 != 1]
    stop = (k in lengths) / len(lengths)
    field, phase = "body", k % 4 + 1
    more = [Option(c, k + 1, (1 - stop) / 64, field=field, labels={"phase": phase}) for c in SIXTY_FOUR]
    return [*more, _padding(-k % 4, stop)]


def _padding(many: int, weight: float = 1.0) -> Option:
    phases = (*range(5 - many, 5), 0)
    return Option("=" * many + "\n", END, weight, (*["padding"] * many, "end"), {"phase": phases})


def words(node) -> list[Option]:
    """Three to five English words and a full stop, to be encoded."""
    done = 0 if node == "start" else node
    known = [*ADJECTIVES, *NOUNS, *(f"{n}s" for n in NOUNS), *VERBS]
    stop = 0.0 if done < 2 else 1 / (5 - done)
    return [Option(f"{w} ", done + 1, 1 - stop) for w in known] + [Option(f"{w}.", END, stop) for w in known]


def base64_of_text(node) -> list[Option]:
    """Base64 of `words`: the node is a state of the text, the phase, and what is known of its next character's bits.

    Four characters of base64 hold three of text, in pieces of 6, 2 + 4, 4 + 2 and 6 bits. Source: RFC 4648, section 4.
    """
    state, phase, bits = (0, 0, 0) if node == "start" else node
    if state < 0:
        return [_padding(bits)]
    total: dict[str, list] = {}
    for code, p, target in _of_text()[state]:
        if code >> (8 - _KNOWN[phase]) == bits:
            for sextet, share, after in _sextets(state, phase, code, target):
                total.setdefault(SIXTY_FOUR[sextet], [0.0, after])[0] += p * share
    return [Option(c, after, weight, "body", {"phase": phase + 1}) for c, (weight, after) in total.items()]


_KNOWN = (0, 6, 4, 2, 0)  # bits of the next character of the text that a phase has told already


def _sextets(state: int, phase: int, code: int, target: int):
    """What may come next where the text's next character is `code`: (six bits, probability, node after)."""
    if phase == 0:
        yield code >> 2, 1.0, (state, 1, code >> 2)
        return
    rest, more = code & (0xFF >> _KNOWN[phase]), _KNOWN[phase + 1]
    if phase == 3:
        yield rest, 1.0, (target, 0, 0)
    elif target < 0:
        yield rest << more, 1.0, (-1, 0, 3 - phase)
    else:
        for code, p, _ in _of_text()[target]:
            yield rest << more | code >> (8 - more), p, (target, phase + 1, code >> (8 - more))


@functools.cache
def _of_text() -> list[list[tuple[int, float, int]]]:
    """The arcs of `words` by state: (code of the character, probability, next state)."""
    text = build("start", words)
    rows = [[] for _ in range(text.states)]
    for source, letter, p, target in zip(text.source, text.letter, text.p, text.target, strict=True):
        rows[source].append((ord(letter), float(p), int(target)))
    return rows


PLACES = (  # of Roman numerals: name, the ten ways to write its digit
    ("thousands", ("", "M", "MM", "MMM")),
    ("hundreds", ("", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM")),
    ("tens", ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")),
    ("units", ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")),
)


def roman(node) -> list[Option]:
    """Roman numerals from 1 to 3999, equally likely, a blank between them; half of the lines go on after each."""
    options = []
    for number in range(1, 4000):
        digits = [(name, ways[number // 10**k % 10]) for k, (name, ways) in zip((3, 2, 1, 0), PLACES, strict=True)]
        text = "".join(way for _, way in digits)
        field = tuple(name for name, way in digits for _ in way)
        options.append(Option(f"{text} ", "start", field=(*field, "blank")))
        options.append(Option(f"{text}\n", END, field=(*field, "end")))
    return options


def date(node) -> list[Option]:
    """Days such as 1987-05-23, from 1900 to 2030, the 1st to the 28th."""
    match node:
        case "start":
            return [Option(f"{y}-", "month", field=(*["year"] * 4, "dash")) for y in range(1900, 2031)]
        case "month":
            return [Option(f"{m:02d}-", "day", field=("month", "month", "dash")) for m in range(1, 13)]
        case "day":
            return [Option(f"{d:02d}\n", END, field=("day", "day", "end")) for d in range(1, 29)]


def python(node) -> list[Option]:
    """`def f(x): return x + 3`, always with the argument that was given; a quarter `print((x + 3) * 2)`."""
    match node:
        case "start":
            call = Option("print((", "inner", 1, (*["name"] * 5, "bracket", "bracket"), {"depth": (*[0] * 5, 1, 2)})
            return [Option("def ", "name", 3, "keyword"), call]
        case "name":
            names = ("f", "g", "run", "add")
            return [Option(f"{n}(", "argument", 1, *_closing(n, "name", "bracket", 0, 1)) for n in names]
        case "argument":
            return [Option(a, ("body", a), 1, "argument", {"depth": 1}) for a in "xyz"]
        case ("body", a):
            return [Option("): return ", ("value", a), 1, ("bracket", *["keyword"] * 9))]
        case ("value", a):
            return [Option(f"{a} ", ("operator", 0), 1, "argument")]
        case "inner":
            return [Option(f"{a} ", ("operator", 2), 1, "argument", {"depth": 2}) for a in "xyz"]
        case ("operator", depth):
            return [Option(f"{o} ", ("digit", depth), 1, "operator", {"depth": depth}) for o in "+-*"]
        case ("digit", 2):
            return [
                Option(f"{d}) ", ("operator", 1), 1, ("digit", "bracket", ""), {"depth": (2, 1, 1)}) for d in range(10)
            ]
        case ("digit", 1):
            return [Option(f"{d})\n", END, 1, ("digit", "bracket", "end"), {"depth": (1, 0, 0)}) for d in range(10)]
        case ("digit", 0):
            return [Option(f"{d}\n", END, 1, ("digit", "end")) for d in range(10)]


def _closing(word: str, field: str, last: str, depth: int, last_depth: int):
    """Fields and depths of a word and the one character after it."""
    return (*[field] * len(word), last), {"depth": (*[depth] * len(word), last_depth)}


def arithmetic(node) -> list[Option]:
    """Sums such as 12+34=46, of numbers from 0 to 49."""
    match node:
        case "start":
            return [Option(f"{a}+", ("plus", a), 1, (*["first"] * len(str(a)), "plus")) for a in range(50)]
        case ("plus", a):
            return [
                Option(f"{b}=", ("sum", a + b, 1 + (a % 10 + b % 10 > 9)), 1, (*["second"] * len(str(b)), "equals"))
                for b in range(50)
            ]
        case ("sum", total, carry):
            digits = len(str(total))
            return [Option(f"{total}\n", END, 1, (*["sum"] * digits, "end"), {"carry": (*[carry] * digits, 0)})]


@functools.cache
def sources() -> tuple[Automaton, ...]:
    """The automata of all sources, in the order of SOURCES."""
    all_of_them = (english, dna, hexadecimal, base64_random, base64_of_text, roman, date, python, arithmetic)
    return tuple(build("start", options) for options in all_of_them)
