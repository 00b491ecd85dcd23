"""The rules every notebook keeps, and a bad notebook for each rule that shows that the rule can fail."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES, MOST_BYTES, LEAST_SHARE = 25, 300_000, 0.40
WIDGET = "application/vnd.jupyter.widget-view+json"
UNCOMPARED = re.compile(r"nbval[-_](ignore[-_]output|skip|raises[-_]exception)", re.IGNORECASE)


def normaliser():
    """`normalise` of tools/notebooks.py, which is no package."""
    spec = importlib.util.spec_from_file_location("tools_notebooks", ROOT / "tools" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.normalise


normalise = normaliser()


# ---------------------------------------------------------------- reading a notebook


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def numbered(notebook) -> list[tuple[int, nbformat.NotebookNode]]:
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def texts(cell) -> list[str]:
    """The text outputs of a code cell, which nbval compares."""
    found = []
    for output in cell.outputs:
        found.append(output.get("text", "") if output.output_type == "stream" else "")
        found.append(output.get("data", {}).get("text/plain", ""))
    return [text for text in found if text]


def is_figure(text: str) -> bool:
    return bool(re.fullmatch(r"<Figure size [^>]*>\s*", text))


def prints_number(cell) -> bool:
    return any(re.search(r"\d", text) for text in texts(cell) if not is_figure(text))


def is_uncompared(cell) -> bool:
    return bool(UNCOMPARED.search(cell.source + " " + " ".join(cell.metadata.get("tags", []))))


def opening(notebook) -> str:
    """The Markdown before the first code cell."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            break
        found.append(cell.source)
    return "\n\n".join(found)


# ---------------------------------------------------------------- the rules: each returns its complaints


def executed(notebook, path) -> list[str]:
    return [f"cell {i} was not run" for i, cell in numbered(notebook) if cell.execution_count is None]


def counted_from_one(notebook, path) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


def no_empty_cell(notebook, path) -> list[str]:
    return [f"cell {i} is empty" for i, cell in enumerate(notebook.cells) if not cell.source.strip()]


def no_stderr(notebook, path) -> list[str]:
    return [
        f"cell {i} wrote to stderr"
        for i, cell in numbered(notebook)
        if any(output.get("name") == "stderr" for output in cell.outputs)
    ]


def no_error(notebook, path) -> list[str]:
    return [
        f"cell {i} raised"
        for i, cell in numbered(notebook)
        if any(output.output_type == "error" for output in cell.outputs)
    ]


def no_address(notebook, path) -> list[str]:
    return [f"cell {i} shows an address" for i, c in numbered(notebook) if any("0x" in text for text in texts(c))]


def no_time(notebook, path) -> list[str]:
    time = re.compile(r"\b\d+(\.\d+)? ?(ns|µs|ms|s|seconds?|minutes?)\b|Wall time|\b\d?\d:\d\d\b|\b20\d\d-\d\d-\d\d\b")
    return [f"cell {i} shows a time" for i, c in numbered(notebook) if any(time.search(text) for text in texts(c))]


def no_bare_figure(notebook, path) -> list[str]:
    return [
        f"cell {i} shows a figure without a line of text under it"
        for i, cell in numbered(notebook)
        if texts(cell) and all(is_figure(text) for text in texts(cell))
    ]


def no_repr(notebook, path) -> list[str]:
    """No matplotlib object, other object in angle brackets, or raw array."""
    bad = re.compile(r"<(matplotlib|toysup|jax)[.\w]*|<[\w.]+ object\b|\b[Aa]rray\(")
    return [f"cell {i} shows a repr" for i, c in numbered(notebook) if any(bad.search(text) for text in texts(c))]


def no_widget_state(notebook, path) -> list[str]:
    found = ["the notebook holds widget state"] if "widgets" in notebook.metadata else []
    for i, cell in numbered(notebook):
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            found.append(f"cell {i} holds a widget view")
    return found


def short_cells(notebook, path) -> list[str]:
    lengths = [(i, len(cell.source.splitlines())) for i, cell in numbered(notebook)]
    return [f"cell {i} has {length} lines" for i, length in lengths if length > MOST_LINES]


