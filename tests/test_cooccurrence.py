"""Pairs of latents: every measure against a value by hand or another program, nulls that keep what they say, errors."""

import sys

import numpy as np
import pytest
from helpers import ROOT
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from toysup import actions
from toysup import cooccurrence as co
from toysup.autoencoder import metrics
from toysup.language import checkpoint, corpus, dictionaries, transformer

sys.path.insert(0, str(ROOT))
RNG = np.random.default_rng


def some_latents(inputs=500, k=12, seed=0):
    return np.maximum(RNG(seed).normal(size=(inputs, k)) - 0.5, 0)


# ------------------------------------------------------------------------------------------ firing together


def test_correlations_are_those_of_numpy_and_0_for_constants():
    x = RNG(0).normal(size=(200, 5)) * [1, 1e-3, 1e3, 1, 0] + 7
    found = co.correlations(x)
    np.testing.assert_allclose(found[:4, :4], np.corrcoef(x[:, :4].T), atol=1e-9)
    assert (found[4] == 0).all()


def test_phi_by_hand():
    """Ten inputs: fires on 1-4, 3-6, never with the first (5-8)."""
    a = np.zeros((10, 3))
    a[0:4, 0], a[2:6, 1], a[4:8, 2] = 0.3, 5, 1
    expected = (0.2 - 0.16) / 0.24
    np.testing.assert_allclose(co.phi(a)[0], [1, expected, -0.16 / 0.24], atol=1e-12)


def test_preactivation_correlations_are_measured_ones_and_ignore_the_bias():
    rng = RNG(1)
    h, E, b = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(9, 6)), rng.normal(size=9)
    found = co.preactivation_correlations(E, np.cov(h.T))
    np.testing.assert_allclose(found, np.corrcoef((h @ E.T + b).T), atol=1e-9)


def test_preactivation_correlations_of_even_inputs_are_cosines():
    D = metrics.random_dictionary(20, 8, seed=0)
    np.testing.assert_allclose(co.preactivation_correlations(D, 3 * np.eye(8)), metrics.cosines(D, D), atol=1e-12)


# ------------------------------------------------------------------------------------------ pushing alike


def test_mean_outputs_by_hand_and_for_a_dead_latent():
    a = np.array([[1.0, 0], [3, 0], [0, 0]])
    P = np.array([[1.0, 0], [0, 1], [0.5, 0.5]])
    np.testing.assert_allclose(co.mean_outputs(a, P), [[0.25, 0.75], [0.5, 0.5]])


def test_output_similarity_is_one_minus_scipys_divergence():
    Q = RNG(0).dirichlet(np.full(7, 0.3), size=10)
    found = co.output_similarity(Q)
    expected = [[1 - jensenshannon(p, q) ** 2 for q in Q] for p in Q]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    disjoint = co.output_similarity(np.eye(3))
    np.testing.assert_allclose(disjoint[0, 1], 1 - np.log(2))
    assert found.min() >= 1 - np.log(2)
    assert found.max() <= 1


def test_ablation_profiles_by_hand():
    """Two outputs with logits 0, 0: taking 1 · (ln 3, 0) off moves the first from 1/2 to 1/4."""
    profile = co.ablation_profiles(np.array([[1.0, 0]]), np.zeros((1, 2)), np.array([[np.log(3), 0], [1, 0]]))
    np.testing.assert_allclose(profile, [[0.25, -0.25], [0, 0]], atol=1e-12)


def test_ablation_profiles_do_not_see_a_shift_of_logits():
    rng = RNG(0)
    a, logits, effects = some_latents(40, 5), rng.normal(size=(40, 6)), rng.normal(size=(5, 6))
    one = co.ablation_profiles(a, logits, effects)
    other = co.ablation_profiles(a, logits + rng.normal(size=(40, 1)), effects + rng.normal(size=(5, 1)))
    np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(one.sum(1), 0, atol=1e-12)


# ------------------------------------------------------------------------------------------ the four cells


def symmetric(k, seed):
    x = RNG(seed).normal(size=(k, k))
    return x + x.T


