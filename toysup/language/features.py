"""Everything that is told about one latent, for all latents of a dictionary at once.

Source of the list: Bricken et al. 2023, the feature browser and its appendix; what they estimated with proxies and
judges is exact here, or deterministic. Arrays have the latents in front.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import autoencoder, check
from toysup.autoencoder import Autoencoder
from toysup.language import predicates, transformer
from toysup.language.dictionaries import Observed
from toysup.language.modes import MODES
from toysup.language.text import decode, encode
from toysup.language.transformer import Transformer

BINS, INTERVALS, EACH, TOP = 24, 5, 3, 8  # of histograms; of a latent's range; examples in each; top activations
LENGTH, AFTER = 30, 8  # characters of an example, and how many of them follow its peak
ODDS = ("ruled out", "unlikely", "likely", "very likely", "certain")  # of the mode, by its log-odds
_BORDERS = (-np.finfo(float).max, 0.0, 5.0, np.finfo(float).max)


class Strongest(NamedTuple):
    """The largest entries of each row: which, and their values, (latents, many), largest first."""

    which: np.ndarray
    value: np.ndarray


def strongest(table, many: int) -> Strongest:
    """The `many` largest entries of each row of a table (latents, others); fewer where there are no more."""
    table = np.asarray(table)
    which = np.argsort(-table, axis=1, kind="stable")[:, :many]
    return Strongest(which, np.take_along_axis(table, which, axis=1))


class Alignment(NamedTuple):
    """The neurons a latent writes to most: which, their signed coefficients, and shares of Σ|coefficients|."""

    neuron: np.ndarray
    weight: np.ndarray
    share: np.ndarray


def alignment(D, many: int = 3) -> Alignment:
    """The neurons with the largest |coefficients| of each direction: D (latents, neurons) -> (latents, many) each."""
    D = np.asarray(D)
    which, size = strongest(np.abs(D), many)
    total = np.abs(D).sum(1, keepdims=True)
    return Alignment(which, np.take_along_axis(D, which, axis=1), size / np.maximum(total, 1e-12))


class Correlated(NamedTuple):
    """Columns that go best with each latent: which, Pearson's correlation, and the cosine, (latents, many) each."""

    which: np.ndarray
    value: np.ndarray
    cosine: np.ndarray


def correlated(a, others, many: int = 3) -> Correlated:
    """The columns of others (inputs, columns) with the highest correlation with each latent, a (inputs, latents).

    The cosine is not centred: it is high for any two columns that are hardly ever 0. One that is 0 throughout has none.
    """
    a, others = np.asarray(a, np.float32), np.asarray(others, np.float32)
    found = strongest(predicates.correlations(a, others), many)
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    return Correlated(*found, np.take_along_axis(unit(a).T @ unit(others), found.which, axis=1))