def a_number_per_section(notebook, path) -> list[str]:
    """Every `##` section that has code prints a number (what stands before the first belongs to none)."""
    title, code, number, found = "", False, False, []
    for cell in [*notebook.cells, v4.new_markdown_cell("## end")]:
        heading = re.search(r"^## +(.+)", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            if title and code and not number:
                found.append(f"section {title!r} prints no number")
            title, code, number = heading[1], False, False
        elif cell.cell_type == "code":
            code, number = True, number or prints_number(cell)
    return found


def enough_compared(notebook, path) -> list[str]:
    cells = code_cells(notebook)
    compared = sum(prints_number(cell) and not is_uncompared(cell) for cell in cells)
    share = compared / len(cells) if cells else 0.0
    return [] if share >= LEAST_SHARE else [f"{compared} of {len(cells)} code cells print a number that is compared"]


def uncompared_with_reason(notebook, path) -> list[str]:
    """An output that is not compared says why in a comment of its cell, `# why: ...`."""
    return [
        f"cell {i} is not compared and does not say why"
        for i, cell in numbered(notebook)
        if is_uncompared(cell) and not re.search(r"# why: \w+", cell.source)
    ]


def small(notebook, path) -> list[str]:
    size = path.stat().st_size
    return [] if size <= MOST_BYTES else [f"the file has {size / 1000:.0f} kB"]


def seeded(notebook, path) -> list[str]:
    """No random number without a seed: NumPy's global state, an empty default_rng, Python's random."""
    bad = re.compile(
        r"(np|numpy)\.random\.(?!default_rng\b|Generator\b|SeedSequence\b)|default_rng\(\s*(None)?\s*\)"
        r"|^\s*(import random\b|from random import)|\burandom\b|\buuid|\.key\(\s*(int\()?time",
        re.MULTILINE,
    )
    return [f"cell {i} draws without a seed" for i, cell in numbered(notebook) if bad.search(cell.source)]


def title(notebook, path) -> list[str]:
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    if not lines or notebook.cells[0].cell_type != "markdown" or not re.match(r"# \S", lines[0]):
        return ["the first cell does not begin with a `# ` title"]
    others = [i for i, c in enumerate(notebook.cells[1:], 1) if c.cell_type == "markdown" and c.source.startswith("# ")]
    return [f"cell {i} is a second title" for i in others]


def claim(notebook, path) -> list[str]:
    """The title is followed by one sentence of at most 60 words."""
    rest = [part.strip() for part in opening(notebook).split("\n", 1)[-1].split("\n\n") if part.strip()]
    text = rest[0] if rest else ""
    prose = not re.match(r"$|[#|!<>-]|\d+ *min|\*\*[^*]*\b(do|learn|need)\b", text)
    if prose and text.endswith((".", ".*", ".**")) and len(text.split()) <= 60:
        return []
    return [f"no one-sentence claim after the title, but {text[:60]!r}"]


def what_you_do_learn_need(notebook, path) -> list[str]:
    """Headings or bold words of the opening say what the reader does, learns and needs."""
    text = opening(notebook)
    marked = " ".join(re.findall(r"^#+ .*$|^[-*]?\s*\*\*[^*]+\*\*", text, re.MULTILINE)).lower()
    missing = [word for word in ("do", "learn", "need") if not re.search(rf"\b{word}\b", marked)]
    return [f"the opening does not say what you {word}" for word in missing]


def minutes(notebook, path) -> list[str]:
    said = re.search(r"\d+\s*(min\b|minutes\b)|\bminutes\b\W{0,6}\d+", opening(notebook), re.IGNORECASE)
    return [] if said else ["the opening does not say how many minutes it takes"]


def previous_and_next(notebook, path) -> list[str]:
    text = opening(notebook).lower()
    return [f"the opening names no {word} notebook" for word in ("previous", "next") if word not in text]


def links_lead_somewhere(notebook, path) -> list[str]:
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            targets = re.findall(r"\]\(<?([^)\s>]+)", cell.source) + re.findall(
                r"(?:href|src)=\"([^\"]+)\"", cell.source
            )
            local = [t.split("#")[0] for t in targets if not re.match(r"[a-z][a-z+.-]*:|#", t)]
            found += [f"the link to {t} leads nowhere" for t in local if not (path.parent / t).exists()]
    return found


def as_the_tool_saves_it(notebook, path) -> list[str]:
    """The file is what `make notebooks` writes, to the last byte."""
    text = path.read_bytes().decode("utf-8")
    saved = nbformat.writes(normalise(nbformat.reads(text, as_version=4))).rstrip("\n") + "\n"
    return [] if text == saved else ["the file is not in the form that `make notebooks` saves"]


RULES = [
    executed,
    counted_from_one,
    no_empty_cell,
    no_stderr,
    no_error,
    no_address,
    no_time,
    no_bare_figure,
    no_repr,
    no_widget_state,
    short_cells,
    a_number_per_section,
    enough_compared,
    uncompared_with_reason,
    small,
    seeded,
    title,
    claim,
    what_you_do_learn_need,
    minutes,
    previous_and_next,
    links_lead_somewhere,
    as_the_tool_saves_it,
]


def named(functions):
    return [pytest.param(function, id=function.__name__) for function in functions]


# ---------------------------------------------------------------- the notebooks of the series


def test_the_series_is_there():
    assert {"00_start_here", "04_superposition"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("rule", named(RULES))
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path, rule):
    assert rule(nbformat.read(path, as_version=4), path) == []


# ---------------------------------------------------------------- bad notebooks: each rule can fail

OPENING = """# Count to three

Three numbers are enough to show that counting works.

- **What you'll do:** count.
- **What you'll learn:** that three follows two.
- **What you'll need:** nothing.

5 minutes. Previous: none. Next: [the same](bad.ipynb)."""


def printed(source: str, text: str, count: int, **more):
    outputs = [v4.new_output("stream", name="stdout", text=text)]
    return v4.new_code_cell(source, execution_count=count, outputs=outputs, id=f"code-{count}", **more)


def good():
    """A notebook that keeps every rule."""
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(OPENING, id="opening"),
            printed("print(1)", "1\n", 1),
            v4.new_markdown_cell("## A section", id="section"),
            printed("print(2)", "loss 0.250 after 400 steps\n", 2),
        ]
    )


