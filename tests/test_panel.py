"""A panel without a browser: the callback, its controls, the grid, the page, and what a notebook stores."""

import base64
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from toysup.marks import Bars, Heat, Plot, pack
from toysup.panel import Choice, Panel, Slider


def draw(gain, kind="square"):
    if kind == "refuse" and gain > 0.5:
        raise ArithmeticError("gain above one half")
    values = gain ** np.arange(1, 4)
    return [
        Plot("powers", Bars(values, limits=(0, 1))),
        Plot("outer", Heat(np.outer(values, values))),
    ], f"{kind}: {gain:.3f}"


def panel(**more):
    kinds = Choice(["square", "refuse"], "square", "kind")
    return Panel(draw, gain=Slider(0.0, 1.0, 0.5, label="gain g", step=0.01), kind=kinds, **more)


def move(p, number=1, **values):
    """What arrives when a hand moves a slider."""
    sent = {**p.frame["values"], **values}
    p._receive(p, {"kind": "move", "client": "browser", "number": number, "values": sent}, [])


def test_set_drives_the_callback_and_moves_the_slider():
    p = panel()
    assert p.text == "square: 0.500"
    assert p.set(gain=0.25) == "square: 0.250"
    assert p.frame["values"] == {"gain": 0.25, "kind": "square"}
    assert p.frame["text"] == "square: 0.250"
    assert (p.frame["plots"], p.frame["data"]) == pack(draw(0.25)[0])
    assert p.values == {"gain": 0.25, "kind": "square"}


def test_a_hand_gets_the_same_as_set_under_the_number_it_asked_with():
    hand, code = panel(), panel()
    move(hand, 7, gain=0.3)
    code.set(gain=0.3)
    assert {**hand.frame, "client": "", "number": 0} == code.frame
    assert (hand.frame["client"], hand.frame["number"]) == ("browser", 7)


def test_a_kernel_says_that_it_lives(monkeypatch):
    p, sent = panel(), []
    monkeypatch.setattr(p, "send", sent.append)
    p._receive(p, {"kind": "hello", "client": "browser"}, [])
    assert sent == [{"kind": "here", "client": "browser"}]


def test_messages_that_only_hurry_the_answer_change_nothing():
    p = panel()
    before = p.frame
    p._receive(p, {"kind": "nudge", "client": "browser"}, [])
    assert p.frame is before


def test_hands_and_cells_take_turns():
    inside, together = threading.Lock(), []

    def slow(gain):
        together.append(not inside.acquire(blocking=False))
        time.sleep(0.002)
        inside.release()
        return draw(gain)

    p = Panel(slow, gain=Slider(0, 1, 0.5, steps=100))
    threads = [threading.Thread(target=p.set, kwargs={"gain": k / 100}) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(together)
    assert p.text == f"square: {p.values['gain']:.3f}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unknown": 1}, "unknown is not a control of this panel; it has gain, kind"),
        ({"gain": 1.5}, r"gain must be a number in \[0, 1\], got 1.5"),
        ({"gain": math.nan}, "got nan"),
        ({"gain": "0.3"}, "got '0.3'"),
        ({"gain": True}, "got True"),
        ({"kind": "cube"}, "kind must be one of 'square', 'refuse'; got 'cube'"),
    ],
)
def test_bad_values_are_refused_before_anything_moves(values, message):
    p = panel()
    before = p.frame
    with pytest.raises(ValueError, match=message):
        p.set(**values)
    assert p.frame == before
    assert p.values == {"gain": 0.5, "kind": "square"}


def test_a_bad_value_from_the_browser_is_shown_and_raised():
    p = panel()
    with pytest.raises(ValueError, match="gain must be"):
        move(p, 3, gain=9)
    assert p.frame["error"].startswith("ValueError: gain must be a number in [0, 1]")
    assert p.frame["number"] == 3


