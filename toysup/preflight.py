"""The pre-flight check: is this machine ready for the series? Each question is a function that returns rows."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.metadata
import math
import pathlib
import platform
import sys

import jax
import numpy as np
from packaging.requirements import Requirement

from toysup import check, expected_loss, geometry, independent, runtime, theory, train

DIGITS = 4  # that must agree; the notebooks print no more
BITS = "6f27e439"  # of 64 random words, the same on every machine; see `random_bits`
PENTAGON = 0.00890360  # lowest loss of 64 restarts in double precision: 5 features in 2 dimensions, p = 0.05, I = 1
NO_DEVICE = "none"
LAB = "run `make lab`, or: pip install 'toysup[lab]'"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the check: what was looked at, what was found, and what to do if that is a fault."""

    name: str
    found: str
    ok: bool
    remedy: str = ""


def rows() -> list[Row]:
    """All rows, in the order in which faults should be mended; numbers are left out where nothing can compute them."""
    found = [*python(), *packages(), *devices()]
    if not found[-1].found.startswith(NO_DEVICE):
        found += [*precision(), *random_bits(), *reference_numbers()]
    return [*found, *kept_programs(), *panels(), *offline_files()]


def python() -> list[Row]:
    """The interpreter."""
    ok = sys.version_info >= (3, 11)
    return [Row("Python", platform.python_version(), ok, "install Python 3.11 or newer, then `make lab`")]


def packages(
    names=("jax", "jaxlib", "optax", "numpy", "matplotlib", "ipywidgets", "anywidget", "jupyterlab"),
) -> list[Row]:
    """The packages the series runs on, and whether they are as new as this package asks for."""
    return [_package(name, _wanted().get(name)) for name in names]


def _package(name: str, wanted) -> Row:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Row(name, "missing", False, LAB)
    ok = wanted is None or wanted.contains(version, prereleases=True)
    return Row(name, version, ok, f"toysup needs {name}{wanted}: {LAB}")


def _wanted() -> dict:
    """What this package requires: name -> versions. Empty where it is used from a folder without being installed."""
    try:
        lines = importlib.metadata.requires("toysup") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {r.name: r.specifier for r in map(Requirement, lines)}


def devices() -> list[Row]:
    """What JAX computes on."""
    try:
        found = jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX raises the second, without a word, where a plugin is missing
        asked = jax.config.jax_platforms or "auto"
        said = f": {str(error).splitlines()[0]:.80}" if str(error) else ""
        remedy = "unset JAX_PLATFORMS, or install JAX for that device (for instance: pip install 'jax[cuda13]')"
        return [Row("devices", f"{NO_DEVICE} for JAX_PLATFORMS={asked}{said}", False, remedy)]
    kind = found[0].platform
    text = f"{len(found)} x {kind}, {runtime.cores()} cores"
    remedy = "JAX was started before toysup.configure(): restart, and call it (or import toysup.notebook) first"
    return [Row("devices", text, kind != "cpu" or len(found) >= runtime.devices_wanted(), remedy)]


def kept_programs() -> list[Row]:
    """Where compiled programs are kept; that they are not is slow, but no fault."""
    place = jax.config.jax_compilation_cache_dir
    return [Row("compiled programs", f"in {place}" if place else "not kept: each start compiles anew", True)]


def precision() -> list[Row]:
    """Single precision: the notebooks' numbers were made with it."""
    kind = str(check.dtype())
    return [Row("precision", kind, kind == "float32", "unset JAX_ENABLE_X64")]


def random_bits() -> list[Row]:
    """A fingerprint of 64 random words: the same words give the same models."""
    bits = np.asarray(jax.random.bits(jax.random.key(0), (64,), "uint32"))
    found = hashlib.sha256(bits.astype("<u4").tobytes()).hexdigest()[:8]
    remedy = "unset JAX_DEFAULT_PRNG_IMPL and JAX_THREEFRY_PARTITIONABLE; " + LAB
    return [Row("random bits", found, found == BITS, remedy)]


