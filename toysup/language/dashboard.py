"""The browser of latents: search, sort, and everything told about one; in a notebook, and as one file.

    Dashboard(features)                    # with a kernel: the whole browser
    Dashboard(features).card(12)           # one latent as still HTML, small enough to be saved in a notebook
    Dashboard(features).save_html(path)    # the browser as a page that needs neither kernel nor network

Source of what is shown: Bricken et al. 2023, the feature browser.
"""

from __future__ import annotations

import html
import pathlib

import anywidget
import numpy as np
import traitlets

from toysup import page, plots
from toysup.autoencoder.metrics import ULTRALOW
from toysup.language.features import EACH, INTERVALS, ODDS, TOP, Features, mode_name, strongest
from toysup.language.predicates import quoted
from toysup.marks import Plot, Points

_HERE = pathlib.Path(__file__).parent
SHOWN = 8  # characters with the largest and with the smallest logit weights
_LEVELS = 5  # of colour in a card, few, so that its text is the same on every machine


class Dashboard(anywidget.AnyWidget):
    """All latents of a dictionary, to be searched, sorted and looked at.

    features: as from `describe`. latent: the one shown first; default the one with the best score. name: what the
    latents are called in the heading. Raises ValueError for a latent that does not exist.
    """

    _esm = (_HERE / "dashboard.js").read_text(encoding="utf-8")
    _css = (_HERE / "dashboard.css").read_text(encoding="utf-8")
    head = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    selected = traitlets.Int().tag(sync=True)

    def __init__(self, features: Features, latent: int | None = None, *, name: str = "latents"):
        self.features = features
        latent = int(np.argmax(features.score)) if latent is None else self._checked(latent)
        head, data = pack(features)
        super().__init__(head=head | {"name": name}, data=data, selected=latent)

    def select(self, latent: int) -> str:
        """Show a latent, as a click on its row does, and return its line."""
        self.selected = self._checked(latent)
        return self.line(latent)

    def line(self, latent: int) -> str:
        """One latent in one line."""
        f, k = self.features, self._checked(latent)
        up = "".join(quoted(f.seen.alphabet[c])[1:-1] for c in strongest(f.logits[k : k + 1], 5).which[0])
        if f.density[k] == 0:
            return f"latent {k}: dead on {len(f.seen.h)} characters"
        return (
            f"latent {k}: {f.statement[k]} (score {f.score[k]:.2f}), fires on {100 * f.density[k]:.2f} % "
            f"of characters, pushes {up} up, effect {f.effect[k]:+.3f} nats"
        )

    def find(self, words: str) -> list[int]:
        """Latents that the search field lists for these words, by number.

        All words must hit: `dna` in what is said of a latent, `dead` or `alive`, `#12` its number, `up:acgt` characters
        that are all among those it pushes up most, `in:gatt` a piece of one of its top activations. Upper and lower
        case are the same, but after `in:`.
        """
        found, tops = enumerate(self.head["search"]), (lambda k: _tops(self.features, k))
        return [k for k, text in found if all(_hit(word, k, text, tops) for word in words.split())]

    def counts(self) -> str:
        """How many latents are alive, dead, and of ultra-low density, in one line."""
        return "{name}: {alive} alive, {dead} dead, {low} below a density of 0.0001, on {inputs} characters".format(
            **self.head["counts"], name=f"{self.features.latents} {self.head['name']}"
        )

    def card(self, latent: int) -> Card:
        """One latent as still HTML and a line of text."""
        return Card(_card(self.features, self._checked(latent), self.line(latent)), self.line(latent))

    def save_html(self, path, *, title: str = "Latents of a small language model") -> None:
        """Write one page that holds the whole browser and needs neither kernel nor network."""
        state = {"head": self.head, "data": self.data, "selected": self.selected}
        picture = plots.png([Plot("density and score of the latents", _cloud(self.features))])
        text = page.html(self._esm, self._css, state, title=title, text=self.counts(), png=picture)
        pathlib.Path(path).write_text(text, encoding="utf-8")

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return {
            **data,
            "text/html": self.card(self.selected).html,
            "text/plain": f"Dashboard: {self.counts()}",
        }, metadata

    def _checked(self, latent) -> int:
        if isinstance(latent, bool) or latent not in range(self.features.latents):
            raise ValueError(f"latent must be a whole number from 0 to {self.features.latents - 1}, got {latent!r}")
        return int(latent)


