"""Panels under a hand, in JupyterLab, with a kernel."""

import nbformat
import pytest

from .conftest import ROOT, axe, opened, run_all

CELLS = """\
import pathlib, time
import numpy as np
from toysup.marks import Arrows, Bars, Curves, Heat, Plot, Points
from toysup.panel import Choice, Panel, Slider
def turn(angle, norm):
    if norm > 0.9:
        raise ArithmeticError(f"norm {norm} is too long")
    a = np.deg2rad(angle + 72 * np.arange(5))
    W = norm * np.stack([np.cos(a), np.sin(a)])
    plots = [Plot("W", Arrows(W, limit=1.2)), Plot("WᵀW", Heat(W.T @ W, limit=1)), Plot("norms", Bars(np.hypot(*W)))]
    return plots, f"angle {angle:.0f}, norm {norm:.2f}"
def density(p, kind):
    while not pathlib.Path("free").exists():
        time.sleep(0.02)
    x = np.geomspace(0.001, 1, 30)
    points = Points(x, x**p, groups=np.arange(30) % 2, group_labels=["even", "odd"])
    curves = Curves(x, [x * p, x], labels=["a", "b"], marker=p, log_x=True)
    return [Plot("loss", curves), Plot("big", Heat(np.eye(40) * p, limit=1)), Plot("points", points)], f"{kind} {p:.3g}"
# %%
angle = Slider(0, 90, 10, label="angle", step=1, unit="°")
first = Panel(turn, angle=angle, norm=Slider(0.0, 1.0, 0.5, label="norm", step=0.05))
first
# %%
kinds = Choice(["relu", "linear"], label="readout")
second = Panel(density, live=False, p=Slider(0.001, 1, 0.1, label="density p", log=True, steps=30), kind=kinds)
second.bake(p=[0.001, 0.01, 0.1, 1], kind=["relu", "linear"])
# %%
first
# %%
print(first.set(norm=0.25))
"""


@pytest.fixture(scope="module")
def scratch(browser, lab, workplace):
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("# %%\n")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, workplace / "scratch.ipynb")
    (workplace / "free").touch()
    with opened(browser) as page:
        run_all(page, lab, "scratch.ipynb")
        page.locator(".toysup-panel").nth(2).wait_for()
        yield page
        assert page.trouble == []


def panel(page, index):
    return page.locator(".toysup-panel").nth(index)


def shows(page, index, text, badge="computed here"):
    """Wait until a panel shows a line, without an error, and says where it comes from."""
    page.wait_for_function(
        """([index, text, badge]) => {
          const p = document.querySelectorAll('.toysup-panel')[index], line = p.querySelector('.toysup-text');
          return line.textContent === text && !line.hidden
            && p.querySelector('.toysup-badge').textContent.startsWith(badge);
        }""",
        arg=[index, text, badge],
    )


def picture(page, index):
    return panel(page, index).locator(".toysup-plots").inner_html()


def typed(page, index, name, text):
    twin = panel(page, index).get_by_label(f"{name}, exact value")
    twin.fill(text)
    twin.press("Enter")


def test_the_keyboard_moves_a_slider_its_picture_and_its_line_in_every_view(scratch):
    typed(scratch, 0, "angle", "10")
    typed(scratch, 0, "norm", "0.5")
    shows(scratch, 0, "angle 10, norm 0.50")
    before, same = picture(scratch, 0), picture(scratch, 2)
    slider = panel(scratch, 0).get_by_label("angle", exact=True)
    slider.focus()
    for key, angle in (
        ("ArrowRight", 11),
        ("ArrowRight", 12),
        ("ArrowDown", 11),
        ("PageUp", 20),
        ("End", 90),
        ("Home", 0),
        ("ArrowRight", 1),
    ):
        scratch.keyboard.press(key)
        shows(scratch, 0, f"angle {angle}, norm 0.50")
    shows(scratch, 2, "angle 1, norm 0.50")
    assert picture(scratch, 0) != before
    assert picture(scratch, 2) != same
    assert slider.evaluate("e => e === document.activeElement")
    assert slider.get_attribute("aria-valuetext") == "1 °"
    assert panel(scratch, 2).get_by_label("angle", exact=True).input_value() == "1"
    assert panel(scratch, 0).get_by_role("img").get_attribute("aria-label") == "W, WᵀW, norms. angle 1, norm 0.50"


def test_the_line_drawn_is_the_line_computed(scratch):
    typed(scratch, 0, "angle", "0")
    typed(scratch, 0, "norm", "0.8")
    shows(scratch, 0, "angle 0, norm 0.80")
    arrow = panel(scratch, 0).locator("line.toysup-c0").first
    x1, x2, y1, y2 = (float(arrow.get_attribute(name)) for name in ("x1", "x2", "y1", "y2"))
    radius = float(panel(scratch, 0).locator("circle.toysup-circle").get_attribute("r"))
    assert abs((x2 - x1) / radius - 0.8) < 0.01
    assert y1 == y2
    numbers = panel(scratch, 0).locator(".toysup-number").all_text_contents()
    assert numbers[:3] == ["0.64", "0.20", "−0.52"]


def test_exact_values_are_typed_and_wrong_ones_refused(scratch):
    typed(scratch, 0, "angle", "33")
    typed(scratch, 0, "norm", "0,333")
    shows(scratch, 0, "angle 33, norm 0.33")
    twin = panel(scratch, 0).get_by_label("norm, exact value")
    assert twin.input_value() == "0.333"
    typed(scratch, 0, "norm", "7")
    error = panel(scratch, 0).locator(".toysup-error")
    error.wait_for(state="visible")
    assert error.inner_text() == "norm must be a number in [0.00, 1.00], got 7"
    assert twin.get_attribute("aria-invalid") == "true"
    twin.press("Escape")
    shows(scratch, 0, "angle 33, norm 0.33")
    assert twin.input_value() == "0.333"
    typed(scratch, 0, "angle", "12.5")
    error.wait_for(state="visible")
    assert "whole number" in error.inner_text()
    typed(scratch, 0, "angle", "12")
    shows(scratch, 0, "angle 12, norm 0.33")


