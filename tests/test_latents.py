"""Latents of a language model: by hand, on small untrained models, and against the removal they stand for."""

import dataclasses
import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from scipy.stats import spearmanr

from toysup import autoencoder
from toysup.language import checkpoint, corpus, dictionaries, features, predicates, transformer
from toysup.language.modes import MODES

KEY = jax.random.key(0)


@lru_cache
def small(seed: int = 0, neurons: int = 24):
    """An untrained model on a short text, and an untrained dictionary with latents that fire now and then."""
    text = corpus.draw(6000, seed=1)
    model = transformer.initial(
        len(text.alphabet), d=16, neurons=neurons, heads=2, context=32, key=jax.random.key(seed)
    )
    seen = dictionaries.observe(model, text, text.alphabet)
    sae = autoencoder.pick(
        autoencoder.train(seen.h, 40, variant="batchtopk", sparsity=4, steps=60, batch=256, key=jax.random.key(seed)), 0
    )
    return seen, sae, np.asarray(autoencoder.encode(sae, seen.h))


# ------------------------------------------------------------------------------------------ dictionaries


def test_what_is_saved_comes_back_in_half_precision(tmp_path):
    _, sae, _ = small()
    file = tmp_path / "sae.safetensors"
    dictionaries.save(file, sae, seed=3)
    found = dictionaries.load(file)
    assert found.notes == {"seed": 3}
    assert found.model.variant == "batchtopk"
    for name in dictionaries.SHAPES:
        there, here = np.asarray(getattr(found.model, name)), np.asarray(getattr(sae, name))
        assert there.shape == here.shape
        assert np.allclose(there, here, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"E": None}, "it holds D, b, c, cut, extra; expected"),
        ({"b": np.zeros(3)}, r"b has shape \(3,\), expected \(40,\)"),
        ({"E": np.zeros(3)}, r"E has shape \(3,\)"),
        ({"c": np.full(24, np.inf)}, "c is not finite"),
        ({"variant": "unheard"}, "variant 'unheard' is none of relu"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    _, sae, _ = small()
    arrays = {name: np.atleast_1d(np.asarray(getattr(sae, name))) for name in dictionaries.SHAPES}
    arrays |= {name: a for name, a in change.items() if name != "variant"}
    file = tmp_path / "sae.safetensors"
    kept = {name: a for name, a in arrays.items() if a is not None}
    checkpoint.write(file, dictionaries.KIND, kept, {"variant": change.get("variant", "relu")})
    with pytest.raises(ValueError, match=message):
        dictionaries.load(file)


def test_a_transformer_is_no_dictionary(tmp_path):
    file = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"E": np.zeros((2, 2))}, file)
    with pytest.raises(ValueError, match="written by another program"):
        dictionaries.load(file)


def test_inputs_are_the_characters_of_the_windows():
    seen, _, _ = small()
    assert seen.h.shape == (len(seen.at), 24)
    k = 5 * 32 + 7
    row = seen.ids[seen.rows[5, :-1]]
    assert (seen.at[k], seen.offset[k]) == (5 * 32 + 7, 7)
    assert np.allclose(transformer.activations(seen.model, row)[7], seen.h[k], atol=1e-5)
    assert set(np.flatnonzero(~seen.known)) >= set(range(6))
    short = dictionaries.observe(seen.model, str(seen.truth), seen.alphabet, windows=3)
    assert short.truth is None
    assert np.allclose(short.h, seen.h[: 3 * 32], atol=1e-5)
    assert short.known.sum() == 3 * 26


def test_wrong_texts_are_refused():
    seen, _, _ = small()
    with pytest.raises(ValueError, match="alphabet is not that of the corpus"):
        dictionaries.observe(seen.model, seen.truth, seen.alphabet[::-1])
    bare = dataclasses.replace(seen, truth=None)
    with pytest.raises(ValueError, match="no labels"):
        dictionaries.token_labels(bare)
    with pytest.raises(ValueError, match="no posteriors"):
        features.posterior(bare)


