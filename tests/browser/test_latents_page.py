"""The browser of latents as a page of its own: no kernel, no network, by hand and by keyboard, 4,096 latents."""

import nbformat
import pytest
from made_latents import made

from toysup.language.dashboard import Dashboard

from .conftest import ROOT, axe, opened, run_all

MANY = 4096
PRESS = """(keys) => {
  const list = document.querySelector('.td-list'), times = [];
  for (const key of keys) {
    const start = performance.now();
    list.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    list.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}"""
SCROLL = """() => new Promise((done) => {
  const list = document.querySelector('.td-list'), times = [];
  let step = 0, last = performance.now(), most = 0;
  const frame = (now) => {
    times.push(now - last); last = now;
    most = Math.max(most, list.querySelectorAll('.td-row').length);
    const box = list.getBoundingClientRect();
    const rows = [...list.querySelectorAll('.td-row')].map((row) => row.getBoundingClientRect());
    if (step > 1 && !rows.some((r) => r.top <= box.top + 40 && r.bottom >= box.top + 1)) return done({ hole: step });
    if (++step > 40) return done({ rows: most, frame: times.sort((a, b) => a - b)[20] });
    list.scrollTop = (step / 40) * list.scrollHeight;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("dashboard") / "few.html"
    Dashboard(made(40)).save_html(path)
    return path.as_uri()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("dashboard") / "many.html"
    Dashboard(made(MANY)).save_html(path)
    return path.as_uri()


def heading(page, text):
    page.wait_for_function("(text) => document.querySelector('.td-detail h2')?.textContent === text", arg=text)


def rows(page):
    return page.locator(".td-row > :first-child").all_inner_texts()


def test_search_and_sort_and_their_counts_agree_with_python(page, address):
    board = Dashboard(made(40))
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    assert page.locator(".td-counts").inner_text() == board.counts()
    search, status = page.get_by_label("search"), page.get_by_role("status")
    for words in ("<b>3", "dead", "#7", "alive up:<", "up:st", "in:alert(1) <b>1", "in:ALERT", "in:⏎ DEAD"):
        search.fill(words)
        wanted = board.find(words)
        assert status.inner_text() == (f"{len(wanted)} of 40 shown" if wanted else "no latent matches")
        assert sorted(int(text[1:]) for text in rows(page)) == wanted
    search.fill("nothing like it")
    assert status.inner_text() == "no latent matches"
    assert page.get_by_role("listbox").count() == 0
    search.fill("")
    page.get_by_label("sort by").select_option("number")
    page.get_by_role("button", name="reversed").click()
    assert rows(page)[0] == "#39"
    page.get_by_label("sort by").select_option("density")
    assert rows(page)[0] == "#5"  # the one that is dead


def test_in_random_order_every_latent_comes_once_and_no_score_leads(page, address):
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    page.locator(".td-list").evaluate("list => { list.style.height = '1400px'; list.style.maxHeight = 'none'; }")
    order = {}
    for way in ("score", "number", "random"):
        page.get_by_label("sort by").select_option(way)
        order[way] = rows(page)
    assert sorted(order["random"]) == sorted(order["number"])
    assert len(order["random"]) == 40
    assert order["random"] not in (order["score"], order["number"])
    steps = [abs(int(a[1:]) - int(b[1:])) for a, b in zip(order["random"], order["random"][1:], strict=False)]
    assert sum(step == 1 for step in steps) < 8
    page.get_by_role("button", name="reversed").click()
    assert rows(page) == order["random"][::-1]


def test_text_of_the_corpus_is_text(page, address):
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    assert page.locator(".td-detail :is(script, img, b)").count() == 0
    line = page.locator(".td-examples .td-text").first
    assert len(line.locator("span").all()) == 31
    peak = line.locator(".td-peak")
    peak.hover()
    told = page.locator(".td-told").first.inner_text()
    assert told.startswith(f"‘{peak.inner_text()}’: activation 2.00, effect")
    assert "‘" in page.locator(".td-detail h2").inner_text()


def test_a_keyboard_is_enough(page, address):
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    page.get_by_label("search").focus()
    page.keyboard.press("ArrowDown")
    for key, latent in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 39), ("Home", 0)):
        page.keyboard.press(key)
        heading(page, f"Latent {latent}: ‘<b>{latent}</b>’ in </script>")
        chosen = page.locator(f"#{page.locator('.td-list').get_attribute('aria-activedescendant')}")
        assert chosen.get_attribute("aria-selected") == "true"
        assert chosen.inner_text().startswith(f"#{latent}\n")
    page.keyboard.press("PageDown")
    assert page.locator(".td-detail h2").inner_text() != "Latent 0: ‘<b>0</b>’ in </script>"


def test_examples_are_read_by_keyboard(page, address):
    """Every number that the pointer finds is found by arrow keys: they begin at the peak, and stay inside."""
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    block, told = page.locator(".td-examples").first, page.locator(".td-told").first
    assert told.inner_text() == ""
    block.focus()
    for key, told_of in (("ArrowRight", "activation 2.00"), ("ArrowRight", "effect +0.200"), ("ArrowLeft", "2.00")):
        page.keyboard.press(key)
        assert told_of in told.inner_text()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert block.locator(".td-here").count() == 1
    assert block.locator("li").first.locator("span").first.get_attribute("class") == "td-here"
    page.keyboard.press("ArrowDown")
    assert block.locator("li").nth(1).locator(".td-here").count() == 1
    assert page.locator(".td-detail h2").inner_text() == "Latent 0: ‘<b>0</b>’ in </script>"
    page.keyboard.press("Tab")
    assert told.inner_text() == ""


PARTS = (
    "Neuron alignment",
    "Correlated neurons",
    "Correlated latents of a second model",
    "Negative logits",
    "Positive logits",
    "Activations (density 1.00 %)",
    "Top activations",
    "Subsample intervals",
    "Held at its maximum, the model writes",
)


def test_everything_is_there_that_the_published_browser_shows(page, address):
    """Bricken et al. 2023, the feature browser; the guide opens by keyboard and explains every part."""
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    assert tuple(page.locator(".td-detail h3").all_inner_texts()) == PARTS
    assert page.locator(".td-detail th").all_inner_texts() == [
        "neuron", "coefficient", "% of L1", "neuron", "Pearson", "cosine", "latent", "Pearson", "cosine"
    ]  # fmt: skip
    assert "token max act 2.00, of 256 characters" in page.locator(".td-detail").inner_text()
    assert page.locator(".td-facts dt").all_inner_texts() == [
        "density", "score", "maximum", "mean ablation effect", "consistent activation"
    ]  # fmt: skip
    guide = page.locator(".td-guide")
    assert not guide.locator("dl").is_visible()
    guide.locator("summary").focus()
    page.keyboard.press("Enter")
    assert guide.locator("dl").is_visible()
    assert guide.locator("dt").count() > 10
    page.get_by_label("sort by").select_option("consistency")
    assert rows(page)[:3] == ["#4", "#9", "#14"]


def test_underlines_can_be_taken_away(page, address):
    page.goto(address)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    colours = """() => [...document.querySelectorAll('.td-examples [data-told]')]
      .filter((span) => getComputedStyle(span).borderBottomColor !== 'rgba(0, 0, 0, 0)').length"""
    assert page.evaluate(colours) > 0
    page.get_by_label("underline").select_option("none")
    assert page.evaluate(colours) == 0
    page.keyboard.press("Tab")
    page.get_by_role("option", name="#3 ").click()
    heading(page, "Latent 3: ‘<b>3</b>’ in </script>")
    assert page.evaluate(colours) == 0
    page.get_by_label("underline").select_option("effect")
    assert page.evaluate(colours) > 0


def test_a_click_shows_a_latent_and_a_dead_one_says_so(page, address):
    page.goto(address)
    page.get_by_role("option", name="#3 ").click()
    heading(page, "Latent 3: ‘<b>3</b>’ in </script>")
    page.get_by_role("option", name="#5 dead").click()
    heading(page, "Latent 5: dead")
    assert page.locator(".td-examples").count() == 0


def test_four_thousand_latents_do_not_lag(page, large):
    """Few rows at a time, none missing while it scrolls, and a key answered within two frames' time."""
    page.goto(large)
    heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
    assert page.get_by_role("status").inner_text() == "4096 of 4096 shown"
    seen = page.evaluate(SCROLL)
    assert seen.get("hole") is None
    assert seen["rows"] < 60
    took = page.evaluate(PRESS, ["ArrowDown"] * 10 + ["End", "ArrowUp", "PageUp", "Home"] * 3)
    print(f"\nkey to layout {took:.1f} ms, frame {seen['frame']:.1f} ms")
    assert took < 50
    page.locator(".td-list").focus()
    page.keyboard.press("End")
    heading(page, f"Latent {MANY - 1}: ‘<b>{MANY - 1}</b>’ in </script>")
    page.get_by_label("search").fill("<b>409")
    assert page.get_by_role("status").inner_text() == f"{len(Dashboard(made(MANY)).find('<b>409'))} of 4096 shown"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_objects_to_nothing(browser, address, scheme, width):
    with opened(browser, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        heading(page, "Latent 0: ‘<b>0</b>’ in </script>")
        assert axe(page) == []
        page.get_by_label("search").fill("nothing like it")
        assert axe(page) == []
        assert page.trouble == []


CELLS = f"""\
import sys
sys.path.append({str(ROOT / "tests")!r})
from made_latents import made
from toysup.language.dashboard import Dashboard
# %%
board = Dashboard(made(300))
board
# %%
print(board.select(7))
# %%
board.card(3)
"""


def test_in_lab_hand_and_kernel_choose_the_same_latent(browser, lab, workplace):
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("# %%\n")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), workplace / "latents.ipynb")
    with opened(browser) as page:
        run_all(page, lab, "latents.ipynb")
        heading(page, "Latent 7: ‘<b>7</b>’ in </script>")
        page.locator(".td-list").focus()
        page.keyboard.press("ArrowDown")  # which Lab would take for a move to the next cell
        heading(page, "Latent 8: ‘<b>8</b>’ in </script>")
        assert axe(page, ".toysup-dashboard") == []
        card = page.locator(".jp-RenderedHTMLCommon", has_text="latent 3:")
        assert card.locator("b").inner_text() == Dashboard(made(300)).line(3)
        assert card.locator("script, img").count() == 0
        assert page.trouble == []