@pytest.mark.parametrize("through", ["set", "hand"])
def test_an_exception_is_raised_and_shown_and_forgotten_at_the_next_good_value(through):
    p = panel()
    act = p.set if through == "set" else lambda **values: move(p, **values)
    act(kind="refuse")
    with pytest.raises(ArithmeticError, match="above one half"):
        act(gain=0.75)
    assert p.frame["error"] == "ArithmeticError: gain above one half"
    assert p.frame["values"]["gain"] == 0.75
    assert p.frame["text"] == "refuse: 0.500"
    act(gain=0.25)
    assert p.frame["error"] == ""
    assert p.text == "refuse: 0.250"


def test_a_callback_that_exits_does_not_end_the_thread_of_all_panels():
    """Jupyter hands messages to a thread that SystemExit would end in silence; a cell that calls `set` sees it."""

    def leave(gain):
        if gain > 0.5:
            raise SystemExit(3)
        return draw(gain)

    p = Panel(leave, gain=Slider(0, 1, 0.5, steps=10))
    with pytest.raises(RuntimeError, match="the callback of the panel called exit"):
        move(p, 2, gain=1)
    assert (p.frame["error"], p.frame["number"]) == ("SystemExit: 3", 2)
    move(p, 3, gain=0.2)
    assert (p.frame["error"], p.text) == ("", "square: 0.200")
    with pytest.raises(SystemExit):
        p.set(gain=1)