def test_the_loss_with_the_own_neurons_is_the_own_loss():
    seen, _, _ = small()
    own = float(transformer.held_out(seen.model, seen.ids).mean())
    assert dictionaries.loss_with(seen) == pytest.approx(own, rel=1e-5)
    assert dictionaries.loss_with(seen, seen.h) == pytest.approx(own, rel=1e-5)
    assert dictionaries.loss_with(seen, 0 * seen.h) != pytest.approx(own, rel=1e-3)


def test_the_best_f1_of_a_planted_latent_is_one():
    seen, _, _ = small()
    labels = dictionaries.token_labels(seen, least=20)
    mode, character = labels.names[3]
    planted = (seen.truth.mode[seen.at] == MODES.index(mode)) & (seen.ids[seen.at] == seen.alphabet.index(character))
    rng = np.random.default_rng(0)
    a = np.stack([planted * rng.uniform(0.6, 1, len(planted)), rng.random(len(planted)) < 0.01], axis=1)
    f1 = dictionaries.best_f1(seen, a, labels)
    assert f1[3] == pytest.approx(1)
    assert np.delete(f1, 3).max() < 0.2
    assert 0 < labels.token[3] < 1


# ------------------------------------------------------------------------------------------ predicates


def test_ranks_and_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, y = np.maximum(rng.normal(size=(200, 3)), 0), rng.normal(size=(200, 2)) > 0
    found = predicates.correlations(predicates.ranks(x), y)
    wanted = [[spearmanr(a, b).statistic for b in y.T] for a in x.T]
    assert np.allclose(found, wanted, atol=1e-5)
    assert (predicates.correlations(np.ones((200, 1)), y) == 0).all()
    with pytest.raises(ValueError, match="as many inputs"):
        predicates.correlations(x, y[:-1])


def test_statements_hold_where_they_say():
    seen, _, _ = small()
    known = predicates.predicates(seen, least=20)
    assert len(set(known.names)) == len(known.names) == known.table.shape[1] > 100
    column = lambda name: known.table[:, known.names.index(name)]
    text = np.array(list(seen.alphabet))[seen.ids]
    dna = seen.truth.mode[seen.at] == MODES.index("dna")
    assert (column("‘a’ in dna") == (dna & (text[seen.at] == "a"))).all()
    at = seen.at[column("‘he’")]
    assert set(text[at]) == {"e"}
    assert set(text[at - 1]) == {"h"}
    assert (known.table.sum(0) >= 20).all()
    bare = predicates.predicates(dataclasses.replace(seen, truth=None), least=20)
    assert not any(" in dna" in name for name in bare.names)
    with pytest.raises(ValueError, match="no statement holds"):
        predicates.predicates(seen, least=100_000)


def test_a_planted_meaning_is_found_and_noise_is_not():
    seen, _, _ = small()
    known = predicates.predicates(seen, least=40)
    rng = np.random.default_rng(1)
    k = known.names.index("dna")
    planted = known.table[:, k] * rng.uniform(0.5, 1, len(known.table))
    noise = rng.random(len(planted)) * (rng.random(len(planted)) < 0.05)
    found = predicates.interpret(seen, np.stack([planted, noise, 0 * noise], axis=1), known)
    assert known.names[found.statement[0]] == "dna"
    assert found.score[0] > 0.95
    assert abs(found.score[1]) < 0.1
    assert found.chosen[1] > found.score[1]  # what is chosen as best looks better where it was chosen
    assert found.score[2] == 0
    with pytest.raises(ValueError, match="a must have shape"):
        predicates.interpret(seen, planted, known)


# ------------------------------------------------------------------------------------------ features by hand


def test_alignment_by_hand():
    found = features.alignment([[0.0, -3, 1], [1, 1, 2]], many=2)
    assert found.neuron.tolist() == [[1, 2], [2, 0]]
    assert found.weight.tolist() == [[-3, 1], [2, 1]]
    assert found.share.tolist() == [[0.75, 0.25], [0.5, 0.25]]


