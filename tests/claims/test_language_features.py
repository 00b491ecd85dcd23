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
from toysup.language import checkpoint, corpus, dictionaries, predicates, transformer
from toysup.language.modes import MODES

MODELS = ("a", "b")
WINDOWS = 400  # of the text kept back, which has 781


@lru_cache
def kept_back():
    """The text that neither transformer has seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("tools.data_language").texts()[1]


@lru_cache
def measured(name, windows=WINDOWS):
    """A transformer on the text kept back, its latents, and the neurons rebuilt from them."""
    source = checkpoint.load(ROOT / f"data/transformer_{name}.safetensors")
    seen = dictionaries.observe(source.model, kept_back(), source.alphabet, windows)
    model = dictionaries.load(ROOT / f"data/autoencoder_{name}.safetensors").model
    a = np.asarray(autoencoder.encode(model, seen.h))
    return seen, a, np.asarray(autoencoder.decode(model, a))


@lru_cache
def untrained():
    """What the first transformer's neurons did before its training."""
    seen = measured("a")[0]
    return dictionaries.observe(tool().untrained(seen.model.size), kept_back(), seen.alphabet, WINDOWS)


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
    assert f1 < 0.5  # the best of all cuts: higher for every candidate than the best of four


@pytest.mark.parametrize("name", MODELS)
def test_latents_find_characters_in_context(name):
    """Mean best F1 above one half; neurons, random directions and the character alone stay below."""
    seen, a, _ = measured(name, windows=None)  # all of it, for labels that are rare
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
    assert found["latents"] > 0.6
    assert max(found["neurons"], found["random"]) < 0.5  # at the best of all cuts; .45 here
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


@lru_cache
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("tools.data_autoencoder_language")


def test_a_small_version_from_scratch_keeps_every_claim():
    """Other text, another seed, a quarter of the steps, by the functions that made the files: the same claims."""
    learned, kept = corpus.split(corpus.draw(400_000, seed=3), 25_000)
    model = transformer.train(learned.ids, len(kept.alphabet), steps=500, key=jax.random.key(5)).model
    seen = dictionaries.observe(model, kept, kept.alphabet)
    sae = tool().train(dictionaries.observe(model, learned, kept.alphabet, windows=1500).h, steps=400)
    a = np.asarray(autoencoder.encode(sae, seen.h))
    found = dictionaries.recovered(seen, np.asarray(autoencoder.decode(sae, a)))
    labels = dictionaries.token_labels(seen)
    f1, random = (
        float(dictionaries.best_f1(seen, x, labels).mean()) for x in (a, dictionaries.random_latents(seen.h, 512))
    )
    bigram = transformer.bigram_entropy(kept.ids, len(kept.alphabet))
    print(f"\nfrom scratch: bigram {bigram:.2f}, L0 {metrics.l0(a):.2f}, {found}, F1 {f1:.3f}, random {random:.3f}")
    assert found.original < 1.70
    assert bigram > 2.3
    assert metrics.l0(a) < 12
    assert min(found.zero, found.mean) > 0.95
    assert f1 > 0.6
    assert random < f1 - 0.15  # at the best of all cuts random directions reach .52, latents .78


def test_the_untrained_dictionary_is_made_by_the_same_command():
    """A tenth of the steps on activations of the transformer before its training, against the file."""
    seen = untrained()
    other = dictionaries.observe(seen.model, corpus.draw(50_000, seed=7), seen.alphabet)
    made = tool().train(other.h, steps=150)
    shipped = dictionaries.load(ROOT / "data/autoencoder_untrained.safetensors").model
    gain = {}
    for name, sae in (("made anew", made), ("shipped", shipped)):
        rebuilt = np.asarray(autoencoder.decode(sae, autoencoder.encode(sae, seen.h)))
        gain[name] = metrics.explained_variance(seen.h, rebuilt)
    wrong = np.asarray(autoencoder.decode(shipped, autoencoder.encode(shipped, measured("a")[0].h)))
    print("\nexplained variance:", gain)
    assert gain["shipped"] > 0.85
    assert gain["shipped"] > gain["made anew"] > 0.6
    assert metrics.explained_variance(measured("a")[0].h, wrong) < 0.5  # of another model: not its dictionary


def test_latents_are_told_by_a_statement_better_than_neurons_and_random_directions():
    """Held-out rank correlation with the best of a closed set, median over what fires; shuffled latents have none."""
    seen, a, _ = measured("a")
    some = dictionaries.observe(seen.model, seen.truth, seen.alphabet, windows=300)
    known = predicates.predicates(some)
    rest = np.random.default_rng(0).permutation(len(some.h))
    columns = {
        "latents": a[: len(some.h)],
        "neurons": some.h,
        "random": dictionaries.random_latents(some.h, 512),
        "shuffled": a[: len(some.h)][rest],
    }
    found = {}
    for name, column in columns.items():
        alive = (column > 0).any(0)
        found[name] = float(np.median(predicates.interpret(some, column, known).score[alive]))
    print("\nmedian score:", {k: round(v, 3) for k, v in found.items()}, f"{len(known.names)} statements")
    assert found["latents"] > 0.4
    assert found["latents"] > found["neurons"] + 0.06
    assert found["latents"] > found["random"] + 0.1
    assert abs(found["shuffled"]) < 0.05


def test_the_second_model_has_most_of_the_latents_of_the_first():
    """The best correlation with a latent of the other model, median; neurons agree less, shuffled ones not."""
    (seen, a, _), (other, b, _) = measured("a"), measured("b")
    best = lambda x, y: predicates.correlations(x, y).max(1)
    alive = (a > 0).mean(0) > metrics.ULTRALOW
    found = float(np.median(best(a, b)[alive]))
    neurons = float(np.median(best(seen.h, other.h)))
    shuffled = float(np.median(best(a[np.random.default_rng(0).permutation(len(a))], b)[alive]))
    print(f"\nmedian best correlation: latents {found:.3f}, neurons {neurons:.3f}, shuffled {shuffled:.3f}")
    assert found > 0.6
    assert found > neurons + 0.05
    assert shuffled < 0.1


def test_a_mode_is_told_by_several_latents_together():
    """Single latents tell a mode about as well as single neurons; eight together tell it far better."""
    seen, a, _ = measured("a")
    mode, few = seen.truth.mode[seen.at][seen.known], slice(None, None, 4)
    score = lambda x, k: np.mean(
        [metrics.union(x[seen.known][few], mode[few] == m, k, threshold=0.1) for m in range(len(MODES))]
    )
    found = {k: (score(a, k), score(seen.h, k)) for k in (1, 8)}
    print("\nF1 of modes (latents, neurons):", {k: np.round(v, 3).tolist() for k, v in found.items()})
    assert found[8][0] > 0.8
    assert found[8][0] > found[8][1] + 0.15
    assert found[8][0] > found[1][0] + 0.1
