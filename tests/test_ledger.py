"""The ledger of claims: rows that say nothing are refused, and every row is measured anew by exactly one test."""

import ast
import dataclasses
from collections import Counter

import pytest
from helpers import ROOT, confirm, ledger_rows

from toysup import ledger

GOOD = {
    "name": "04-example", "notebook": "04_superposition", "statement": "Superposition pays.", "source": "A paper, s. 1",
    "quantity": "share of the linear loss", "number": 0.2, "error": 0.01, "control": "dense features",
    "control_number": 1.0, "control_error": 0.01, "seeds": 8, "verdict": "holds",
}  # fmt: skip


def written(rows) -> str:
    return "\n".join("[[claim]]\n" + "\n".join(f"{key} = {value!r}" for key, value in row.items()) for row in rows)


@pytest.fixture
def read(tmp_path):
    def of(*rows):
        (tmp_path / "ledger.toml").write_text(written(rows))
        return ledger.read(tmp_path / "ledger.toml")

    return of


def test_a_good_row_is_read(read):
    (claim,) = read(GOOD)
    assert dataclasses.asdict(claim) == GOOD | {"but": "", "published": ""}
    assert ledger.find((claim,), "04-example") is claim
    assert ledger.verdicts((claim,)) == {"holds": 1, "holds if": 0, "does not hold": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "maybe"}, "verdict must be one of"),
        ({"verdict": "holds if"}, "any other verdict needs one"),
        ({"but": "not always"}, "needs no `but`"),
        ({"number": 0.99}, "controls nothing"),
        ({"number": float("nan")}, "must be finite"),
        ({"error": -0.1}, "not be negative"),
        ({"statement": " "}, "statement is empty"),
        ({"seeds": "many"}, "seeds must be a number"),
        ({"source": 7}, "source must be a text"),
        ({"name": "05-example"}, "open with the number of its notebook"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_bad_row_is_refused_by_name(read, change, words):
    with pytest.raises(ValueError, match=words) as caught:
        read(GOOD | change)
    assert (GOOD | change)["name"] in str(caught.value)


def test_missing_fields_and_names_used_twice_are_refused(read):
    with pytest.raises(ValueError, match="control_number"):
        read({key: value for key, value in GOOD.items() if key != "control_number"})
    with pytest.raises(ValueError, match="twice: 04-example"):
        read(GOOD, GOOD)
    with pytest.raises(KeyError, match="there are 04-example"):
        ledger.find(read(GOOD), "04-other")


# ------------------------------------------------------------------------------------------ the ledger itself


def confirmed() -> Counter:
    """How many times each name is confirmed in tests/claims."""
    calls = Counter()
    for path in (ROOT / "tests" / "claims").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "confirm":
                calls[node.args[0].value] += 1
    return calls


def test_every_row_is_measured_anew_by_one_test():
    rows = {claim.name for claim in ledger_rows()}
    assert set(confirmed()) == rows
    assert {name: count for name, count in confirmed().items() if count > 1} == {}


def test_every_row_belongs_to_a_notebook_that_exists():
    assert {c.notebook for c in ledger_rows()} <= {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}


def test_a_number_that_moved_is_noticed(monkeypatch):
    monkeypatch.setattr("helpers.ledger_rows", lambda: (ledger.Claim(**GOOD),))
    confirm("04-example", 0.205, 0.995)
    with pytest.raises(AssertionError, match="the ledger has"):
        confirm("04-example", 0.215, 1.0)
    with pytest.raises(AssertionError, match="control"):
        confirm("04-example", 0.2, 0.9)
    with pytest.raises(AssertionError):
        confirm("04-example", float("nan"), 1.0)


def test_a_row_is_readable():
    text = ledger.row(ledger.Claim(**GOOD | {"verdict": "holds if", "but": "sparse enough", "published": "0.3"}), 60)
    assert text.splitlines()[0] == "04-example: HOLDS IF"
    assert "But: sparse enough" in text
    assert "0.2 ± 0.01; published: 0.3, 8 seeds." in " ".join(text.split())
    assert "dense features: 1 ± 0.01." in text
    assert max(map(len, text.splitlines())) <= 60