def test_an_exception_is_shown_and_the_panel_recovers(scratch):
    typed(scratch, 0, "norm", "0.5")
    typed(scratch, 0, "angle", "5")
    shows(scratch, 0, "angle 5, norm 0.50")
    typed(scratch, 0, "norm", "0.95")
    for index in (0, 2):
        error = panel(scratch, index).locator(".toysup-error")
        error.wait_for(state="visible")
        assert error.inner_text() == "ArithmeticError: norm 0.95 is too long"
        badge = panel(scratch, index).locator(".toysup-badge")
        assert badge.inner_text() == "not computed: the picture has not followed"
    typed(scratch, 0, "norm", "0.6")
    shows(scratch, 0, "angle 5, norm 0.60")
    panel(scratch, 0).locator(".toysup-error").wait_for(state="hidden")


def test_values_set_from_python_move_the_slider(scratch):
    typed(scratch, 0, "angle", "7")
    typed(scratch, 0, "norm", "0.5")
    shows(scratch, 0, "angle 7, norm 0.50")
    scratch.locator(".jp-CodeCell").nth(4).locator(".jp-InputArea-editor").click()
    scratch.keyboard.press("Control+Enter")
    shows(scratch, 0, "angle 7, norm 0.25")
    assert panel(scratch, 0).get_by_label("norm", exact=True).input_value() == "5"
    assert panel(scratch, 0).get_by_label("norm, exact value").input_value() == "0.25"


def test_a_slow_panel_shows_the_grid_while_dragged_and_trains_on_release(scratch):
    typed(scratch, 1, "density p", "0.1")
    slider = panel(scratch, 1).get_by_label("density p", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    scratch.mouse.move(box["x"] + box["width"] * 0.66, middle)
    scratch.mouse.down()
    scratch.mouse.move(box["x"] + box["width"] * 0.39, middle)
    shows(scratch, 1, "relu 0.01", "precomputed at density p 0.01, readout relu")
    scratch.mouse.up()
    value = panel(scratch, 1).get_by_label("density p, exact value").input_value()
    assert value != "0.01"
    shows(scratch, 1, f"relu {float(value):.3g}")
    panel(scratch, 1).get_by_label("readout").select_option("linear")
    shows(scratch, 1, f"linear {float(value):.3g}")


def test_while_the_kernel_is_slow_the_grid_answers_and_the_kernel_later(scratch, workplace):
    typed(scratch, 1, "density p", "0.1")
    panel(scratch, 1).get_by_label("readout").select_option("relu")
    shows(scratch, 1, "relu 0.1")
    (workplace / "free").unlink()
    try:
        typed(scratch, 1, "density p", "0.02")
        shows(scratch, 1, "relu 0.01", "precomputed at density p 0.01, readout relu")
        typed(scratch, 1, "density p", "0.03")
        typed(scratch, 1, "density p", "0.6")
        shows(scratch, 1, "relu 1", "precomputed at density p 1, readout relu")
    finally:
        (workplace / "free").touch()
    shows(scratch, 1, "relu 0.6")


def test_requests_do_not_queue_up_and_the_last_wins(scratch):
    typed(scratch, 0, "norm", "0.5")
    slider = panel(scratch, 0).get_by_label("angle", exact=True)
    slider.focus()
    scratch.keyboard.press("Home")
    shows(scratch, 0, "angle 0, norm 0.50")
    for _ in range(40):
        scratch.keyboard.press("ArrowRight")
    shows(scratch, 0, "angle 40, norm 0.50")


def theme(page, name):
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()
    light = "true" if name.endswith("Light") else "false"
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
    page.locator("#jupyterlab-splash").wait_for(state="detached")


def test_axe_objects_to_nothing_in_light_and_dark(scratch):
    assert axe(scratch, ".toysup-panel") == []
    theme(scratch, "JupyterLab Dark")
    paper = "getComputedStyle(document.querySelector('.toysup-panel')).backgroundColor"
    scratch.wait_for_function(f"() => {paper}.match(/\\d+/g).slice(0, 3).every((c) => c < 60)")
    assert axe(scratch, ".toysup-panel") == []
    theme(scratch, "JupyterLab Light")


def test_the_founding_notebook_runs_and_its_slider_moves(lab, page):
    assert (ROOT / "notebooks" / "04_superposition.ipynb").is_file(), "notebooks/04_superposition.ipynb is missing"
    run_all(page, lab, "notebooks/04_superposition.ipynb", timeout=300_000)
    first = page.locator(".toysup-panel").first
    first.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.toysup-badge').textContent === 'computed here'")
    before, line = picture(page, 0), first.locator(".toysup-text").inner_text()
    slider = first.locator("input[type=range]").first
    slider.focus()
    key = "ArrowLeft" if slider.input_value() == slider.get_attribute("max") else "ArrowRight"
    page.keyboard.press(key)
    page.wait_for_function(
        """([line, picture]) => {
          const p = document.querySelector('.toysup-panel'), text = p.querySelector('.toysup-text');
          return text.textContent !== line && !text.hidden && p.querySelector('.toysup-plots').innerHTML !== picture
            && p.querySelector('.toysup-badge').textContent === 'computed here';
        }""",
        arg=[line, before],
    )
    assert slider.evaluate("e => e === document.activeElement")
    assert axe(page, ".toysup-panel") == []
