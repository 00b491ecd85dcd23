"""The ledger's rows of notebook 16: both shipped transformers and their dictionaries, on text they have not seen.

Source: Bricken et al. 2023. Rows are means over the two models.
"""

from functools import lru_cache

import jax
import numpy as np
from helpers import ROOT, confirm

from toysup import autoencoder
from toysup.autoencoder import metrics
from toysup.language import checkpoint, corpus, cuts, dictionaries, features, transformer
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
    return np.array([unions_of_modes(seen, x) for x in (a, seen.h)])


def unions_of_modes(seen, x):
    """Mean F1 of modes for the best unit and for eight together, each at its best cut."""
    some = np.flatnonzero(seen.known)[::4]
    each = np.eye(len(MODES))[seen.truth.mode[seen.at][some]]
    return cuts.unions(x[some], each, 8).mean(0)[[0, 7]]


@lru_cache
def untrained():
    """The first transformer before its training, observed, and its latents."""
    size = measured("a")[0].model.size
    start = transformer.initial(size, key=jax.random.split(jax.random.key(0))[0])
    blank = dictionaries.observe(start, kept_back(), kept_back().alphabet, windows=400)
    sae = dictionaries.load(ROOT / "data/autoencoder_untrained.safetensors").model
    return blank, sae, np.asarray(autoencoder.encode(sae, blank.h))


def chosen_elsewhere(seen, x, labels):
    """Mean F1 on every other window, of the unit and the cut that are best on the windows between."""
    second = np.repeat(np.arange(len(seen.rows)) % 2 == 1, seen.model.context)[seen.known]
    x, found = x[seen.known], []
    units = cuts.best(x[~second], labels.table[~second]).argmax(0)
    for unit, there in zip(units, labels.table.T, strict=True):
        values = np.unique(x[~second, unit][there[~second]])
        f1 = lambda cut, half, x=x[:, unit], there=there: (
            2 * ((x >= cut) & there)[half].sum() / max(1, (x >= cut)[half].sum() + there[half].sum())
        )
        cut = max(values[values > 0], key=lambda value: f1(value, ~second), default=np.inf)
        found.append(f1(cut, second))
    return float(np.mean(found))


def test_characters_in_context():
    """The control is the transformer before its training; neurons and random directions stay below both."""
    blank, _, a = untrained()
    labels = dictionaries.token_labels(blank)
    control = float(dictionaries.best_f1(blank, a, labels).mean())
    latents, neurons = np.mean([tokens(name) for name in MODELS], axis=0)
    confirm("16-characters-in-context", latents, control)
    assert neurons < 0.5 < control


def test_the_choice_of_unit_and_cut_costs_little():
    """Chosen on every other window, scored on those between: 0.04 less at most."""
    seen, _, a = measured("a")
    labels = dictionaries.token_labels(seen)
    for x in (a, seen.h, dictionaries.random_latents(seen.h, 512)):
        every, elsewhere = dictionaries.best_f1(seen, x, labels).mean(), chosen_elsewhere(seen, x, labels)
        print(f"\nchosen on all {every:.3f}, elsewhere {elsewhere:.3f}")
        assert every - 0.04 < elsewhere < every + 0.01


def test_an_untrained_model_has_such_latents_too():
    """The control is random directions over the same neurons; its single latents tell no modes, and write nothing."""
    blank, sae, a = untrained()
    labels = dictionaries.token_labels(blank)
    score = lambda x: float(dictionaries.best_f1(blank, x, labels).mean())
    confirm("16-untrained-model", score(a), score(dictionaries.random_latents(blank.h, 512)))
    assert unions_of_modes(blank, a)[0] < modes("a")[0, 0] - 0.3
    seen, trained, own = measured("a")
    effect = [
        features.effects(s, x, np.asarray(transformer.logit_weights(s.model, autoencoder.dictionary(d)))).mean()
        for s, d, x in ((blank, sae, a), (seen, trained, own))
    ]
    assert effect[0] < 0.01
    assert effect[1] > 0.06


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
        best = lambda x, seen=seen, dna=dna: cuts.best(x[seen.known], dna).max()
        found.append((best(seen.h), best(dictionaries.random_latents(seen.h, 256))))
    confirm("16-dna-neuron", *np.mean(found, axis=0))


def test_single_latents_do_not_tell_modes_better_than_neurons():
    """Latents minus neurons; the control is the same difference on characters in context."""
    gain = np.mean([modes(name)[0, 0] - modes(name)[1, 0] for name in MODELS])
    confirm("16-coarse-modes", gain, np.mean([tokens(name)[0] - tokens(name)[1] for name in MODELS]))


def test_modes_are_split_among_latents():
    """What eight together gain over one; the control is the untrained transformer, whose latents gain more."""
    blank, _, a = untrained()
    crowds = (a, blank.h, dictionaries.random_latents(blank.h, 512))
    one, eight = np.array([unions_of_modes(blank, x) for x in crowds]).T
    latents, neurons = np.mean([modes(name)[:, 1] - modes(name)[:, 0] for name in MODELS], axis=0)
    confirm("16-split-modes", latents, eight[0] - one[0])
    assert 0.03 < neurons < 0.1
    assert (eight - one)[1:].max() < 0.12  # neurons and random directions of the untrained model
    assert eight[0] < modes("a")[0, 1] - 0.2  # what learning adds
