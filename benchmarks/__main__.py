"""Run the benchmarks: `python -m benchmarks [--quick] [--only case ...] [--output file.json]`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import toysup
from benchmarks import cases, report

FOLDER = Path(__file__).resolve().parent / "results"
NO_TORCH = (
    "without PyTorch, (a) and (b) and the ratios to them are left out; it comes with `pip install torch`, or with "
    "the extra `benchmarks`"
)
BUSY = (
    "other programs were using this machine when the run began: PyTorch's threads wait for each other at every "
    "operation and suffer most from that, so ratios to it flatter toysup; run again on an idle machine"
)


def main(arguments: list[str] | None = None) -> dict:
    """Measure, print the tables, write the JSON file; returns what is in it."""
    options = parser().parse_args(arguments)
    toysup.configure()
    settings = cases.QUICK if options.quick else cases.FULL
    torch = None if options.no_torch else cases.load_torch()
    notes, loads = [] if torch else [NO_TORCH], [report.load()]
    tables, targets = [], []
    runs = {
        "sampled": lambda: cases.sampled(settings, torch),
        "solution": lambda: cases.solution(settings, torch),
        "diagrams": lambda: cases.diagrams(settings),
        "many": lambda: cases.many(settings),
        "compilation": cases.compilation,
    }
    for name in options.only or [name for name in runs if not (options.quick and name == "compilation")]:
        more_tables, more_targets, more_notes = runs[name]()
        tables, targets, notes = tables + more_tables, targets + more_targets, notes + more_notes
        print("\n\n".join(map(report.table_text, more_tables)), end="\n\n", flush=True)
    loads.append(report.load())
    notes += [BUSY] if report.busy(loads[0]) else []
    result = report.record(tables, targets, quick=options.quick, notes=notes, loads=loads)
    print(report.closing(result, targets), flush=True)
    path = options.output or FOLDER / time.strftime("%Y-%m-%d-%H%M%S.json")
    report.save(result, path)
    return result


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, side by side, in one run.")
    top.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs; its numbers mean nothing")
    top.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    names = ("sampled", "solution", "diagrams", "many", "compilation")
    top.add_argument("--only", nargs="+", choices=names, metavar="case", help=f"some of: {', '.join(names)}")
    top.add_argument("--output", type=Path, help="the JSON file (default: a new one in benchmarks/results)")
    return top


if __name__ == "__main__":
    main()
