"""Sparse autoencoders of the transformer's neurons: on disk, and what each one is worth, with baselines.

An `Observed` is a text cut into windows and what the neurons do on it; all that is said about latents starts there.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from toysup import autoencoder, check
from toysup.autoencoder import Autoencoder, metrics
from toysup.language import checkpoint, corpus, cuts, text, transformer
from toysup.language.corpus import Corpus
from toysup.language.transformer import Transformer

KIND = "sparse autoencoder, version 1"
SHAPES = {"E": ("k", "h"), "b": ("k",), "D": ("k", "h"), "c": ("h",), "extra": (2, "k"), "cut": (1,)}
WARM = 6  # characters of a window, and KNOWN of a line, after which a context can be known
KNOWN = 3


class Stored(NamedTuple):
    """An autoencoder, and whatever was noted with it."""

    model: Autoencoder
    notes: dict


def save(path, model: Autoencoder, **notes) -> None:
    """Write one autoencoder in float16, which halves the file; notes: anything JSON can hold."""
    autoencoder.encode(model, np.zeros((1, model.c.shape[-1])))  # complains unless it is one autoencoder
    arrays = {name: np.atleast_1d(np.asarray(getattr(model, name), np.float16)) for name in SHAPES}
    checkpoint.write(path, KIND, arrays, {"variant": model.variant, "notes": notes})


def load(path) -> Stored:
    """Read what `save` wrote. Errors as for `checkpoint.load`: they name the file and what is wrong with it."""
    arrays, note = checkpoint.read(path, KIND)
    complaint = _wrong(arrays, note)
    if complaint:
        raise ValueError(f"{path} cannot be used: {complaint}")
    arrays = {name: jnp.asarray(a, jnp.float32) for name, a in arrays.items()}
    arrays["cut"] = arrays["cut"][0]
    return Stored(Autoencoder(**arrays, variant=note["variant"]), note.get("notes", {}))


def _wrong(arrays, note) -> str:
    if arrays.keys() != SHAPES.keys():
        return f"it holds {', '.join(sorted(arrays))}; expected {', '.join(sorted(SHAPES))}"
    if note.get("variant") not in autoencoder.VARIANTS:
        return f"its variant {note.get('variant')!r} is none of {', '.join(autoencoder.VARIANTS)}"
    length = dict(zip("kh", (*arrays["E"].shape, 0, 0)[:2], strict=True))
    for name, letters in SHAPES.items():
        wanted = tuple(length.get(letter, letter) for letter in letters)
        if arrays[name].shape != wanted:
            return f"{name} has shape {arrays[name].shape}, expected {wanted}"
    return ""


# ------------------------------------------------------------------------------------------ a text, observed


@dataclasses.dataclass(frozen=True)
class Observed:
    """What a model does on a text; inputs are the characters of all windows, one after the other.

    model: the transformer. alphabet: its characters. ids: (characters,) the text. rows: (windows, context + 1) places
    in the text; the last of a window is only predicted. h: (inputs, neurons) activations. truth: the text's Corpus, or
    None for text whose labels are not known.
    """

    model: Transformer
    alphabet: str
    ids: np.ndarray
    rows: np.ndarray
    h: np.ndarray
    truth: Corpus | None

    @property
    def at(self) -> np.ndarray:
        """The place in the text of each input: (inputs,)."""
        return self.rows[:, :-1].ravel()

    @property
    def offset(self) -> np.ndarray:
        """The place in its window of each input: (inputs,)."""
        return np.tile(np.arange(self.rows.shape[1] - 1), len(self.rows))

    @property
    def known(self) -> np.ndarray:
        """Inputs at which a context can be known: 3 characters into the line and 6 into the window. (inputs,)."""
        if self.truth is None:
            return self.offset >= WARM
        return (self.truth.place[self.at] >= KNOWN) & (self.offset >= WARM)


def observe(model: Transformer, source: Corpus | str, alphabet: str, windows: int | None = None) -> Observed:
    """Let a model read a text.

    source: a Corpus, or any text in the alphabet. alphabet: the model's. windows: at most so many, from the beginning.
    """
    truth = source if isinstance(source, Corpus) else None
    ids = truth.ids if truth is not None else text.encode(source, alphabet)
    if truth is not None and truth.alphabet != alphabet:
        raise ValueError("alphabet is not that of the corpus: was the model trained on another text?")
    rows = transformer.windows(len(ids), model.context)
    rows = rows[: len(rows) if windows is None else check.count("windows", windows)]
    h = np.asarray(transformer.activations(model, ids[rows[:, :-1]]), np.float32)
    return Observed(model, alphabet, ids, rows, h.reshape(-1, model.neurons), truth)


# ------------------------------------------------------------------------------------------ the model's loss


class Recovered(NamedTuple):
    """Mean losses in nats per character, and what the dictionary recovers of zero and of mean ablation.

    original: the model's own. rebuilt: with neurons rebuilt by the dictionary. zeros, means: with all neurons at 0, or
    each at its mean. zero, mean: (ablated - rebuilt) / (ablated - original) for both.
    """

    original: float
    rebuilt: float
    zeros: float
    means: float
    zero: float
    mean: float


def loss_with(seen: Observed, h=None) -> float:
    """The model's mean loss with other activations in place of its neurons': h (inputs, neurons), or None."""
    ids, total = seen.ids[seen.rows], 0.0
    many, context = len(ids), ids.shape[1] - 1
    for part in range(0, many, 128):
        rows = ids[part : part + 128]
        other = None if h is None else np.reshape(h, (many, context, -1))[part : part + 128]
        total += float(transformer.cross_entropy(seen.model, rows, other).sum())
    return total / (many * context)


def recovered(seen: Observed, rebuilt) -> Recovered:
    """How much of what the neurons give the model survives in rebuilt activations (inputs, neurons)."""
    mean = np.broadcast_to(seen.h.mean(0), seen.h.shape)
    original, own, zeros, means = (loss_with(seen, h) for h in (None, rebuilt, 0 * seen.h, mean))
    share = lambda ablated: metrics.loss_recovered(original, own, ablated)
    return Recovered(original, own, zeros, means, share(zeros), share(means))


# ------------------------------------------------------------------------------------------ against ground truth


@dataclasses.dataclass(frozen=True)
class TokenLabels:
    """Characters in context as labels of inputs.

    names: of each label, (mode, character). table: (known inputs, labels) booleans. token: (labels,) the F1 of one
    that sees the character alone: what a dictionary must beat to have found the context.
    """

    names: list[tuple[str, str]]
    table: np.ndarray
    token: np.ndarray


def token_labels(seen: Observed, least: int = 60) -> TokenLabels:
    """The labels of `corpus.tokens_in_context` at the inputs where a context can be known, at least `least` of each."""
    if seen.truth is None:
        raise ValueError("this text has no labels: observe a Corpus")
    names, number = corpus.tokens_in_context(seen.truth, least)
    number, ids = number[seen.at][seen.known], seen.ids[seen.at][seen.known]
    often = np.bincount(number[number >= 0], minlength=len(names))
    kept = np.flatnonzero(often >= least)
    shown = np.array([(ids == seen.alphabet.index(names[k][1])).sum() for k in kept])
    return TokenLabels([names[k] for k in kept], number[:, None] == kept, 2 * often[kept] / (often[kept] + shown))


def best_f1(seen: Observed, a, labels: TokenLabels) -> np.ndarray:
    """The F1 of the best latent for each label, at the best of all cuts: a (inputs, latents) -> (labels,)."""
    return cuts.best(np.asarray(a)[seen.known], labels.table).max(0)


def random_latents(h, latents: int, *, seed: int = 0) -> np.ndarray:
    """What random directions read off centred activations, after a ReLU: h (inputs, d) -> (inputs, latents).

    The baseline of an untrained dictionary; as often active as not.
    """
    h = np.asarray(h, np.float32)
    D = metrics.random_dictionary(latents, h.shape[1], seed=seed).astype(np.float32)
    return np.maximum((h - h.mean(0)) @ D.T, 0)
