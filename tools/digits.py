"""Run notebooks under other arithmetics and list each compared cell that prints something else than what is stored.

python tools/digits.py 04 07                              under two mixtures that find most of what can change
python tools/digits.py 04 07 --under sse4.2 perturbed-1   under those named
python tools/digits.py --under all                        all notebooks, all arithmetics: what `make digits` does
python tools/digits.py --list                             the arithmetics

What a notebook prints is meant to be the same on every processor. An arithmetic is a set of environment variables of
the kernel; several are joined by a plus (devices-3+perturbed-2). Returns 1 where a cell changes, raises or writes to
stderr. Nothing is saved.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import difflib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

try:
    from tools import make, notebooks
except ImportError:  # run as a file
    import make

    import notebooks

ARITHMETICS = {
    "stored": {},
    "sse4.2": {
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "level-1": {"XLA_FLAGS": "--xla_backend_optimization_level=1"},
    "no-fusion": {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"},
    "quick": {"XLA_FLAGS": make.QUICK_TO_COMPILE},
    **{f"devices-{k}": {"JAX_NUM_CPU_DEVICES": str(k)} for k in (1, 2, 3)},
    **{f"perturbed-{k}": {"TOYSUP_PERTURBED": str(k)} for k in (1, 2, 3)},
}
CHOSEN = {variable for variables in ARITHMETICS.values() for variable in variables}
# Every arithmetic once, in as few runs as keep the cause of a change easy to name.
ALL = (
    "stored", "sse4.2", "avx2", "level-1", "no-fusion",
    "devices-1+perturbed-1", "devices-2+perturbed-2", "devices-3+perturbed-3",
)  # fmt: skip
FIRST = ("quick+devices-3+perturbed-1", "sse4.2+devices-1+perturbed-2")
SKIPPED_TYPES = ("image/png", "image/jpeg", "text/latex", notebooks.VIEW)  # as nbval does
IGNORED = re.compile(r"nbval[-_](ignore[-_]output|skip)", re.IGNORECASE)


def environment(arithmetic: str) -> dict[str, str]:
    """The variables of an arithmetic, `one+another` for several at once; flags for XLA are joined."""
    found: dict[str, str] = {}
    for name in arithmetic.split("+"):
        if name not in ARITHMETICS:
            raise notebooks.Refused(f"no arithmetic is called {name}; there are: {', '.join(ARITHMETICS)}")
        flags = " ".join(filter(None, (found.get("XLA_FLAGS"), ARITHMETICS[name].get("XLA_FLAGS"))))
        found |= ARITHMETICS[name] | ({"XLA_FLAGS": flags} if flags else {})
    return found


def compared(cell) -> dict[str, str]:
    """What nbval compares of a code cell: text by stream or type; {} for one that says it is not compared."""
    if IGNORED.search(cell.source + " " + " ".join(cell.metadata.get("tags", []))):
        return {}
    found: dict[str, str] = {}
    for output in cell.outputs:
        parts = {output["name"]: output["text"]} if output["output_type"] == "stream" else output.get("data", {})
        for kind, text in parts.items():
            if kind not in SKIPPED_TYPES:
                found[kind] = found.get(kind, "") + str(text)
    return found


def changes(stored, found) -> list[str]:
    """A paragraph for each compared cell that differs: its numbers, the stored lines and those found."""
    pairs = [(i, a, b) for i, (a, b) in enumerate(zip(stored.cells, found.cells, strict=True)) if a.cell_type == "code"]
    told = []
    for number, (i, a, b) in enumerate(pairs, 1):
        old, new = compared(a), compared(b)
        for kind in sorted(old.keys() | new.keys()):
            if old.get(kind, "") != new.get(kind, ""):
                told.append(
                    f"cell {i} (code cell {number}), {kind}\n" + difference(old.get(kind, ""), new.get(kind, ""))
                )
    return told


def difference(old: str, new: str) -> str:
    """The lines that differ, marked - stored and + found."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return "\n".join("    " + line for line in lines if not line.startswith(("---", "+++", "@@")))


def run(path: Path, arithmetic: str) -> tuple[str, list[str], float]:
    """Run one notebook; returns its label, what changed and the seconds."""
    label, started = f"{path.stem:<28}{arithmetic:<24}", time.monotonic()
    stored = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="toysup-digits-") as folder:
        make.perturb_kernels(Path(folder))
        ours = {name: value for name, value in os.environ.items() if name not in CHOSEN}
        environ = {**ours, "IPYTHONDIR": folder, **environment(arithmetic)}
        try:
            found = notebooks.execute(nbformat.read(path, as_version=4), path.parent, env=environ)
            told = notebooks.complaints(found) + changes(stored, notebooks.normalise(found))
        except notebooks.Refused as reason:
            told = [str(reason)]
    return label, told, time.monotonic() - started


def runs(paths: list[Path], arithmetics: list[str], jobs: int) -> Iterator[tuple[str, list[str], float]]:
    """All runs, `jobs` at a time, in the order in which they end."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run, path, arithmetic) for path in paths for arithmetic in arithmetics]
        for done in concurrent.futures.as_completed(waiting):
            yield done.result()


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="digits.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks, such as 04 or 04_superposition; all without a name")
    parser.add_argument("--under", nargs="+", default=list(FIRST), metavar="ARITHMETIC", help="or: all")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
    parser.add_argument("--list", action="store_true", help="name the arithmetics and stop")
    return parser.parse_args(given)


def main(given: list[str], folder: Path = notebooks.FOLDER) -> int:
    """Run and report; returns 1 where something changed."""
    options = arguments(given)
    if options.list:
        for name, variables in ARITHMETICS.items():
            print(f"{name:<14}" + " ".join(f"{k}={v!r}" for k, v in variables.items()))
        return 0
    under = list(ALL) if options.under == ["all"] else options.under
    try:
        paths = notebooks.chosen(options.names, folder)
        for arithmetic in under:
            environment(arithmetic)
    except notebooks.Refused as reason:
        print(f"digits: {reason}", file=sys.stderr)
        return 1
    changed = count = 0
    for label, told, seconds in runs(paths, under, max(1, options.jobs)):
        count, changed = count + 1, changed + bool(told)
        print(f"{label}{'CHANGED' if told else 'same':<8}{seconds:6.0f} s", flush=True)
        for paragraph in told:
            print("  " + paragraph.replace("\n", "\n  "), flush=True)
    print(f"{count} runs, {changed} with a change", flush=True)
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