def write(notebook, folder: Path) -> Path:
    path = folder / "bad.ipynb"
    path.write_text(nbformat.writes(normalise(notebook)) + "\n", encoding="utf-8", newline="\n")
    return path


def put(**changes):
    """A change of the last code cell."""
    return lambda notebook: notebook.cells[3].update(changes)


def show(text: str):
    """A change of what the last code cell prints."""
    return put(outputs=[v4.new_output("stream", name="stdout", text=text)])


def out(kind: str, **content):
    """One more output of the last code cell."""
    return lambda notebook: notebook.cells[3].outputs.append(v4.new_output(kind, **content))


def figure_only(notebook):
    data = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    notebook.cells[3].outputs = [v4.new_output("display_data", data=data)]


def open_with(old: str, new: str):
    """A change of the opening."""
    assert old in OPENING
    return lambda notebook: notebook.cells[0].update(source=OPENING.replace(old, new))


def silent(notebook):
    for count in range(3, 7):
        notebook.cells.append(v4.new_code_cell("x = 1", execution_count=count, id=f"code-{count}"))


def ignored(reason: str):
    return put(source=f"# NBVAL_IGNORE_OUTPUT\n{reason}\nprint(2)")


def title_twice(notebook):
    notebook.cells[2].source = "# Another title"


def no_title(notebook):
    del notebook.cells[0]


