"""Tables of results: as text for people, as JSON for comparisons later."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import platform
import re
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np

from toysup import runtime

WIDTH = 110


@dataclasses.dataclass(frozen=True)
class Table:
    """Results of one case. columns: name -> format. rows: one value per column; None and NaN are left empty."""

    title: str
    columns: dict[str, str]
    rows: list[tuple]
    meaning: str


@dataclasses.dataclass(frozen=True)
class Target:
    """What a case must reach. got: None where it could not be measured. least: `got` must not be below `wanted`."""

    what: str
    wanted: float
    got: float | None
    least: bool = True

    @property
    def met(self) -> bool | None:
        if _nothing(self.got):
            return None
        return self.got >= self.wanted if self.least else self.got <= self.wanted


def closing(result: dict, targets: list[Target]) -> str:
    """What stands under the tables: targets, the machine, its load, notes."""
    words = [f"{name} {value}" for name, value in result["machine"].items() if value is not None]
    lines = [] if result["quick"] else [table_text(_targets_table(targets)), ""]
    lines += textwrap.wrap("Machine: " + ", ".join(words), WIDTH)
    before, after = result["load_before_and_after"]
    if before:
        lines.append(f"Load (processes that want a core, last minute): {before[0]} before, {after[0]} after.")
    if result["quick"]:
        lines.append("Quick: the sizes are tiny, and the numbers say nothing about speed.")
    return "\n".join([*lines, *(line for note in result["notes"] for line in textwrap.wrap(f"Note: {note}.", WIDTH))])


def table_text(table: Table) -> str:
    """One table: a title, aligned columns, and what the numbers mean."""
    cells = [[_cell(v, form) for v, form in zip(row, table.columns.values(), strict=True)] for row in table.rows]
    names = list(table.columns)
    widths = [max(len(line[k]) for line in [names, *cells]) for k in range(len(names))]
    align = lambda line: "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
    body = [align(names), "-" * (sum(widths) + 2 * len(widths) - 2), *map(align, cells)]
    return "\n".join([f"== {table.title} ==", *body, *textwrap.wrap(table.meaning, WIDTH)])


def _cell(value, form: str) -> str:
    return "" if _nothing(value) else format(value, form)


def _nothing(value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(values: dict) -> dict:
    """What JSON can hold: numbers of NumPy as numbers, NaN as null."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    return {k: None if _nothing(v) else v for k, v in plain.items()}


def _targets_table(targets: list[Target]) -> Table:
    word = {True: "yes", False: "NO", None: "not measured"}
    rows = [(t.what, "at least" if t.least else "at most", t.wanted, t.got, word[t.met]) for t in targets]
    columns = {"target": "", "": "", "wanted": ",.4g", "measured": ",.4g", "met": ""}
    return Table("Targets", columns, rows, "The numbers are medians over the rounds of this run.")


def machine() -> dict:
    """The machine in words, and the versions; no name, no path."""
    packages = ("jax", "jaxlib", "numpy", "torch", "toysup")
    return {
        "processor": _processor(),
        "cores": runtime.cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    if name == "toysup":
        import toysup

        return toysup.__version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def load() -> list[float] | None:
    """How many processes wanted a core over the last 1, 5 and 15 minutes; None where the system does not say."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def busy(loads: list[float] | None) -> bool:
    """Whether others took more than a quarter of the machine in the last minute."""
    return bool(loads) and loads[0] > 0.25 * runtime.cores()


def record(tables, targets, *, quick: bool, notes: list[str], loads: list) -> dict:
    """What goes into the JSON file."""
    return {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "machine": machine(),
        "load_before_and_after": loads,
        "notes": notes,
        "tables": [_table_record(t) for t in tables],
        "targets": [_plain(dataclasses.asdict(t) | {"met": t.met}) for t in targets],
    }


def _table_record(table: Table) -> dict:
    rows = [_plain(dict(zip(table.columns, row, strict=True))) for row in table.rows]
    return {"title": table.title, "meaning": table.meaning, "rows": rows}


def save(result: dict, path: Path) -> None:
    """Write the JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)
