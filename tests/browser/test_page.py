"""A panel on a page of its own: no kernel, no server, no network."""

import json

import numpy as np
import pytest

from toysup.marks import Arrows, Bars, Curves, Heat, Plot
from toysup.panel import Choice, Panel, Slider

from .conftest import axe, opened


def draw(angle, kind):
    a = np.deg2rad(angle + 90 * np.arange(4))
    W = np.stack([np.cos(a), np.sin(a)])
    x = np.linspace(0, 1, 9)
    plots = [
        Plot("W", Arrows(W, limit=1.4)),
        Plot("WᵀW", Heat(W.T @ W, limit=1)),
        Plot("columns", Bars(W[0], limits=(-1, 1))),
        Plot("curve", Curves(x, x * angle, limits_y=(0, 90))),
        Plot("nameless twins", Arrows(np.ones((2, 3)), labels=[""] * 3)),
    ]
    return plots, f"angle {angle:.0f}, {kind}"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    panel = Panel(
        draw, angle=Slider(0, 90, 30, label="angle", step=1, unit="°"), kind=Choice(["plain", "fancy"], label="kind")
    )
    path = tmp_path_factory.mktemp("page") / "panel.html"
    panel.bake(angle=range(0, 91, 10), kind=["plain", "fancy"]).save_html(path, title="Four directions")
    return path.as_uri()


def line(page, text, badge):
    page.wait_for_function(
        """([text, badge]) => document.querySelector('.toysup-text')?.textContent === text
             && document.querySelector('.toysup-badge').textContent === badge""",
        arg=[text, badge],
    )


def test_the_slider_moves_the_picture_without_a_kernel(page, address):
    page.goto(address)
    line(page, "angle 30, plain", "precomputed")
    assert (
        page.locator(".toysup-plot").last.locator("svg text").count() == 0
    )  # no commas between names that are not there
    before = page.locator(".toysup-plots").inner_html()
    slider = page.get_by_label("angle", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    line(page, "angle 30, plain", "precomputed at angle 30 °, kind plain")
    assert slider.get_attribute("aria-valuetext") == "31 °"
    page.keyboard.press("PageUp")
    line(page, "angle 40, plain", "precomputed")
    page.get_by_label("angle, exact value").fill("50")
    page.keyboard.press("Enter")
    line(page, "angle 50, plain", "precomputed")
    page.get_by_label("kind").select_option("fancy")
    line(page, "angle 50, fancy", "precomputed")
    assert page.locator(".toysup-plots").inner_html() != before
    arrow = page.locator("line.toysup-c0").first
    x1, x2, y1, y2 = (float(arrow.get_attribute(name)) for name in ("x1", "x2", "y1", "y2"))
    assert abs(np.rad2deg(np.arctan2(y1 - y2, x2 - x1)) - 50) < 0.1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_objects_to_nothing(browser, address, scheme, width):
    with opened(browser, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        line(page, "angle 30, plain", "precomputed")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.trouble == []


def test_moving_shifts_nothing_on_the_page(page, address):
    page.goto(address)
    line(page, "angle 30, plain", "precomputed")
    boxes = """JSON.stringify([...document.querySelectorAll('.toysup-panel, .toysup-plot, .toysup-foot')]
      .map((e) => e.getBoundingClientRect()))"""
    before = json.loads(page.evaluate(boxes))
    page.get_by_label("angle", exact=True).focus()
    for key in ("End", "Home", "PageUp"):
        page.keyboard.press(key)
        assert json.loads(page.evaluate(boxes)) == before


def test_without_scripts_there_is_a_picture_and_the_line(browser, address):
    with opened(browser, java_script_enabled=False) as page:
        page.goto(address)
        image = page.get_by_alt_text("angle 30, plain")
        image.wait_for()
        assert image.bounding_box()["width"] > 200