class Card:
    """A still picture of one latent: HTML for a notebook, and its line of text."""

    def __init__(self, html: str, text: str):
        self.html, self.text = html, text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


# ------------------------------------------------------------------------------------------ packing


def pack(f: Features) -> tuple[dict, bytes]:
    """What the browser needs: a head fit for JSON, and arrays as bytes, one after the other.

    In the head an array is `{"at": first byte, "type": its type, "shape": shape}`. Activations of the examples are
    rounded to 255 parts of a latent's maximum, effects to 127 parts of its largest one.
    """
    statements = sorted(set(f.statement))
    largest = np.abs(f.snippets.effect).max((1, 2), initial=0)
    share = f.snippets.activation / np.maximum(f.maximum, 1e-12)[:, None, None]
    up, down = strongest(f.logits, SHOWN), strongest(-f.logits, SHOWN)
    arrays = {
        "ids": f.seen.ids.astype("<u2"),
        "density": f.density.astype("<f4"),
        "maximum": f.maximum.astype("<f4"),
        "score": f.score.astype("<f4"),
        "effect": f.effect.astype("<f4"),
        "statement": np.array([statements.index(s) for s in f.statement], "<u2"),
        **_pairs("neuron", (f.alignment.neuron, f.alignment.weight)),
        "neuronShare": f.alignment.share.astype("<f4"),
        **_pairs("correlated", f.neurons),
        "correlatedCosine": f.neurons.cosine.astype("<f4"),
        **(_pairs("partner", f.partners) if f.partners else {}),
        **({"partnerCosine": f.partners.cosine.astype("<f4")} if f.partners else {}),
        "consistency": f.consistency.astype("<f4"),
        **_pairs("up", up),
        **_pairs("down", (down.which, -down.value)),
        **(_pairs("mode", f.mode) if f.mode else {}),
        "odds": f.odds.astype("<u4"),
        "share": f.share.astype("<f4"),
        "shown": (f.inputs >= 0).astype("u1"),
        "start": f.snippets.start.astype("<u4"),
        "peak": np.where(f.inputs < 0, 0, f.seen.at[f.inputs] - f.snippets.start).astype("u1"),
        "activation": np.ceil(255 * share).clip(0, 255).astype("u1"),
        "change": np.rint(127 * f.snippets.effect / np.maximum(largest, 1e-12)[:, None, None]).astype("i1"),
        "largest": largest.astype("<f4"),
    }
    places, data = _laid_out(arrays)
    head = {
        "latents": f.latents,
        "alphabet": f.seen.alphabet,
        "arrays": places,
        "statements": statements,
        "search": [_searched(f, k, up.which[k]) for k in range(f.latents)],
        "modes": [mode_name(f, k) for k in range(f.latents)],
        "groups": list(ODDS) if f.mode else ["all"],
        "layout": {"top": TOP, "intervals": INTERVALS, "each": EACH},
        "samples": list(f.sample),
        "prompt": f.prompt,
        "written": f.written,
        "counts": _counts(f),
    }
    return head, data


def _pairs(name: str, found) -> dict:
    which, value = found[:2]
    return {name: which.astype("<u2"), f"{name}Value": value.astype("<f4")}


def _laid_out(arrays) -> tuple[dict, bytes]:
    """Arrays one after the other, each beginning at a multiple of four bytes."""
    places, parts, used = {}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        places[name] = {"at": used, "type": array.dtype.str[1:], "shape": list(array.shape)}
        parts.append(data + b"\0" * (-len(data) % 4))
        used += len(parts[-1])
    return places, b"".join(parts)


def _counts(f: Features) -> dict:
    dead, low = int((f.density == 0).sum()), int(((f.density > 0) & (f.density < ULTRALOW)).sum())
    return {"alive": f.latents - dead, "dead": dead, "low": low, "inputs": len(f.seen.h)}