TALK = """
const heard = {}, model = {
  values: {
    controls: [], live: true, offline: OFFLINE, grid: {}, frame: { client: "", number: 0, values: { g: 1 }, error: "" },
  },
  get(name) { return this.values[name]; }, on(event, f) { heard[event] = f; }, send(message) { this.sent = message; },
};
const c = new Conductor(model), said = () => c.status()[1];
const answer = (error) => {
  model.values.frame = { client: c.client, number: c.number, values: c.values, error }; heard["change:frame"]();
};
const told = [said()];
c.move({ g: 2 }, true); c.lost(); told.push(said());  // silence: busy, or gone
answer("ZeroDivisionError: no"); told.push(said());
c.move({ g: 3 }, true); answer(""); told.push(said());
c.stop(); console.log(JSON.stringify(told));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js to run the panel's own script")
@pytest.mark.parametrize("offline", [False, True])
def test_the_panel_does_not_say_what_it_cannot_know(offline, tmp_path):
    script = (ROOT / "toysup" / "panel.js").read_text(encoding="utf-8") + TALK.replace("OFFLINE", json.dumps(offline))
    (tmp_path / "talk.mjs").write_text(script, encoding="utf-8")
    done = subprocess.run(["node", str(tmp_path / "talk.mjs")], capture_output=True, text=True, timeout=60, check=True)
    first, silent, failed, last = json.loads(done.stdout)
    if offline:
        assert (first, silent) == ("precomputed", "there is no kernel here: the picture has not followed")
        return
    assert (first, last) == ("computed here", "computed here")
    assert silent == "no answer yet: the kernel is busy, or gone; the picture has not followed"
    assert failed == "not computed: the picture has not followed"


def test_an_interrupt_reaches_the_browser_too():
    def slow(gain):
        if gain > 0.5:
            raise KeyboardInterrupt
        return draw(gain)

    p = Panel(slow, gain=Slider(0, 1, 0.5, steps=10))
    with pytest.raises(KeyboardInterrupt):
        move(p, 2, gain=1)
    assert (p.frame["error"], p.frame["number"]) == ("KeyboardInterrupt", 2)


def test_the_first_drawing_raises_as_it_is():
    with pytest.raises(ZeroDivisionError):
        Panel(lambda gain: 1 / gain, gain=Slider(0, 1, 0))


@pytest.mark.parametrize("result", [None, "text", ([], "text"), (Plot("a", Bars([1])), 3), ([Bars([1])], "text")])
def test_a_callback_that_returns_something_else_is_told_what_to_return(result):
    with pytest.raises(TypeError, match=r"draw must return \(plots, text\)"):
        Panel(lambda gain: result, gain=Slider(0, 1, 0))


@pytest.mark.parametrize(
    "controls", [{}, {"other": Slider(0, 1, 0)}, {"gain": Slider(0, 1, 0), "third": Slider(0, 1, 0)}]
)
def test_controls_must_match_the_parameters(controls):
    with pytest.raises(ValueError, match="must match the parameters of draw"):
        Panel(draw, **controls)


def test_what_is_no_control_is_refused():
    with pytest.raises(TypeError, match="gain must be a Slider or a Choice, got float"):
        Panel(draw, gain=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slider(1, 0, 0), "low must be below high"),
        (lambda: Slider(0, math.nan, 0), "low must be below high"),
        (lambda: Slider(0, 1, 2, label="g"), r"Slider 'g' must be a number in \[0, 1\], got 2"),
        (lambda: Slider(0, 1, 0, log=True), "needs low > 0"),
        (lambda: Slider(1, 2, 1, log=True, step=0.1), "takes steps"),
        (lambda: Slider(0, 1, 0, step=0.1, steps=3), "step or steps, not both"),
        (lambda: Slider(0, 1, 0, step=0), "step must lie in"),
        (lambda: Slider(0, 1, 0, step=2), "step must lie in"),
        (lambda: Slider(0, 1, 0, steps=0), "steps must be a whole number"),
        (lambda: Slider(0, 1, 0, step=0.001, digits=1), "cannot tell steps"),
        (lambda: Slider(1, 9, 2.5, step=1), "must be a whole number"),
        (lambda: Choice(["a"]), "at least two different"),
        (lambda: Choice("ab"), "at least two different"),
        (lambda: Choice(["a", "b"], "c", "kind"), "Choice 'kind' must be one of"),
    ],
)
def test_controls_that_make_no_sense_say_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_whole_sliders_give_int_and_digits_follow_the_step():
    seen = []

    def note(n):
        seen.append(n)
        return Plot("n", Bars([n])), f"{n}"

    Panel(note, n=Slider(1, 20, 5, step=1)).set(n=7.0)
    assert seen == [5, 7]
    assert all(type(n) is int for n in seen)
    assert [Slider(0, 1, 0, step=s).digits for s in (0.5, 0.01, 0.0025)] == [1, 2, 4]
    assert Slider(0, 0.99, 0, step=0.01).steps == 99
    assert Slider(0.001, 1, 0.1, log=True).digits == 2


def test_numbers_are_options_too():
    seen = []

    def note(m):
        seen.append(m)
        return Plot("m", Bars([m])), f"{m}"

    p = Panel(note, m=Choice([1, 2, 5], 2))
    move(p, m="5")
    p.set(m=1)
    assert seen == [2, 5, 1]
    assert p.frame["values"] == {"m": "1"}


def state(p, *index):
    """The baked state at a place of the grid, found as the browser finds it."""
    place = 0
    for i, axis in zip(index, p.grid["axes"], strict=True):
        place = place * len(axis["values"]) + i
    found = p.grid["states"][place]
    data = p.grid["data"][4 * found["at"] : 4 * (found["at"] + found["size"])]
    return p.grid["structures"][found["structure"]], data, found["text"]


def test_each_baked_state_is_what_set_gives():
    p = panel()
    assert p.bake(kind=["square", "refuse"], gain=np.array([0.5, 0.0, 0.25])) is p
    assert p.values == {"gain": 0.5, "kind": "square"}
    assert [(a["name"], a["values"]) for a in p.grid["axes"]] == [
        ("gain", [0.0, 0.25, 0.5]),
        ("kind", ["square", "refuse"]),
    ]
    assert len(p.grid["structures"]) == 3  # the automatic colour limit of the matrix differs by gain
    for (i, gain), (j, kind) in itertools.product(enumerate([0.0, 0.25, 0.5]), enumerate(["square", "refuse"])):
        structure, data, text = state(p, i, j)
        assert p.set(gain=gain, kind=kind) == text
        assert (json.loads(json.dumps(p.frame["plots"])), p.frame["data"]) == (structure, data)


def test_bake_refuses_what_it_cannot_hold():
    p = panel()
    for axes, message in [
        ({}, "name at least one of gain, kind"),
        ({"other": [1]}, "other is not a control"),
        ({"gain": [2.0]}, "gain must be a number"),
        ({"gain": []}, "at least one value"),
        ({"gain": 0.5}, r"bake: gain needs a sequence of values, such as \[0.5\]; got 0.5"),
        ({"kind": "square"}, r"bake: kind needs a sequence of values, such as \['square'\]; got 'square'"),
        ({"gain": np.linspace(0, 1, 30_000)}, "30000 states are too many"),
    ]:
        with pytest.raises(ValueError, match=message):
            p.bake(**axes)
    with pytest.raises(ArithmeticError):
        p.bake(kind=["refuse"], gain=[0.9])
    assert p.grid == {}


@given(st.floats(0, 1))
def test_any_value_in_the_range_is_accepted_exactly(gain):
    p = PANEL
    p.set(gain=gain)
    assert p.values["gain"] == gain


PANEL = panel()


def test_a_notebook_stores_a_small_picture_and_the_line():
    data, _ = panel()._repr_mimebundle_()
    assert data["text/plain"] == "Panel: square: 0.500"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert len(base64.b64decode(data["image/png"])) < 25_000


def test_the_page_holds_all_and_asks_for_nothing(tmp_path):
    p = panel()
    with pytest.raises(ValueError, match=r"call bake\(\.\.\.\) before"):
        p.save_html(tmp_path / "page.html")
    p.bake(gain=[0, 0.5, 1]).save_html(tmp_path / "page.html", title="a </script><!-- title")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert text.count("</script>") == 2
    state = json.loads(re.search(r'id="state">(.*?)</script>', text, re.DOTALL)[1])["state"]
    assert base64.b64decode(state["grid"]["data"]["base64"]) == p.grid["data"]
    assert '<img alt="square: 0.500"' in text


CELLS = """\
import numpy as np
from toysup.marks import Bars, Plot
from toysup.panel import Panel, Slider
from toysup.plots import show
def draw(gain):
    loss = 0.125 * gain ** 2
    return Plot("loss", Bars([loss])), f"gain {gain:.2f}: loss {loss:.4f}"