def test_correlated_columns_by_hand():
    """A column that is the latent plus a constant has a correlation of 1 and a lower cosine; one of zeros has none."""
    a = np.array([[0.0], [2], [0], [2]], np.float32)
    others = np.concatenate([a + 1, np.zeros((4, 1)), 3 - a, [[0], [1], [0], [0]]], axis=1)
    found = features.correlated(a, others, 4)
    assert found.which.tolist() == [[0, 3, 1, 2]]
    assert found.value[0] == pytest.approx([1, 1 / math.sqrt(3), 0, -1])
    assert found.cosine[0] == pytest.approx([6 / math.sqrt(40), math.sqrt(0.5), 0, 2 / math.sqrt(40)])


def test_consistency_is_firings_per_window_that_has_one():
    a = np.zeros((12, 3))
    a[[0, 1, 2, 9], 0] = 1  # three in the first window of four, one in the third
    a[5, 1] = 1
    assert features.consistency(a, 4).tolist() == [2.0, 1.0, 0.0]


def test_histograms_count_every_firing_once():
    a = np.array([[0.0, 1], [0.1, 0], [0.5, 0], [1.0, 0], [0.51, 0]])
    found = features.histogram(a, np.array([0, 0, 1, 1, 1]), 2, bins=2)
    assert found[0].tolist() == [[1, 1], [0, 2]]  # 0.5 ends the lower half
    assert found[1].tolist() == [[0, 0], [1, 0]]
    each = np.array([[0, 1], [0, 0], [1, 0], [1, 0], [0, 0]])
    assert features.histogram(a, each, 2, bins=2)[1].tolist() == [[0, 0], [0, 1]]


def test_intervals_are_equal_in_width_not_in_count():
    a = np.array([[0.0], [0.1], [0.15], [0.19], [1.0]])
    assert features.intervals(a).tolist() == [[0.75, 0, 0, 0, 0.25]]
    assert features.intervals(0 * a).tolist() == [[0] * 5]


def test_examples_by_hand():
    column = np.array([0, 5, 4, 0, 1, 0, 0, 3.0])  # windows of four
    found = features.examples(column, 4, top=3, many=2, each=2)
    assert found.tolist() == [1, 7, -1, 1, 7, 4, -1]
    assert (features.examples(0 * column, 4) == -1).all()


def test_the_ablation_effect_is_that_of_a_removal():
    """A latent taken off the neurons at one character changes what follows it as stated, and nothing else."""
    seen, sae, a = small()
    D = np.asarray(autoencoder.dictionary(sae))
    weights = np.asarray(transformer.logit_weights(seen.model, D))
    inputs, latents = np.nonzero(a[:320] > 0)
    t, k = int(inputs[200]), int(latents[200])
    window, place = divmod(t, 32)
    rows = seen.ids[seen.rows[window]]
    h = seen.h[window * 32 : window * 32 + 32].copy()
    before = np.asarray(transformer.cross_entropy(seen.model, rows, h))
    h[place] -= a[t, k] * D[k]
    change = np.asarray(transformer.cross_entropy(seen.model, rows, h)) - before
    logits = features.log_chances(seen)
    found = features.ablation(logits[[t]], rows[[place + 1]], weights[k], a[[t], k])
    assert change[place] == pytest.approx(float(found[0]), abs=2e-5)
    assert abs(found[0]) > 1e-4
    assert np.delete(change, place) == pytest.approx(0, abs=1e-6)
    piece = features.snippets(seen, logits, a[:, k], weights[k], np.array([t, -1]))
    shift = seen.at[t] - int(piece.start[0])
    assert piece.activation[0, shift] == a[t, k]
    if place < 31 and shift + 1 < piece.effect.shape[1]:
        assert piece.effect[0, shift + 1] == pytest.approx(float(found[0]), abs=2e-5)
    assert not piece.activation[1].any()
    assert not piece.effect[1].any()


