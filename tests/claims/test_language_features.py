"""The shipped dictionaries of the shipped transformers: what they are worth, with baselines. `pytest -s` prints it.

Sources: Bricken et al. 2023, evaluation of the dictionary; the ablations of its appendix.
"""

import importlib
from functools import lru_cache

import jax
import numpy as np
import pytest
from helpers import ROOT

from toysup import autoencoder
from toysup.autoencoder import metrics
from toysup.language import checkpoint, dictionaries

MODELS = ("a", "b")


@lru_cache
def kept_back():
    """The text that neither transformer has seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("tools.data_language").texts()[1]


@lru_cache
def measured(name):
    """A transformer on the text kept back, its latents, and the neurons rebuilt from them."""
    source = checkpoint.load(ROOT / f"data/transformer_{name}.safetensors")
    seen = dictionaries.observe(source.model, kept_back(), source.alphabet)
    model = dictionaries.load(ROOT / f"data/autoencoder_{name}.safetensors").model
    a = np.asarray(autoencoder.encode(model, seen.h))
    return seen, a, np.asarray(autoencoder.decode(model, a))


@pytest.mark.parametrize("name", MODELS)
def test_few_latents_keep_what_the_model_needs(name):
    """Below 12 active of 512, more than 95 % of the loss recovered."""
    seen, a, rebuilt = measured(name)
    found, counts = dictionaries.recovered(seen, rebuilt), metrics.counts(a)
    print(f"\n{name}: L0 {metrics.l0(a):.2f}, {counts}, {found}")
    assert a.shape[1] == 512
    assert metrics.l0(a) < 12
    assert counts.dead + counts.ultralow < 26
    assert found.zero > 0.95
    assert found.mean > 0.95
    assert metrics.explained_variance(seen.h, rebuilt) > 0.9


def test_as_sparse_a_random_dictionary_does_not():
    """A dictionary that stays random while its encoder learns: the baseline of the row above."""
    seen = measured("a")[0]
    settings = {"variant": "batchtopk", "sparsity": 8, "steps": 200, "batch": 512, "frozen": True}
    random = autoencoder.pick(autoencoder.train(seen.h, 512, **settings, key=jax.random.key(0)), 0)
    a = np.asarray(autoencoder.encode(random, seen.h))
    found = dictionaries.recovered(seen, np.asarray(autoencoder.decode(random, a)))
    f1 = dictionaries.best_f1(seen, a, dictionaries.token_labels(seen)).mean()
    print(f"\nrandom dictionary, trained encoder: L0 {metrics.l0(a):.2f}, {found}, best F1 {f1:.3f}")
    assert metrics.l0(a) < 12
    assert found.mean < 0.6
    assert f1 < 0.45


@pytest.mark.parametrize("name", MODELS)
def test_latents_find_characters_in_context(name):
    """Mean best F1 above one half; neurons, random directions and the character alone stay below."""
    seen, a, _ = measured(name)
    labels = dictionaries.token_labels(seen)
    score = lambda latents: float(dictionaries.best_f1(seen, latents, labels).mean())
    found = {
        "latents": score(a),
        "neurons": score(seen.h),
        "random": score(dictionaries.random_latents(seen.h, 512)),
        "character": float(labels.token.mean()),
    }
    print(f"\n{name}, {len(labels.names)} labels:", {k: round(v, 3) for k, v in found.items()})
    assert len(labels.names) > 100
    assert found["latents"] > 0.5
    assert max(found["neurons"], found["random"]) < 0.32
    assert found["character"] < found["latents"] - 0.05


def test_shuffled_labels_are_not_found():
    """The control of the score: the same labels on other inputs are found hardly ever."""
    seen, a, _ = measured("a")
    labels = dictionaries.token_labels(seen)
    order = np.random.default_rng(0).permutation(len(labels.table))
    shuffled = dictionaries.TokenLabels(labels.names, labels.table[order], labels.token)
    found = float(dictionaries.best_f1(seen, a, shuffled).mean())
    print(f"\nshuffled labels: {found:.3f}")
    assert found < 0.1


def test_a_short_training_by_the_same_command_gets_most_of_the_way():
    """A tenth of the steps on a tenth of the text, by the command that made the files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        tool = importlib.import_module("tools.data_autoencoder_language")
    seen = measured("a")[0]
    model = tool.train(seen.model, seen.alphabet, steps=150, windows=300)
    a = np.asarray(autoencoder.encode(model, seen.h))
    found = dictionaries.recovered(seen, np.asarray(autoencoder.decode(model, a)))
    f1 = dictionaries.best_f1(seen, a, dictionaries.token_labels(seen)).mean()
    print(f"\nshort training: L0 {metrics.l0(a):.2f}, {found}, best F1 {f1:.3f}")
    assert metrics.l0(a) < 12
    assert found.mean > 0.85
    assert f1 > 0.45