# %%
panel = Panel(draw, gain=Slider(0.0, 1.0, 0.5, step=0.01))
panel
# %%
print(panel.set(gain=0.8))
# %%
show(Plot("loss", Bars([0.08])), "loss 0.0800")
"""


@pytest.mark.slow
def test_strict_nbval_is_green_without_widget_views_and_red_when_the_mathematics_changes(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("# %%\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False).execute()
    assert notebook.cells[1].outputs[0].data["text/plain"] == "Panel: gain 0.50: loss 0.0312"
    assert notebook.cells[2].outputs[0].text == "gain 0.80: loss 0.0800\n"
    assert [(o.output_type, o.get("text")) for o in notebook.cells[3].outputs] == [
        ("display_data", None),
        ("stream", "loss 0.0800\n"),
    ]
    nbformat.write(notebook, tmp_path / "whole.ipynb")
    for output in (o for cell in notebook.cells for o in cell.outputs if "data" in o):
        output.data.pop("application/vnd.jupyter.widget-view+json", None)
    nbformat.write(notebook, tmp_path / "stripped.ipynb")
    notebook.cells[0].source = notebook.cells[0].source.replace("0.125", "0.126")
    nbformat.write(notebook, tmp_path / "changed.ipynb")

    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        "--junitxml=r.xml",
    ]
    done = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    cases = ET.parse(tmp_path / "r.xml").iter("testcase")
    failed = [
        (c.get("classname"), c.get("name"))
        for c in cases
        if c.find("failure") is not None or c.find("error") is not None
    ]
    assert {name for name, _ in failed} == {"changed.ipynb"}, done.stdout
    assert len(failed) == 2, done.stdout  # the panel's own line, and the printed one
    assert "11 passed" not in done.stdout
    assert "10 passed" in done.stdout