def _searched(f: Features, k: int, up) -> str:
    """The text in which the search field looks."""
    state = "alive" if f.density[k] > 0 else "dead"
    return f"{f.statement[k]} {mode_name(f, k)} {state} up:{''.join(f.seen.alphabet[c] for c in up)}".lower()


def _tops(f: Features, k: int) -> list[str]:
    """The texts of the top activations of a latent."""
    ends = f.snippets.activation.shape[2]
    starts = f.snippets.start[k, :TOP][f.inputs[k, :TOP] >= 0]
    return [_visible("".join(f.seen.alphabet[c] for c in f.seen.ids[at : at + ends])) for at in starts]


def _hit(word: str, k: int, text: str, tops) -> bool:
    """Whether a word finds a latent: #, up: and in: as `find` says, else any text."""
    if word.startswith("in:"):
        return any(word[3:] in piece for piece in tops(k))
    word = word.lower()
    if word.startswith("#") and word[1:].isdigit():
        return word == f"#{k}"
    if word.startswith("up:"):
        return set(word[3:]) <= set(text.rpartition(" up:")[2])
    return word in text.rpartition(" up:")[0]


# ------------------------------------------------------------------------------------------ still pictures


def _cloud(f: Features) -> Points:
    alive = f.density > 0
    return Points(f.density[alive], f.score[alive], log_x=True, x_label="density", y_label="score")


def _card(f: Features, k: int, line: str) -> str:
    """HTML without scripts or classes, so that it shows wherever a notebook does; all text escaped."""
    say = lambda text: html.escape(text, quote=True)
    rows = [
        ("neuron alignment", ", ".join(_neurons(f, k))),
        ("correlated neurons", _partners(f.neurons, k)),
        ("positive logits", _characters(f, strongest(f.logits[k : k + 1], 5))),
        ("negative logits", _characters(f, strongest(-f.logits[k : k + 1], 5), -1)),
    ]
    if f.partners is not None:
        rows.insert(2, ("second model", _partners(f.partners, k)))
    rows.append(("held at its maximum", _visible(f.sample[k])))
    table = "".join(
        f'<tr><th scope="row" style="text-align:left;padding-right:1em">{say(name)}</th>'
        f'<td style="text-align:left"><code>{say(value)}</code></td></tr>'
        for name, value in rows
    )
    examples = "".join(_example(f, k, j) for j in range(TOP) if f.inputs[k, j] >= 0)
    return (
        f'<div><p style="margin:0"><b>{say(line)}</b></p><table>{table}</table>'
        f'<div style="font-family:monospace;white-space:pre;overflow-x:auto">{examples}</div></div>'
    )


def _neurons(f: Features, k: int):
    for neuron, weight, share in zip(*(part[k] for part in f.alignment), strict=True):
        yield f"{neuron} ({weight:+.2f}, {100 * share:.0f} % of L1)"


def _partners(found, k: int) -> str:
    best = zip(*(part[k] for part in found), strict=True)
    return ", ".join(f"{j} (correlation {v:.2f}, cosine {c:.2f})" for j, v, c in best)


def _characters(f: Features, found, sign: int = 1) -> str:
    pairs = zip(found.which[0], found.value[0], strict=True)
    return ", ".join(f"{quoted(f.seen.alphabet[c])} {sign * v:+.2f}" for c, v in pairs)


def _visible(text: str) -> str:
    return text.replace("\n", "⏎")


def _example(f: Features, k: int, j: int) -> str:
    """One line of text whose characters are shaded by how strongly the latent fires."""
    start, share = int(f.snippets.start[k, j]), f.snippets.activation[k, j] / max(f.maximum[k], 1e-12)
    letters = _visible("".join(f.seen.alphabet[c] for c in f.seen.ids[start : start + len(share)]))
    level = np.ceil(_LEVELS * share - 0.5).clip(0, _LEVELS) / _LEVELS
    parts = [
        f'<span style="background:rgba(213,94,0,{0.55 * v:.2f})">{html.escape(c)}</span>' if v else html.escape(c)
        for c, v in zip(letters, level, strict=True)
    ]
    return f"<div>{''.join(parts)}</div>"
