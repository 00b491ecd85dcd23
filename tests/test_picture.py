"""The README's picture shows what the README says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_picture_can_be_remade_and_shows_two_digons_and_a_pentagon():
    plots = runpy.run_path(str(ROOT / "tools" / "picture.py"))["plots"]()
    assert [plot.title for plot in plots] == [
        "sparsity 0.0: axis + axis",
        "sparsity 0.8: digon + digon",
        "sparsity 0.9: pentagon",
    ]


def test_every_file_in_data_says_how_it_is_remade():
    listed = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    files = [f for f in (ROOT / "data").rglob("*") if f.is_file() and f.name != "README.md"]
    assert files
    assert [f.name for f in files if f"`{f.relative_to(ROOT / 'data').as_posix()}`" not in listed] == []