def test_cells_are_means_over_pairs_counted_once():
    cosine, together, output = (symmetric(60, seed) for seed in range(3))
    found = co.cells(cosine, together, output, share=0.1, share_output=0.25)
    i, j = np.triu_indices(60, 1)
    on = (together[i, j] >= np.sort(together[i, j])[-177]) & (output[i, j] <= np.sort(output[i, j])[442])
    assert abs(found.n[1, 1] - on.sum()) <= 2
    assert found.mean[1, 1] == pytest.approx(cosine[i, j][on].mean(), abs=0.05)
    assert (found.n > 20).all()
    assert ((found.share > 0) & (found.share < 1)).all()
    assert found.cuts[0] == pytest.approx(np.quantile(together[i, j], [0.1, 0.9]), abs=0.02)
    assert found.cuts[1] == pytest.approx(np.quantile(output[i, j], [0.25, 0.75]), abs=0.02)
    assert f"similar from {found.cuts[1, 1]:.2f}" in str(found)


def test_cells_find_what_was_put_in_and_lose_it_when_latents_are_renamed():
    together, output = symmetric(130, 0), symmetric(130, 1)
    cosine = 0.1 * together
    found = co.cells(cosine, together, output).mean
    assert (found[:, 0] < -0.2).all()
    assert (found[:, 1] > 0.2).all()
    assert np.abs(co.cells(co.shuffled(cosine, seed=0), together, output).mean).max() < 0.08


def test_an_empty_cell_says_so():
    together = symmetric(40, 0)
    found = co.cells(symmetric(40, 1), together, together)  # what is together is similar, by construction
    assert found.n[1, 1] == 0
    assert np.isnan(found.mean[1, 1])
    assert str(found).count("no data") == 2
    assert "different output" in str(found)


def test_agreement_is_the_correlation_over_pairs():
    one, other = symmetric(30, 0), symmetric(30, 1)
    i, j = np.triu_indices(30, 1)
    assert co.agreement(one, other) == pytest.approx(np.corrcoef(one[i, j], other[i, j])[0, 1])
    assert co.agreement(one, 2 * one + 1) == pytest.approx(1)


def test_renaming_keeps_the_matrix_but_for_the_order():
    matrix = symmetric(15, 0)
    found = co.shuffled(matrix, seed=3)
    np.testing.assert_allclose(np.linalg.eigvalsh(found), np.linalg.eigvalsh(matrix))
    assert not np.allclose(found, matrix)


# ------------------------------------------------------------------------------------------ nulls


def test_matched_latents_fire_as_often_as_asked():
    h, D = RNG(0).normal(size=(1000, 6)), metrics.random_dictionary(4, 6, seed=0)
    density = np.array([0.0, 0.01, 0.2, 1.0])
    a = co.matched_latents(h, D, density)
    np.testing.assert_allclose((a > 0).mean(0), density)
    strongest = ((h - h.mean(0)) @ D[1]).argsort()[-10:]
    assert set(np.flatnonzero(a[:, 1])) == set(strongest)


def test_same_covariance_keeps_two_moments_and_nothing_else():
    rng = RNG(0)
    h = rng.exponential(size=(20_000, 4)) @ rng.normal(size=(4, 4))
    noise = co.same_covariance(h, seed=1)
    np.testing.assert_allclose(np.cov(noise.T), np.cov(h.T), atol=0.05 * np.abs(np.cov(h.T)).max())
    np.testing.assert_allclose(noise.mean(0), h.mean(0), atol=0.1)
    skew = lambda x: np.abs((((x - x.mean(0)) / x.std(0)) ** 3).mean(0)).max()
    assert skew(h) > 0.3
    assert skew(noise) < 0.1


def test_shuffled_dimensions_keep_values_and_lose_relations():
    h = RNG(0).normal(size=(3000, 1)) + 0.1 * RNG(1).normal(size=(3000, 3))
    found = co.shuffled_dimensions(h, seed=0)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(h, 0))
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.1
    assert np.corrcoef(h.T)[0, 1] > 0.9


# ------------------------------------------------------------------------------------------ a language model


@pytest.fixture(scope="module")
def seen():
    stored = checkpoint.load(ROOT / "data/transformer_a.safetensors")
    return dictionaries.observe(stored.model, corpus.draw(3000, seed=5), stored.alphabet, windows=30)


def test_a_survey_is_made_of_the_parts(seen):
    D = metrics.random_dictionary(20, seen.h.shape[1], seed=0)
    a = co.matched_latents(seen.h, D, 0.1)
    found = co.survey(seen, a, D, D)
    logits = np.asarray(transformer.forward(seen.model, seen.ids[seen.rows[:, :-1]])).reshape(len(seen.h), -1)
    np.testing.assert_allclose(found.output, co.output_similarity(co.mean_outputs(a, softmax(logits, 1))), atol=1e-4)
    np.testing.assert_allclose(found.preactivation, np.corrcoef(D @ seen.h.T), atol=1e-5)
    assert all(getattr(found, name).shape == (20, 20) for name in ("cosine", "activation", "phi", "ablation"))
    np.testing.assert_allclose(np.diag(found.ablation), 1)


