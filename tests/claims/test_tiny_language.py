"""The ledger's rows of notebook 16: both shipped transformers and their dictionaries, on text they have not seen.

Source: Bricken et al. 2023. Rows are means over the two models.
"""

from functools import lru_cache

import jax
import numpy as np
from helpers import ROOT, confirm

from toysup import autoencoder
from toysup.autoencoder import metrics
from toysup.language import checkpoint, corpus, dictionaries, transformer
from toysup.language.dictionaries import THRESHOLDS
from toysup.language.modes import MODES

MODELS = ("a", "b")


@lru_cache
def kept_back():
    return corpus.split(corpus.draw(1_500_000, seed=0), 50_000)[1]


@lru_cache
def measured(name):
    """A model on 400 windows, its dictionary, its latents."""
    stored = checkpoint.load(ROOT / f"data/transformer_{name}.safetensors")
    seen = dictionaries.observe(stored.model, kept_back(), stored.alphabet, windows=400)
    sae = dictionaries.load(ROOT / f"data/autoencoder_{name}.safetensors").model
    return seen, sae, np.asarray(autoencoder.encode(sae, seen.h))


@lru_cache
def tokens(name):
    """Mean best F1 of characters in context: latents, neurons."""
    seen, _, a = measured(name)
    labels = dictionaries.token_labels(seen)
    return tuple(float(dictionaries.best_f1(seen, x, labels).mean()) for x in (a, seen.h))


@lru_cache
def modes(name):
    """Mean best F1 of modes: crowds (latents, neurons), unions of (1, 8)."""
    seen, _, a = measured(name)
    some = np.flatnonzero(seen.known)[::4]
    mode = seen.truth.mode[seen.at][some]
    best = lambda x, m, k: max(metrics.union(x[some], mode == m, k, threshold=t) for t in THRESHOLDS)
    return np.array([[np.mean([best(x, m, k) for m in range(len(MODES))]) for k in (1, 8)] for x in (a, seen.h)])


def test_characters_in_context():
    latents, neurons = np.mean([tokens(name) for name in MODELS], axis=0)
    confirm("16-characters-in-context", latents, neurons)


def test_an_untrained_model_has_such_latents_too():
    """Latents of the first transformer before its training; the control is random directions over the same neurons."""
    seen, _, a = measured("a")
    start = transformer.initial(seen.model.size, key=jax.random.split(jax.random.key(0))[0])
    blank = dictionaries.observe(start, kept_back(), seen.alphabet, windows=400)
    sae = dictionaries.load(ROOT / "data/autoencoder_untrained.safetensors").model
    labels = dictionaries.token_labels(blank)
    score = lambda x: float(dictionaries.best_f1(blank, x, labels).mean())
    found = score(np.asarray(autoencoder.encode(sae, blank.h)))
    assert found < score(a) - 0.02
    confirm("16-untrained-model", found, score(dictionaries.random_latents(blank.h, 512)))


def test_loss_recovered():
    """Eight latents against the eight neurons that deviate most from their means."""
    found = []
    for name in MODELS:
        seen, sae, a = measured(name)
        off = seen.h - seen.h.mean(0)
        largest = np.where(np.abs(off) >= np.sort(np.abs(off), axis=1)[:, [-8]], off, 0)
        worth = dictionaries.recovered(seen, np.asarray(autoencoder.decode(sae, a)))
        few = dictionaries.loss_with(seen, seen.h.mean(0) + largest)
        found.append((worth.mean, metrics.loss_recovered(worth.original, few, worth.means)))
    confirm("16-loss-recovered", *np.mean(found, axis=0))


def test_a_neuron_tells_dna():
    found = []
    for name in MODELS:
        seen, _, _ = measured(name)
        dna = (seen.truth.mode[seen.at] == MODES.index("dna"))[seen.known][:, None]
        best = lambda x, seen=seen, dna=dna: max(metrics.firing(x[seen.known], dna, t).f1.max() for t in THRESHOLDS)
        found.append((best(seen.h), best(dictionaries.random_latents(seen.h, 256))))
    confirm("16-dna-neuron", *np.mean(found, axis=0))


def test_single_latents_do_not_tell_modes_better_than_neurons():
    """Latents minus neurons; the control is the same difference on characters in context."""
    gain = np.mean([modes(name)[0, 0] - modes(name)[1, 0] for name in MODELS])
    confirm("16-coarse-modes", gain, np.mean([tokens(name)[0] - tokens(name)[1] for name in MODELS]))


def test_modes_are_split_among_latents():
    """What eight together gain over one."""
    latents, neurons = np.mean([modes(name)[:, 1] - modes(name)[:, 0] for name in MODELS], axis=0)
    confirm("16-split-modes", latents, neurons)
