"""The ledger's rows of notebook 17: a published table of cosines by co-occurrence and output, its axes and its cells.

Source: Abraham 2024; Bricken et al. 2023 for action sharing.
"""

from functools import lru_cache

import jax
import numpy as np
from helpers import ROOT, confirm

from toysup import actions, autoencoder, cooccurrence, correlation
from toysup.autoencoder import metrics
from toysup.language import checkpoint, corpus, dictionaries

KEY = jax.random.key(0)
LINE = np.array([0.0, 0.75, 1.0])


@lru_cache
def toy(m, readout):
    """Best of 96 starts: cosine of partners at c = 0, 1 (rows) and ρ of LINE."""
    fit = actions.train(np.array([[0.0], [1.0]]), LINE, m=m, readout=readout, restarts=96, key=KEY).best()
    return np.asarray(correlation.pair_cosines(fit.W), np.float64).mean(-1)


@lru_cache
def language():
    """The shipped L1 dictionary on 100 windows: its latents' survey."""
    stored = checkpoint.load(ROOT / "data/transformer_a.safetensors")
    text = corpus.split(corpus.draw(1_500_000, seed=0), 50_000)[1]
    seen = dictionaries.observe(stored.model, text, stored.alphabet, windows=100)
    sae = dictionaries.load(ROOT / "data/autoencoder_relu.safetensors").model
    a = np.asarray(autoencoder.encode(sae, seen.h))
    on = cooccurrence.often(a)
    D, E = np.asarray(autoencoder.dictionary(sae))[on], np.asarray(sae.E)[on]
    return seen, a[:, on], cooccurrence.survey(seen, a[:, on], D, E)


def test_similar_features_that_never_meet_share_a_direction():
    """ρ = 0.75; the control: the same pair with actions of cosine 0. At ρ = 1 it is true by construction."""
    confirm("17-similar-apart", toy(2, "relu")[0, 1], toy(2, "relu")[0, 0])
    assert toy(2, "softmax")[0, 1] > 0.5
    assert toy(4, "linear")[0, 1] > 0.4


def test_similar_features_that_meet_share_a_direction():
    confirm("17-similar-together", toy(2, "relu")[1, 1], toy(2, "relu")[1, 0])


def test_a_relu_with_room_tolerates_many_angles_at_equal_action():
    """Partners that never meet, ρ = 1 and 0, four dimensions: starts without loss differ widely."""
    fit = actions.train(0.0, np.array([0.0, 1.0]), m=4, readout="relu", restarts=24, key=KEY)
    cosine = np.asarray(correlation.pair_cosines(fit.W)).mean(-1)
    for at, low, high in ((0, -1.0, 0.0), (1, 0.5, 1.0)):
        reached = cosine[at][np.asarray(fit.loss)[at] < 2e-5]
        print(f"\n{len(reached)} starts without loss, cosines {reached.min():.2f} to {reached.max():.2f}")
        assert np.ptp(reached) > 0.15
        assert low - 0.01 < reached.min() < reached.max() < high + 0.01


def test_different_features_that_never_meet_are_opposite_where_it_is_tight():
    """The control: the same, always together. With room a linear readout has right angles, softmax does not."""
    confirm("17-different-apart", toy(2, "relu")[0, 0], toy(2, "relu")[1, 0])
    assert abs(toy(4, "linear")[0, 0]) < 0.03
    assert toy(4, "softmax")[0, 0] < -0.3


def test_different_features_that_meet_are_at_right_angles():
    """The control: a linear readout. Softmax goes below 0, with room as well."""
    confirm("17-different-together", toy(2, "relu")[1, 0], toy(2, "linear")[1, 0])
    assert toy(2, "softmax")[1, 0] < -0.1
    assert toy(4, "softmax")[1, 0] < -0.3


def test_action_sharing_with_room():
    """The mean over never and always together at ρ = 0.75; the control: ρ = 0."""
    found = toy(4, "linear").mean(0)
    confirm("17-action-sharing", found[1], found[0])
    assert abs(toy(4, "linear") - np.asarray(actions.roomy_cosine(LINE))).max() < 0.01


def test_preactivations_do_not_measure_cooccurrence():
    """How well the pre-activation axis on language is known from noise of the same covariance; the control: φ."""
    seen, _, found = language()
    sae = dictionaries.load(ROOT / "data/autoencoder_relu.safetensors").model
    noise = cooccurrence.same_covariance(seen.h, seed=0).astype(np.float32)
    on = cooccurrence.often(np.asarray(autoencoder.encode(sae, seen.h)))
    before = cooccurrence.correlations(noise @ np.asarray(sae.E)[on].T)
    fires = cooccurrence.phi(np.asarray(autoencoder.encode(sae, noise))[:, on])
    confirm(
        "17-axis-of-cooccurrence",
        cooccurrence.agreement(found.preactivation, before),
        cooccurrence.agreement(found.phi, fires),
    )
    for seed in range(3):  # where data are even, it is the cosine
        D = metrics.random_dictionary(100, 32, seed=seed)
        axis = cooccurrence.correlations(np.random.default_rng(seed).normal(size=(8000, 32)) @ D.T)
        assert cooccurrence.agreement(metrics.cosines(D, D), axis) > 0.99


def test_the_fourth_cell_is_empty():
    """The share of the pairs that fire together most which have a different output; the control: by ablation."""
    *_, found = language()
    share = lambda output: (lambda n: n[1, 1] / n[:, 1].sum())(cooccurrence.cells(found.cosine, found.phi, output).n)
    confirm("17-fourth-cell", share(found.output), share(found.ablation))


def test_noise_draws_the_same_signs():
    """Fire together minus fire apart, similar output: trained on noise; the control: trained on the language."""
    seen, _, found = language()
    noise, gaps, settings = cooccurrence.same_covariance(seen.h, seed=0).astype(np.float32), [], {"sparsity": 0.2}
    settings |= {"steps": 300, "batch": 256, "learning_rate": 3e-3, "key": KEY}
    for h in (noise, seen.h):
        sae = autoencoder.pick(autoencoder.train(h, 128, **settings), 0)
        a = np.asarray(autoencoder.encode(sae, h))
        on = cooccurrence.often(a)
        D, E = np.asarray(autoencoder.dictionary(sae))[on], np.asarray(sae.E)[on]
        s = cooccurrence.survey(seen, a[:, on], D, E, h=h)
        mean = cooccurrence.cells(s.cosine, s.phi, s.ablation, share=0.1, share_output=0.4).mean
        assert (mean[:, 0] < -0.05).all()
        assert (mean[:, 1] > 0.1).all()
        gaps.append(mean[0, 1] - mean[0, 0])
    confirm("17-signs-from-noise", *gaps)
    mean = cooccurrence.cells(found.cosine, found.phi, found.ablation).mean
    assert (mean[:, 0] < -0.05).all()
    assert (mean[:, 1] > 0.2).all()


def test_random_directions_make_a_splotch_of_right_angles():
    """Cosines of random directions have a spread of 1 / √d; those of the trained dictionary are wider."""
    *_, found = language()
    random = metrics.random_dictionary(len(found.cosine), 256, seed=0)
    spread = [np.std(cooccurrence.pairs_of("cosine", x)) for x in (metrics.cosines(random, random), found.cosine)]
    assert abs(spread[0] - 256**-0.5) < 0.002
    assert spread[1] > 2 * spread[0]