BAD = [
    (executed, put(execution_count=None, outputs=[])),
    (counted_from_one, put(execution_count=3)),
    (counted_from_one, lambda notebook: notebook.cells.reverse()),
    (no_empty_cell, put(source=" \n")),
    (no_stderr, out("stream", name="stderr", text="UserWarning: mind the gap 1")),
    (no_error, out("error", ename="ValueError", evalue="1", traceback=[])),
    (no_address, show("<function f at 0x7f1c2a>")),
    (no_time, show("1 loop: 12.5 ms per step")),
    (no_time, show("took 3 s")),
    (no_time, show("Wall time: 1")),
    (no_time, show("2026-01-31")),
    (no_bare_figure, figure_only),
    (no_repr, out("execute_result", data={"text/plain": "[<matplotlib.lines.Line2D>]"}, execution_count=2)),
    (no_repr, show("array([0.1, 0.2])")),
    (no_repr, show("Array([0.1, 0.2], dtype=float32)")),
    (no_widget_state, lambda notebook: notebook.metadata.update(widgets={"state": {}})),
    (no_widget_state, out("display_data", data={WIDGET: {"model_id": "1"}, "text/plain": "Panel 1"})),
    (short_cells, put(source="\n".join(["x = 1"] * (MOST_LINES + 1)))),
    (a_number_per_section, show("no number here\n")),
    (a_number_per_section, figure_only),
    (enough_compared, silent),
    (uncompared_with_reason, ignored("# later")),
    (uncompared_with_reason, put(metadata=nbformat.from_dict({"tags": ["nbval-skip"]}))),
    (small, put(source="# " + "x" * MOST_BYTES)),
    (seeded, put(source="np.random.normal(size=3)")),
    (seeded, put(source="np.random.default_rng()")),
    (seeded, put(source="import random")),
    (title, title_twice),
    (title, no_title),
    (title, open_with("# Count", "Count")),
    (claim, open_with("Three numbers are enough to show that counting works.\n\n", "")),
    (claim, open_with("works.", "works " + 60 * "and works " + ".")),
    (what_you_do_learn_need, open_with("**What you'll do:**", "What you'll do:")),
    (what_you_do_learn_need, open_with("**What you'll learn:**", "Learning:")),
    (what_you_do_learn_need, open_with("**What you'll need:** ", "")),
    (minutes, open_with("5 minutes", "Short")),
    (previous_and_next, open_with("Previous: none.", "")),
    (previous_and_next, open_with("Next", "Then")),
    (links_lead_somewhere, open_with("bad.ipynb", "missing.ipynb")),
    (links_lead_somewhere, open_with("bad.ipynb", "missing.ipynb#section")),
]


@pytest.mark.parametrize("rule", named(RULES))
def test_a_good_notebook_passes(rule, tmp_path):
    path = write(good(), tmp_path)
    assert rule(nbformat.read(path, as_version=4), path) == []


@pytest.mark.parametrize(("rule", "spoil"), [pytest.param(*b, id=f"{b[0].__name__}-{i}") for i, b in enumerate(BAD)])
def test_a_bad_notebook_is_seen(rule, spoil, tmp_path):
    notebook = good()
    spoil(notebook)
    path = tmp_path / "bad.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    assert rule(notebook, path) != []


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text.rstrip("\n"), lambda text: text.replace('"python3"', '"mine"'), lambda text: text + "\n"],
)
def test_a_file_saved_by_another_tool_is_seen(spoil, tmp_path):
    path = write(good(), tmp_path)
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    assert as_the_tool_saves_it(None, path) != []


def test_every_rule_has_a_bad_notebook():
    assert {rule for rule, _ in BAD} | {as_the_tool_saves_it} == set(RULES)


def test_links_to_the_web_and_to_sections_are_not_looked_up(tmp_path):
    notebook = good()
    notebook.cells[2].source = '## A section\n[a](https://example.org/x) [b](#here) <img src="data:image/png;base64,x">'
    assert links_lead_somewhere(notebook, write(notebook, tmp_path)) == []


def test_an_uncompared_cell_with_its_reason_passes_and_does_not_count(tmp_path):
    notebook = good()
    ignored("# why: the order of the list differs between systems")(notebook)
    assert uncompared_with_reason(notebook, tmp_path) == []
    notebook.cells[1].outputs = []
    assert enough_compared(notebook, tmp_path) != []
