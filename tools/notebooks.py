"""Execute notebooks from fresh kernels, normalise them and save them as they are committed.

python tools/notebooks.py                     all notebooks
python tools/notebooks.py 04_superposition    those named

A notebook in which a cell raises or writes to stderr is not saved.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CELL_SECONDS = 600  # the tests allow 120; whoever makes a notebook may have a busy machine
VIEW = "application/vnd.jupyter.widget-view+json"
VOLATILE = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted", "jupyter", "vscode")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}


class Refused(Exception):
    """A notebook that must not be saved; its text says which cell and why."""


def chosen(names: list[str], folder: Path) -> list[Path]:
    """The notebooks that the names mean (`04_superposition`, `04`, with or without folder and suffix)."""
    there = sorted(folder.glob("*.ipynb"))
    if not there:
        raise Refused(f"there is no notebook in {folder}")
    if not names:
        return there
    paths = []
    for name in (word for entry in names for word in entry.split()):
        stem = Path(name).name.removesuffix(".ipynb")
        found = [p for p in there if p.stem == stem] or [p for p in there if p.stem.split("_")[0] == stem]
        if len(found) != 1:
            raise Refused(f"no notebook is called {name}; there are: {', '.join(p.stem for p in there)}")
        paths += found
    return paths


def merge_streams(outputs: list) -> list:
    """Join neighbouring pieces of the same stream: how text is cut depends on timing."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output["output_type"] == "stream" == last["output_type"] and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            merged.append(output)
    return merged


def normalise(notebook):
    """The notebook as it is committed: no widget state or view, no times, no trace of a machine."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.update(kernelspec=dict(KERNEL), language_info=dict(LANGUAGE))
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    for index, cell in enumerate(notebook.cells):
        if not cell.get("id"):
            cell["id"] = hashlib.sha256(f"{index} {cell.source}".encode()).hexdigest()[:8]
        for name in VOLATILE:
            cell.metadata.pop(name, None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop(VIEW, None)
            output.pop("transient", None)
        kept = [output for output in cell.outputs if output.get("data", True)]
        cell.outputs = merge_streams(kept)
    return notebook


def complaints(notebook) -> list[str]:
    """What forbids saving: errors and everything on stderr, with the number of the cell."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                found.append(f"cell {number} raised {output['ename']}: {output['evalue']}")
            elif output["output_type"] == "stream" and output["name"] == "stderr":
                found.append(f"cell {number} wrote to stderr: {output['text'].strip()[:500]}")
    return found


def execute(notebook, folder: Path, env: dict[str, str] | None = None):
    """Run all cells in a fresh kernel, in place. env: the kernel's environment variables, ours by default."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # not the advice on encryption between processes of one machine
    )
    try:
        client.execute(**({} if env is None else {"env": env}))
    except CellExecutionError:
        pass  # the error is among the outputs; complaints() names it
    except (CellTimeoutError, DeadKernelError) as error:
        raise Refused(str(error).strip().splitlines()[0]) from error
    return notebook


def save(notebook, path: Path) -> None:
    """Write the notebook whole or not at all."""
    nbformat.validate(notebook)
    scratch = path.with_suffix(".part")
    try:
        scratch.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8", newline="\n")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def remake(path: Path) -> str:
    """Execute, normalise and save one notebook; returns a line with its time and size."""
    started = time.monotonic()
    notebook = execute(nbformat.read(path, as_version=4), path.parent)
    found = complaints(notebook)
    if found:
        raise Refused("\n  ".join(["not saved:", *found]))
    save(normalise(notebook), path)
    return f"{path.stem:<28}{time.monotonic() - started:6.1f} s {path.stat().st_size / 1000:6.0f} kB"


def main(names: list[str], folder: Path = FOLDER) -> int:
    """Remake the chosen notebooks; returns 1 if one was refused."""
    refused = 0
    try:
        paths = chosen(names, folder)
    except Refused as reason:
        print(f"notebooks: {reason}", file=sys.stderr)
        return 1
    for path in paths:
        try:
            print(remake(path), flush=True)
        except Refused as reason:
            refused = 1
            print(f"{path.stem}: {reason}", file=sys.stderr, flush=True)
    return refused


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