def consistency(a, window: int) -> np.ndarray:
    """On how many characters a latent fires in a window in which it fires at all, on average: (latents,), 0 if dead.

    a: (inputs, latents). window: inputs in a window. Near 1 a latent marks single characters, near the window a whole
    passage.
    """
    fires = np.asarray(a) > 0
    windows = fires[: len(fires) // window * window].reshape(-1, window, fires.shape[1]).any(1).sum(0)
    return fires.sum(0) / np.maximum(windows, 1)


# ------------------------------------------------------------------------------------------ against the truth


def best_mode(seen: Observed, a) -> Strongest:
    """The mode whose exact posterior goes best with each latent, and the correlation: (latents, 1) each."""
    return strongest(predicates.correlations(a, posterior(seen)), 1)


def posterior(seen: Observed) -> np.ndarray:
    """P(mode | the line so far) of an ideal reader at each input: (inputs, modes)."""
    return _reading(seen).modes()[seen.at]


def log_odds(seen: Observed) -> np.ndarray:
    """The log-odds of the same, infinite where a mode is certain or ruled out: (inputs, modes)."""
    return _reading(seen).log_odds()[seen.at]


def _reading(seen):
    from toysup.language import corpus

    if seen.truth is None:
        raise ValueError("this text has no posteriors: observe a Corpus")
    return corpus.read(seen.ids)


def histogram(a, groups, many: int, bins: int = BINS) -> np.ndarray:
    """Counts of positive activations in bins of equal width from 0 to each latent's maximum, by group.

    a: (inputs, latents). groups: (inputs, latents) of 0 to many - 1, or (inputs,). Returns (latents, bins, many).
    """
    a = np.asarray(a)
    groups = np.broadcast_to(np.asarray(groups).T, a.T.shape).T
    inputs, latents = np.nonzero(a > 0)
    place = np.ceil(bins * a[inputs, latents] / a.max(0)[latents]).astype(int).clip(1, bins) - 1
    key = (latents * bins + place) * many + groups[inputs, latents]
    return np.bincount(key, minlength=a.shape[1] * bins * many).reshape(-1, bins, many)


# ------------------------------------------------------------------------------------------ ablation


def log_chances(seen: Observed) -> np.ndarray:
    """The model's logits at each input: (inputs, alphabet)."""
    ids = seen.ids[seen.rows[:, :-1]]
    parts = [np.asarray(transformer.forward(seen.model, ids[k : k + 128])) for k in range(0, len(ids), 128)]
    return np.concatenate(parts).reshape(-1, seen.model.size)


def ablation(logits, following, weights, a) -> np.ndarray:
    """What a latent adds to the log-likelihood of the next character: with it, minus with it removed, in nats.

    Nothing reads the neurons but the last, linear step, so the removal of a latent takes exactly a · weights off the
    logits and changes no other character. logits: (inputs, alphabet) of the model. following: (inputs,) next
    characters. weights: (alphabet,) logit weights. a: (inputs,) the latent. Returns (inputs,).
    """
    with_it = np.asarray(logits, np.float64)
    without = with_it - np.asarray(a, np.float64)[:, None] * weights
    return _chosen(with_it, following) - _chosen(without, following)


def effects(seen: Observed, a, weights, *, logits=None) -> np.ndarray:
    """The mean `ablation` of each latent over the inputs on which it fires, in nats; 0 for one that never does.

    a: (inputs, latents). weights: (latents, alphabet) logit weights. logits: as of `log_chances`, where at hand.
    Returns (latents,).
    """
    logits, following = log_chances(seen) if logits is None else logits, seen.ids[seen.rows[:, 1:]].ravel()
    out = np.zeros(len(weights))
    for k, column in enumerate(np.asarray(a).T):
        fires = np.flatnonzero(column > 0)
        if fires.size:
            out[k] = ablation(logits[fires], following[fires], weights[k], column[fires]).mean()
    return out


def _chosen(logits, following):
    top = logits.max(1)
    return logits[np.arange(len(logits)), following] - top - np.log(np.exp(logits - top[:, None]).sum(1))


# ------------------------------------------------------------------------------------------ examples


def intervals(a, many: int = INTERVALS) -> np.ndarray:
    """Equal parts of the range from 0 to the maximum, and the share of firing inputs in each.

    a: (inputs, latents). Returns (latents, many), lowest first; 0 for latents that never fire. Equal in width, not in
    count, as in Bricken et al. 2023: a latent is mostly quiet, and its low range holds most of its firing.
    """
    counts = histogram(a, np.zeros(len(a), int), 1, many)[..., 0]
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def examples(column, window: int, top: int = TOP, many: int = INTERVALS, each: int = EACH) -> np.ndarray:
    """Inputs that show one latent: its largest activations, one of a window, then some of each interval, high to low.

    column: (inputs,) activations. window: inputs in a window. Of an interval the inputs are taken at equal steps of
    their rank. Returns (top + many · each,) inputs, -1 where there are no more.
    """
    column, out = np.asarray(column), np.full((many + 1, max(top, each)), -1)
    fires = np.flatnonzero(column > 0)
    order = fires[np.argsort(-column[fires], kind="stable")]
    if order.size:
        first = np.sort(np.unique(order // window, return_index=True)[1])[:top]
        out[0, : len(first)] = order[first]
        place = np.ceil(many * column[order] / column.max()).astype(int).clip(1, many)
        for k in range(many):
            inside = order[place == many - k]
            chosen = inside[np.unique(np.linspace(0, len(inside) - 1, each).astype(int))] if inside.size else inside
            out[k + 1, : len(chosen)] = chosen
    return np.concatenate([out[0, :top], out[1:, :each].ravel()])


class Snippets(NamedTuple):
    """Pieces of text around inputs; pieces lie inside one window.

    start: (...) place in the text of the first character. activation: (..., length) of the latent at each character.
    effect: (..., length) what the latent added to the log-likelihood of each character, in nats.
    """

    start: np.ndarray
    activation: np.ndarray
    effect: np.ndarray


def snippets(seen: Observed, logits, column, weights, inputs) -> Snippets:
    """The text around inputs (n,) with one latent (inputs,) and its ablation effect; inputs of -1 give zeros."""
    window = seen.rows.shape[1] - 1
    length = min(LENGTH, window)
    begin = inputs // window * window
    first = begin + (inputs - begin - (length - 1 - AFTER)).clip(0, window - length)
    first = np.where(inputs < 0, 0, first)
    inside = first[:, None] + np.arange(length)
    shown = np.where(inputs[:, None] < 0, 0, column[inside])
    before = np.where(inside % window == 0, 0, inside - 1)  # the input that predicts each character
    acts = np.where((inside % window == 0) | (inputs[:, None] < 0), 0, column[before])
    on = acts > 0
    effect = np.zeros(acts.shape)
    effect[on] = ablation(logits[before[on]], seen.ids[seen.at[inside[on]]], weights, acts[on])
    return Snippets(seen.at[first], shown, effect)


# ------------------------------------------------------------------------------------------ sampling


def pinned(model: Transformer, sae: Autoencoder, value, prompt: str, characters: int, alphabet: str, *, key):
    """Let the model write with one latent held at a value, one text for each latent.

    value: (latents,), usually the maxima; everything else that the neurons do stays. prompt: what all begin with.
    Returns a list of texts.
    """
    value = check.numbers("value", value)
    if value.shape != (sae.latents,):
        raise ValueError(f"value must have shape ({sae.latents},), one for each latent; got {value.shape}")
    ids = np.broadcast_to(encode(prompt, alphabet), (sae.latents, len(prompt)))
    arguments = (sae, jnp.asarray(value, jnp.float32))
    out = transformer.sample(model, ids, characters, edit=_hold, arguments=arguments, key=key)
    return [decode(row, alphabet) for row in out]


def _hold(h, sae, value):
    """Activations (latents, neurons) with latent k of row k at its value."""
    now = jnp.diagonal(autoencoder.encode(sae, h))
    return h + (value - now)[:, None] * autoencoder.dictionary(sae)


# ------------------------------------------------------------------------------------------ all of it


@dataclasses.dataclass(frozen=True)
class Features:
    """What is told about the k latents of a dictionary.

    seen: the text it was measured on. density: (k,) share of inputs on which it fires. maximum: (k,). alignment: of
    the directions. neurons: the most correlated ones. partners: the most correlated latents of a second model's
    dictionary, or None. consistency: (k,) characters on which it fires per window in which it does. logits: (k,
    alphabet) exact logit weights. mode: the best mode and the correlation with its posterior, or None where the text
    has no truth. odds: (k, bins, groups) counts of activations by the log-odds of that mode, groups as in ODDS; one
    group without truth. share: (k, intervals). inputs: (k, examples) inputs shown,
    -1 for none. snippets: of those. effect: (k,) mean effect over all inputs on which it fires, in nats. statement:
    the best of the closed set, score: (k,) its rank correlation on windows it was not chosen on. sample: (k,) texts
    written with the latent held at its maximum; prompt: what they began with. written: a text without.
    """

    seen: Observed
    density: np.ndarray
    maximum: np.ndarray
    alignment: Alignment
    neurons: Correlated
    partners: Correlated | None
    consistency: np.ndarray
    logits: np.ndarray
    mode: Strongest | None
    odds: np.ndarray
    share: np.ndarray
    inputs: np.ndarray
    snippets: Snippets
    effect: np.ndarray
    statement: tuple[str, ...]
    score: np.ndarray
    sample: tuple[str, ...]
    prompt: str
    written: str

    @property
    def latents(self) -> int:
        """How many there are."""
        return len(self.density)


def describe(
    seen: Observed, sae: Autoencoder, other=None, *, prompt: str = "\n", characters: int = 40, key
) -> Features:
    """Measure all that is told about the latents of a dictionary.

    seen: a text as the model sees it. sae: the dictionary of its neurons. other: (Observed, Autoencoder) of a second
    model on the same text, to find its correlated features, or None. prompt, characters: of the pinned samples.
    key: for them, the only chance there is.
    """
    a = np.asarray(autoencoder.encode(sae, seen.h), np.float32)
    D = np.asarray(autoencoder.dictionary(sae))
    known = predicates.predicates(seen)
    meaning = predicates.interpret(seen, a, known)
    weights = np.asarray(transformer.logit_weights(seen.model, D))
    logits, mode = log_chances(seen), None
    groups, many = np.zeros(len(a), int), 1
    if seen.truth is not None:
        mode, many = best_mode(seen, a), len(ODDS)
        groups = np.digitize(log_odds(seen), _BORDERS)[:, mode.which[:, 0]]
    columns = np.ascontiguousarray(a.T)
    shown = np.stack([examples(column, seen.rows.shape[1] - 1) for column in columns])
    pieces = [snippets(seen, logits, *each) for each in zip(columns, weights, shown, strict=True)]
    keys = jax.random.split(key)
    texts = pinned(seen.model, sae, a.max(0), prompt, characters, seen.alphabet, key=keys[0])
    plain = transformer.sample(seen.model, encode(prompt, seen.alphabet), characters, key=keys[1])
    return Features(
        seen=seen,
        density=(a > 0).mean(0),
        maximum=a.max(0),
        alignment=alignment(D),
        neurons=correlated(a, seen.h),
        partners=None if other is None else _partners(seen, a, *other),
        consistency=consistency(a, seen.rows.shape[1] - 1),
        logits=weights,
        mode=mode,
        odds=histogram(a, groups, many),
        share=intervals(a),
        inputs=shown,
        snippets=Snippets(*(np.stack(part) for part in zip(*pieces, strict=True))),
        effect=effects(seen, a, weights, logits=logits),
        statement=tuple(known.names[k] for k in meaning.statement),
        score=meaning.score,
        sample=tuple(texts),
        prompt=prompt,
        written=decode(plain, seen.alphabet),
    )


def _partners(seen, a, other: Observed, sae: Autoencoder) -> Correlated:
    if not np.array_equal(seen.ids[seen.rows], other.ids[other.rows]):
        raise ValueError("other must have read the same windows of the same text")
    return correlated(a, autoencoder.encode(sae, other.h))


def mode_name(features: Features, latent: int) -> str:
    """The mode that goes best with a latent, or nothing where the text has no truth."""
    return "" if features.mode is None else MODES[features.mode.which[latent, 0]]
