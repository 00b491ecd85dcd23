"""Fixed samples: polygons of samples and of features, dimensionality, double descent, weight decay.

Source: Henighan et al. 2023. `pytest -s` prints the numbers.
"""

from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

from tools.data_memorisation import FEWER, FILE, SIZES, TABLES, table
from toysup import independent, memory
from toysup.geometry import norms

KEY = jax.random.key(3)


@lru_cache(maxsize=32)
def trained(samples: tuple[int, ...], seeds: int, **how):
    found = memory.memorise(independent(0.03, 200), 2, samples=samples, seeds=seeds, key=KEY, **how)
    return {name: np.median(value, -1) for name, value in memory.scores(found).items()}


def seen(samples: int, **how):
    """Medians of the scores over seeds; sizes that share a compiled program are trained together."""
    sizes, seeds = ((512,), 3) if samples == 512 else ((5, 64, 96), 20)
    return {name: value[sizes.index(samples)] for name, value in trained(sizes, seeds, **how).items()}


def test_few_samples_are_stored_as_a_polygon():
    confirm("13-samples-as-polygon", seen(5)["sample_uneven"], seen(5, steps=0)["sample_uneven"])


def test_with_many_samples_features_are():
    many = seen(512)
    confirm("13-features-as-polygon", many["feature_uneven"], seen(5)["feature_uneven"])
    assert many["sample_uneven"] > 1
    assert 4 <= many["feature_kept"] <= 6


def test_dimensionality_goes_over_to_features_and_its_mean_says_nothing():
    ratio = [seen(512, **how)["feature_share"] / seen(64, **how)["feature_share"] for how in ({}, {"steps": 0})]
    confirm("13-sample-dimensionality", *ratio)
    for samples in (64, 96):
        assert abs(seen(samples)["sample_D"] * samples / 2 - 1) < 0.1
        assert abs(seen(samples, steps=0)["sample_D"] * samples / 2 - 1) < 0.1


def test_double_descent_needs_samples_that_come_again():
    rise = [seen(64, **how)["test"] / seen(5, **how)["test"] for how in ({}, {"fresh": True})]
    confirm("13-double-descent", *rise)
    assert seen(512)["test"] < 0.97


def test_the_peak_is_far_from_fitting():
    confirm("13-interpolation-threshold", seen(96)["train"], seen(5)["train"])


def test_weight_decay_removes_the_peak():
    confirm("13-weight-decay", *(seen(64, weight_decay=decay)["test"] for decay in (1.0, 0.0)))


@pytest.mark.parametrize(("decay", "alone", "left"), [(0.0, 1.0, 0.215), (0.3, 0.0498, 0.0142)])
def test_columns_that_no_sample_reaches_shrink_by_the_loss_as_well(decay, alone, left):
    """W is tied: such a column makes outputs that should be 0. `alone` is what weight decay does without the loss."""
    how = {"samples": 64, "seeds": 20, "weight_decay": decay, "key": KEY}
    before, after = (memory.memorise(independent(0.03, 200), 2, steps=steps, **how) for steps in (0, memory.STEPS))
    never = ~(np.asarray(after.x[0])[:, :64] > 0).any(1)
    ratio = float(np.median((norms(after.W[0]) / norms(before.W[0]))[never]))
    assert abs(ratio / left - 1) < 0.04
    assert ratio < 0.4 * alone


def test_bad_inputs_are_longer_than_every_sample():
    """Of 20 sets of 96 samples; controls: hidden vectors cut to the longest sample's length, turned, and untrained."""
    x = np.asarray(memory.draw(independent(0.03, 200), 2048, key=jax.random.key(1)))
    turn = 2 * np.pi * np.asarray(jax.random.uniform(KEY, (20, len(x), 1)))

    def share(steps):
        found = memory.memorise(independent(0.03, 200), 2, samples=96, seeds=20, steps=steps, key=KEY)
        W, b = np.asarray(found.W[0]), np.asarray(found.b[0])[:, None]
        bad = lambda h: np.sum((x - np.maximum(h @ W + b, 0)) ** 2, -1) > 2
        h = x @ W.swapaxes(1, 2)
        length = np.linalg.norm(h, axis=-1, keepdims=True)
        longest = np.linalg.norm(memory.hidden(found)[0], axis=1).max(-1)[:, None, None]
        cut, turned = h * np.minimum(1, longest / length), length * np.concatenate([np.cos(turn), np.sin(turn)], -1)
        return bad(h), bad(cut), bad(turned), (length > longest)[..., 0]

    bad, cut, turned, beyond = share(memory.STEPS)
    assert 0.03 < bad.mean() < 0.12
    assert bad[beyond].sum() > 0.9 * bad.sum()
    assert cut.mean() < 0.6 * bad.mean()  # .26 in the notebook's draw, .40 in this one; turned at random it is near 1
    assert abs(turned.mean() / bad.mean() - 1) < 0.3
    assert share(0)[0].mean() < 0.01


def test_without_relu_there_is_no_peak():
    start = memory.memorise(independent(0.03, 200), 2, samples=[512], seeds=3, steps=0, key=KEY)
    unseen = memory.draw(independent(0.03, 200), 2048, key=jax.random.key(1))
    loss = [
        [
            memory.input_losses(*memory.linear_optimum(x[:size], 2), unseen, readout="linear").mean()
            for x in np.asarray(start.x[0])
        ]
        for size in (8, 32, 128, 512)
    ]
    assert (np.diff(np.mean(loss, -1)) < 0.005).all()


def test_the_data_are_what_a_remade_piece_gives():
    assert Path(ROOT) / "data" / "memorisation.npz" == FILE
    data = np.load(FILE)
    assert set(data.files) == set(TABLES)
    assert data["usual"].shape == (len(memory.SCORES), len(SIZES), 20)
    piece = table("decay 1", sizes=(16,), seeds=3)[:, 0]
    stored = data["decay 1"][:, FEWER.index(16), :3]
    at = [memory.SCORES.index(name) for name in ("train", "test", "sample_D")]
    assert np.allclose(piece[at], stored[at], atol=0.05)