def test_an_ablation_profile_is_a_run_of_the_model_without_the_latent(seen):
    D = metrics.random_dictionary(1, seen.h.shape[1], seed=0)
    a = co.matched_latents(seen.h, D, 0.05)
    ids = seen.ids[seen.rows[:, :-1]]
    chances = lambda h: softmax(transformer.forward(seen.model, ids, h.reshape(*ids.shape, -1)), -1)
    run = (chances(seen.h) - chances((seen.h - a @ D).astype(np.float32))).reshape(len(a), -1)[a[:, 0] > 0].mean(0)
    logits = np.asarray(transformer.forward(seen.model, ids)).reshape(len(a), -1)
    found = co.ablation_profiles(a, logits, transformer.logit_weights(seen.model, D))[0]
    np.testing.assert_allclose(found, run, atol=1e-5)


def test_latents_that_fire_now_and_then():
    a = np.zeros((1000, 4))
    a[:1, 0] = a[:5, 1] = a[:400, 2] = a[:600, 3] = 1
    assert co.often(a).tolist() == [1, 2]


# ------------------------------------------------------------------------------------------ the stored numbers


def test_a_piece_of_the_stored_numbers_made_anew():
    from tools import data_cooccurrence as tool

    stored = np.load(tool.FILE)
    assert stored["two_latents"].shape == (len(tool.TOGETHER), len(tool.COSINES), len(tool.PENALTIES), tool.SEEDS)
    anew = tool.two_latents(tool.TOGETHER[0], 0.9, seeds=4)
    kept = stored["two_latents"][0, tool.COSINES.index(0.9), :, :4]
    assert np.abs(anew.mean(1) - kept.mean(1)).max() < 0.15
    assert stored["mean"].shape == (2, 3, 2, 3, 2, 2, 2)
    assert stored["small"].shape == (
        len(tool.ROOM),
        3,
        3,
        len(tool.SMALL_TOGETHER),
        len(tool.SMALL_SIMILARITY),
        tool.STARTS,
    )
    best = np.take_along_axis(stored["small"], stored["small"][:, :, 2:].argmin(-1)[..., None], -1)[:, :, 0, ..., 0]
    assert np.abs(best[1, 0] - actions.roomy_cosine(stored["small_similarity"])).max() < 0.01
    assert stored["noise_cosines"].sum() > stored["noise_pairs"].shape[1] == tool.SHOWN
    few = stored["n"] < co.LEAST_PAIRS
    assert (np.isnan(stored["mean"]) == few).all()


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: co.phi([[1.0, -1.0], [0, 0]]), "a must not be negative"),
        (lambda: co.phi([1.0, 2.0]), "a must have two axes"),
        (lambda: co.correlations([[np.nan, 1.0]]), "x must be finite"),
        (lambda: co.preactivation_correlations(np.eye(3), np.eye(2)), r"covariance must be symmetric, \(3, 3\)"),
        (lambda: co.preactivation_correlations(np.eye(2), [[1.0, 1], [0, 1]]), "covariance must be symmetric"),
        (lambda: co.preactivation_correlations(np.eye(2), np.diag([1.0, 0])), "row 1 of E reads a constant"),
        (lambda: co.mean_outputs(np.ones((2, 3)), np.ones((2, 2))), "each row with the sum 1"),
        (lambda: co.output_similarity([[0.5, 0.6], [1.0, 0]]), "Q must be distributions"),
        (lambda: co.ablation_profiles(np.ones((2, 3)), np.ones((2, 4)), np.ones((3, 5))), "are not"),
        (lambda: co.cells(np.eye(5), np.eye(5), np.eye(4)), "the same shape"),
        (lambda: co.cells(np.eye(5), np.eye(5), np.ones((5, 4))), "output must be"),
        (lambda: co.cells(np.eye(5), np.eye(5), np.eye(5), share=0.7), "share must be one number above 0"),
        (lambda: co.matched_latents(np.ones((4, 2)), np.eye(2), 1.5), r"density must lie in \[0, 1\]"),
        (lambda: co.shuffled(np.eye(4), seed=-1), "seed must be a whole number"),
    ],
)
def test_errors_are_for_people(call, says):
    with pytest.raises(ValueError, match=says):
        call()
