"""The browser of latents, from Python: what it packs, what it says, what it escapes."""

import html.parser

import numpy as np
import pytest
from made_latents import TEXT, made

from toysup.language.dashboard import Dashboard, pack
from toysup.language.features import TOP

TYPES = {"u1": np.uint8, "i1": np.int8, "u2": np.uint16, "u4": np.uint32, "f4": np.float32}


def unpacked(head, data):
    for name, place in head["arrays"].items():
        many = int(np.prod(place["shape"]))
        assert place["at"] % 4 == 0
        yield name, np.frombuffer(data, TYPES[place["type"]], many, place["at"]).reshape(place["shape"])


def test_what_is_packed_comes_out_again():
    f = made()
    head, data = pack(f)
    found = dict(unpacked(head, data))
    assert np.allclose(found["density"], f.density)
    assert (found["ids"] == f.seen.ids).all()
    assert [head["statements"][k] for k in found["statement"]] == list(f.statement)
    share = f.snippets.activation / np.maximum(f.maximum, 1)[:, None, None]
    assert np.abs(found["activation"] / 255 - share).max() < 1 / 255
    rebuilt = found["change"] / 127 * found["largest"][:, None, None]
    assert np.abs(rebuilt - f.snippets.effect).max() < 1 / 127
    assert (found["upValue"][:, :-1] >= found["upValue"][:, 1:]).all()
    assert (found["downValue"][:, :-1] <= found["downValue"][:, 1:]).all()
    on = found["shown"] > 0
    assert (found["start"] + found["peak"])[on].tolist() == f.seen.at[f.inputs[on]].tolist()
    for name, pair in (("correlated", f.neurons), ("partner", f.partners)):
        assert np.allclose(found[f"{name}Value"], pair.value)
        assert np.allclose(found[f"{name}Cosine"], pair.cosine)
    assert np.allclose(found["consistency"], f.consistency)
    assert not {"partner", "partnerCosine"} & pack(made(partner=False))[0]["arrays"].keys()


def test_a_weak_activation_is_not_packed_as_none():
    f = made()
    f.snippets.activation[0, 0, 1] = 1e-6
    assert dict(unpacked(*pack(f)))["activation"][0, 0, 1] == 1


def tops(f, k):
    """The pieces of text that a latent's top activations show."""
    length = f.snippets.activation.shape[2]
    return [TEXT[at : at + length] for at in f.snippets.start[k, :TOP][f.inputs[k, :TOP] >= 0]]


def test_lines_counts_and_search():
    board = Dashboard(made())
    assert board.selected == 0
    assert board.counts() == "12 latents: 11 alive, 1 dead, 0 below a density of 0.0001, on 256 characters"
    assert board.line(5) == "latent 5: dead on 256 characters"
    assert board.line(3).startswith("latent 3: ‘<b>3</b>’ in </script> (score 0.75), fires on 4.00 % of characters")
    assert board.find("dead") == [5]
    assert board.find("#3") == [3]
    assert board.find("<B>1") == [1, 10, 11]
    assert board.find("dead #3") == []
    assert board.find("in:alert(1)") == [k for k in range(12) if any("alert(1)" in t for t in tops(board.features, k))]
    assert 0 < len(board.find("in:alert(1)")) < 12
    assert board.find("in:ALERT(1)") == []
    letters = board.line(3).split("pushes ")[1].split(" up,")[0].replace("⏎", "")
    assert 3 in board.find(f"up:{letters.replace(' ', '')}")
    assert board.select(7) == board.line(7)
    assert board.selected == 7


@pytest.mark.parametrize("latent", [-1, 12, 1.5, True, "3", None])
def test_a_latent_that_does_not_exist_is_refused(latent):
    board = Dashboard(made())
    with pytest.raises(ValueError, match="latent must be a whole number from 0 to 11"):
        board.select(latent)


class Tags(html.parser.HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_a_card_escapes_text_and_carries_its_line():
    card = Dashboard(made()).card(3)
    seen = Tags()
    seen.feed(card.html)
    assert seen.tags == {"div", "p", "b", "table", "tr", "th", "td", "code", "span"}
    assert "<script>alert(1)" in seen.text
    for part in ("neuron alignment", "% of L1", "correlated neurons", "cosine", "second model", "positive logits"):
        assert part in seen.text
    assert repr(card) == card.text == Dashboard(made()).line(3)
    assert card._repr_html_() == card.html
    assert len(card.html) < 12_000
    assert "rgba" not in Dashboard(made()).card(5).html


def test_a_notebook_gets_a_widget_a_card_and_a_line():
    board = Dashboard(made(), 3)
    data, _ = board._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/html"] == board.card(3).html
    assert data["text/plain"] == f"Dashboard: {board.counts()}"


def test_the_page_is_whole_and_asks_for_nothing(tmp_path):
    file = tmp_path / "latents.html"
    Dashboard(made()).save_html(file, title="<i>All</i>")
    text = file.read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert "<i>" not in text
    assert "<img src=x" not in text.split('id="state">')[0]
    assert 'src="http' not in text
    assert TEXT not in text
