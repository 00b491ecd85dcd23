"""The ledger of claims: what has been published, what we measured, with its error, its control, and the verdict."""

from __future__ import annotations

import dataclasses
import math
import textwrap
import tomllib
from collections import Counter
from pathlib import Path

VERDICTS = ("holds", "holds if", "does not hold")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One published statement, and what became of it here.

    name: unique, `NN-some-words`, NN the notebook's number. notebook: the notebook that shows it. statement: what was
    published, one sentence in our words. source: paper and section. quantity: what `number` counts or measures.
    number, error: ours, and how far a repetition may lie from it. control: the condition under which the statement
    must fail. control_number, control_error: the same quantity there. seeds: random starts or draws behind the number;
    0 where nothing is drawn. verdict: one of VERDICTS. but: what is true instead, or under which condition; empty
    where the statement holds. published: the published number as text, where there is one.
    """

    name: str
    notebook: str
    statement: str
    source: str
    quantity: str
    number: float
    error: float
    control: str
    control_number: float
    control_error: float
    seeds: int
    verdict: str
    but: str = ""
    published: str = ""

    def __post_init__(self):
        wrong = next(_complaints(self), None)
        if wrong:
            raise ValueError(f"claim {self.name!r}: {wrong}")


def _complaints(claim: Claim):
    for field in dataclasses.fields(claim):
        value, text = getattr(claim, field.name), field.type == "str"
        if not isinstance(value, str if text else (int, float)) or isinstance(value, bool):
            yield f"{field.name} must be a {'text' if text else 'number'}, got {value!r}"
        elif text and not value.strip() and field.name not in ("but", "published"):
            yield f"{field.name} is empty"
        elif not text and not math.isfinite(value):
            yield f"{field.name} must be finite, got {value!r}"
    if claim.notebook[:2] != claim.name[:2] or claim.name[2:3] != "-":
        yield f"its name must open with the number of its notebook, {claim.notebook[:2]}-"
    if claim.verdict not in VERDICTS:
        yield f"verdict must be one of {', '.join(VERDICTS)}, got {claim.verdict!r}"
    if (claim.verdict == "holds") == bool(claim.but):
        yield "a statement that holds needs no `but`; any other verdict needs one"
    if min(claim.error, claim.control_error, claim.seeds) < 0:
        yield "errors and seeds must not be negative"
    if abs(claim.number - claim.control_number) <= claim.error + claim.control_error:
        yield "its control gives the same number within the errors, so it controls nothing"


def read(path) -> tuple[Claim, ...]:
    """Read a ledger, a TOML file with one [[claim]] for each row.

    Returns the claims in the order of their notebooks. Errors: ValueError that names the claim and what is wrong.
    """
    rows = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("claim", [])
    claims = sorted((_claim(row) for row in rows), key=lambda claim: claim.notebook)
    twice = [name for name, count in Counter(claim.name for claim in claims).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: claims must have different names; twice: {', '.join(twice)}")
    return tuple(claims)


def _claim(row: dict) -> Claim:
    try:
        return Claim(**row)
    except TypeError as error:  # a field that is missing or unknown
        raise ValueError(f"claim {row.get('name', '(without a name)')!r}: {error}") from None


def find(claims, name: str) -> Claim:
    """The claim of that name, or an error that lists the names there are."""
    for claim in claims:
        if claim.name == name:
            return claim
    raise KeyError(f"there is no claim {name!r}; there are {', '.join(c.name for c in claims)}")


def verdicts(claims) -> dict[str, int]:
    """How many claims got each verdict."""
    count = Counter(claim.verdict for claim in claims)
    return {verdict: count[verdict] for verdict in VERDICTS}


def row(claim: Claim, width: int = 100) -> str:
    """A claim as a few lines of text, for people."""
    seeds = f", {claim.seeds} seeds" if claim.seeds else ""
    published = f"; published: {claim.published}" if claim.published else ""
    parts = [f"{claim.name}: {claim.verdict.upper()}", claim.statement]
    parts += [f"But: {claim.but}"] if claim.but else []
    parts += [
        f"Here: {claim.quantity}: {_with_error(claim.number, claim.error)}{published}{seeds}.",
        f"Control: {claim.control}: {_with_error(claim.control_number, claim.control_error)}.",
        f"Source: {claim.source}.",
    ]
    fill = textwrap.TextWrapper(width, initial_indent="    ", subsequent_indent="        ").fill
    return "\n".join([parts[0], *map(fill, parts[1:])])


def _with_error(number: float, error: float) -> str:
    return f"{number:g} ± {error:g}" if error else f"{number:g}"