def test_pieces_of_text_stay_inside_their_window():
    seen, sae, a = small()
    weights = np.asarray(transformer.logit_weights(seen.model, autoencoder.dictionary(sae)))
    inputs = np.array([0, 31, 32, 63, 40])
    piece = features.snippets(seen, features.log_chances(seen), a[:, 0], weights[0], inputs)
    first, last = piece.start, piece.start + piece.activation.shape[1] - 1
    assert (first // 32 == inputs // 32).all()
    assert (last // 32 == inputs // 32).all()
    assert ((first <= inputs) & (inputs <= last)).all()
    firing = a[:, 0] > 0
    starts = np.arange(0, len(firing), 32)
    assert not features.snippets(seen, features.log_chances(seen), a[:, 0], weights[0], starts).effect[:, 0].any()


def test_a_held_latent_is_written_with_and_the_rest_stays():
    seen, sae, a = small()
    h = seen.h[:40]
    found = np.asarray(features._hold(jnp.asarray(h), sae, jnp.full(40, 2.0))) - h
    wanted = (2 - np.diagonal(a[:40]))[:, None] * np.asarray(autoencoder.dictionary(sae))
    assert np.allclose(found, wanted, atol=1e-5)
    weights = np.asarray(transformer.logit_weights(seen.model, autoencoder.dictionary(sae)))
    texts = features.pinned(seen.model, sae, np.full(40, 1e4), "\n", 6, seen.alphabet, key=KEY)
    assert texts == [seen.alphabet[k] * 6 for k in weights.argmax(1)]
    with pytest.raises(ValueError, match=r"value must have shape \(40,\)"):
        features.pinned(seen.model, sae, np.ones(3), "\n", 6, seen.alphabet, key=KEY)


# ------------------------------------------------------------------------------------------ all of it


@lru_cache
def described():
    seen, sae, _ = small()
    return features.describe(seen, sae, (seen, sae), characters=5, key=KEY)


def test_a_description_agrees_with_its_parts():
    (_, _, a), found = small(), described()
    assert found.latents == 40
    assert np.allclose(found.density, (a > 0).mean(0))
    assert found.odds.sum((1, 2)).tolist() == (a > 0).sum(0).tolist()
    alive = found.density > 0
    assert alive.sum() > 20
    assert (found.partners.which[alive, 0] == np.flatnonzero(alive)).all()
    assert found.partners.value[alive, 0] == pytest.approx(1, abs=1e-4)
    assert found.partners.cosine[alive, 0] == pytest.approx(1, abs=1e-4)
    assert (found.consistency[alive] >= 1).all()
    assert not found.consistency[~alive].any()
    top = found.inputs[alive, 0]
    assert (a[top, alive] == found.maximum[alive]).all()
    assert (found.inputs[~alive] == -1).all()
    assert {len(text) for text in (*found.sample, found.written)} == {5}
    assert found.logits.mean(1) == pytest.approx(0, abs=1e-5)
    latent = int(top.size and np.flatnonzero(alive)[0])
    assert math.isfinite(found.effect[latent])
    assert features.mode_name(found, latent) in MODES


def test_a_description_of_text_without_labels():
    seen, sae, _ = small()
    bare = dictionaries.observe(seen.model, str(seen.truth), seen.alphabet)
    found = features.describe(bare, sae, characters=3, key=KEY)
    assert found.mode is None
    assert found.partners is None
    assert found.odds.shape[2] == 1
    assert features.mode_name(found, 0) == ""
    assert np.allclose(found.density, described().density)


def test_two_models_must_read_the_same():
    seen, sae, _ = small()
    fewer = dictionaries.observe(seen.model, seen.truth, seen.alphabet, windows=3)
    with pytest.raises(ValueError, match="same windows of the same text"):
        features.describe(seen, sae, (fewer, sae), key=KEY)