def reference_numbers() -> list[Row]:
    """Three results with known values: an exact loss, a linear model, a trained pentagon."""
    pair = expected_loss([[1.0, -1.0]], [0.0, 0.0], independent(0.1, n=2))
    importance = 0.9 ** np.arange(5)
    key = jax.random.key(0)
    linear = train(independent(0.2, n=5), 2, importance=importance, readout="linear", restarts=2, key=key).best()
    pentagon = train(independent(0.05, n=5), 2, key=key).best()
    return [
        _number("antipodal pair", float(pair), float(theory.two_in_one(0.1, 1.0).antipodal)),
        _number("linear model", float(linear.loss), float(theory.linear_loss(0.2, importance, 2))),
        _number(geometry.describe(pentagon.W), float(pentagon.loss), PENTAGON),
    ]


def _number(name: str, found: float, known: float) -> Row:
    digits = digits_that_agree(found, known)
    text = f"{found:.6f}, {digits} digits agree"
    remedy = "the arithmetic of this machine differs: tell us the processor and the versions above; " + LAB
    return Row(f"loss of the {name}", text, digits >= DIGITS, remedy)


def digits_that_agree(found: float, known: float) -> int:
    """How many leading digits of two numbers agree, at most 7 (single precision has no more)."""
    if not math.isfinite(found):
        return 0
    return int(min(7, max(0, -math.log10(max(abs(found / known - 1), 1e-9)))))


def panels() -> list[Row]:
    """Whether sliders will show: the panel's own files, a panel that answers, the front ends in JupyterLab."""
    here = pathlib.Path(__file__).parent
    whole = all((here / f).is_file() and (here / f).stat().st_size for f in ("panel.js", "panel.css"))
    rows = [Row("panel files", "found" if whole else "missing", whole, "the installation is incomplete: " + LAB)]
    rows.append(Row("panel", *_panel_answers()) if whole else Row("panel", "not tried", False, "see above"))
    for name in ("anywidget", "@jupyter-widgets/jupyterlab-manager"):
        found = any((folder / name / "package.json").is_file() for folder in _labextensions())
        rows.append(Row(f"front end {name.split('/')[-1]}", "found" if found else "missing", found, LAB))
    return rows


def _panel_answers() -> tuple[str, bool, str]:
    from toysup.marks import Bars, Plot
    from toysup.panel import Panel, Slider

    panel = Panel(lambda x: (Plot("x", Bars([x])), f"x = {x:.1f}"), x=Slider(0.0, 1.0, 0.0, step=0.1))
    said = panel.set(x=0.3)
    return f"answers {said!r}", said == "x = 0.3", LAB


def _labextensions() -> list[pathlib.Path]:
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:  # it comes with JupyterLab
        return []
    return [pathlib.Path(p) for p in jupyter_path("labextensions")]


def offline_files() -> list[Row]:
    """The notebooks, where the package is used from its repository."""
    root = pathlib.Path(__file__).parents[1]
    if not (root / "pyproject.toml").is_file():
        return [Row("notebooks", "not part of an installed package", True)]
    found = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return [Row("notebooks", f"{len(found)} found", len(found) >= 2, "the checkout is incomplete: clone it again")]


def code(found: list[Row]) -> str:
    """A short code to read out: four letters, the system, the number of faults, such as `K3QX-L-0`.

    The letters are a fingerprint of versions, random bits and the reference numbers at four digits: machines that
    were set up from the same lock and compute the same show the same letters.
    """
    numbers = [r.found[:7] if r.name.startswith("loss") else r.found for r in found if _counts(r)]
    letters = base64.b32encode(hashlib.sha256("|".join(numbers).encode()).digest())[:4].decode()
    faults = sum(not r.ok for r in found)
    return f"{letters}-{platform.system()[:1] or '?'}-{faults}"


def _counts(row: Row) -> bool:
    names = ("jax", "jaxlib", "optax", "numpy", "precision", "random bits")
    return row.name in names or row.name.startswith("loss")


def report(found: list[Row]) -> str:
    """The rows as a table, remedies below their faults, the code at the end."""
    width = max(len(r.name) for r in found)
    lines = []
    for r in found:
        lines.append(f"{'ok   ' if r.ok else 'FAULT'}  {r.name:{width}}  {r.found}")
        if not r.ok:
            lines.append(f"       {'':{width}}  remedy: {r.remedy}")
    faults = sum(not r.ok for r in found)
    verdict = "This machine is ready." if not faults else f"{faults} fault{'s' * (faults > 1)}: see the remedies above."
    return "\n".join([*lines, "", verdict, f"Code for your teacher: {code(found)}"])
