"""Computing in superposition, claim by claim: each with its control. `pytest -s` prints the numbers.

Sources: Elhage et al. 2022, "Superposition in a Privileged Basis", "Computation in Superposition", "The Asymmetric
Superposition Motif"; Bhagat et al. 2026; Hänni et al. 2024; Eckart and Young 1936.
"""

from functools import lru_cache

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

from tools import data_compute
from toysup import compute, hidden, independent, motif, naive

KEY = jax.random.key(0)


@lru_cache(maxsize=8)
def copies(p: float):
    """24 models of ten features of importance 0.75^i in five ReLU neurons, best first."""
    more = {"importance": 0.75 ** np.arange(10), "restarts": 24, "steps": 1500, "batch": 256, "key": KEY}
    fit = hidden.train_hidden(independent(p, n=10), 5, **more)
    return np.asarray(fit.W)[np.argsort(fit.loss, kind="stable")]


def test_dense_features_have_neurons_of_their_own():
    alone = lambda W: motif.codes(W).count((1, 1))
    confirm("11-dense-monosemantic", alone(copies(0.75)[0]), alone(copies(0.05)[0]))


def test_three_features_in_two_neurons():
    """Share of the starts with this code at 0.35, and at 0.75."""
    share = lambda p: np.mean([(3, 2) in motif.codes(W) for W in copies(p)])
    assert motif.codes(copies(0.35)[0]) == ((1, 1), (1, 1), (1, 1), (3, 2))
    confirm("11-three-in-two", share(0.35), share(0.75))


@pytest.fixture(scope="module")
def data():
    return np.load(ROOT / "data" / "compute.npz")


def test_larger_codes_from_the_stored_starts(data):
    """Six in four at a density of 0.12, and the control, 0.5; the stored codes are those of the stored matrices."""
    densities = data_compute.DENSITIES.tolist()
    row = lambda p: data["copies codes"][densities.index(p)]
    has = lambda p: np.mean(["6:4" in text.split() for text in row(p)])
    for W, text in zip(data["copies W"], data["copies codes"][:, 0], strict=True):
        assert data_compute.codes_of(W) == text
    again = data_compute.copies(0.12, restarts=24)
    fresh = np.mean([(6, 4) in motif.codes(W) for W in again["W"]])
    print(f"\nsix in four at 0.12: {has(0.12):.2f} of 96 stored starts, {fresh:.2f} of 24 made anew")
    confirm("11-six-in-four", fresh, has(0.5))


def test_six_neurons_compute_three_absolute_values():
    settings = {"restarts": 24, "steps": 2000, "key": KEY}
    relu, linear = (
        compute.train_compute(independent(0.3, n=3), 6, activation=act, **settings) for act in ("relu", "linear")
    )
    W1, W2 = motif.normalise(relu.best().W1, relu.best().W2)
    assert np.allclose(np.sort(W1, 0), [[-1] * 3, *[[0] * 3] * 4, [1] * 3], atol=0.02)
    assert np.allclose(W2, abs(W1).T, atol=0.02)
    confirm("11-two-neurons-each", np.mean(relu.loss < 1e-3), np.mean(linear.loss < 1e-3))


def ratio(p: float, decay: float, **more) -> float:
    """Best of the starts over the naive loss, 20 absolute values in eight neurons."""
    loss = data_compute.absolute(p, decay, **more).best().loss
    return float(loss) / naive.naive_loss(8, np.full(20, p), decay ** np.arange(20))


def test_superposition_pays_for_rare_features(data):
    """Made anew from four starts, and compared with the stored cell of the map."""
    found = ratio(0.05, 0.8, restarts=4), ratio(1.0, 0.8, restarts=4)
    stored = data["abs loss both"][1, 4] / naive.naive_loss(8, np.full(20, 0.05), 0.8 ** np.arange(20))
    assert abs(found[0] - stored) < 0.08
    confirm("11-pays-when-rare", *found)


def test_a_linear_hidden_layer_beats_the_naive_network():
    linear = {"activation": "linear", "restarts": 4, "steps": 2000, "batch": 256}
    confirm("11-below-naive-proves-little", ratio(0.03, 1.0, **linear), ratio(1.0, 1.0, **linear))


def test_the_papers_large_setting_pays_from_the_naive_wiring_only(data):
    """100 features, 40 neurons, importance 0.8^i: made anew from another start; small random weights from the file."""
    importance = 0.8 ** np.arange(100)
    base = naive.naive_loss(40, np.repeat(data_compute.LARGE[:, None], 100, 1), importance)
    random, wired = (data[f"large loss {start}"][0] / base[:, None] for start in ("positive", "wired"))
    print("\n100 in 40, random starts:", random.round(2).tolist(), "wired:", wired.round(2).tolist())
    assert random.min() > 1
    assert wired.max() < 1.02
    again = {"start": "wired", "restarts": 1, "steps": 10000, "batch": 256, "learning_rate": 0.001, "key": KEY}
    found = {p: compute.train_compute(independent(p, n=100), 40, importance=importance, **again) for p in (0.01, 1.0)}
    confirm("11-large-setting", float(found[0.01].loss[0]) / base[-1], float(found[1.0].loss[0]) / base[0])


def test_stored_ands_come_out_again(data):
    """One cell of the ANDs, made anew with fewer starts; the loss is exact."""
    again = data_compute.ands(0.1, 8, restarts=4).best().loss
    assert np.isclose(float(again), data["and loss"][1, 3], rtol=0.05)


def test_the_asymmetric_motif():
    """Motifs per model at a density of 0.2, ten in ten, and in shuffled weights; none at 0.5."""
    rng, count = np.random.default_rng(0), {}
    for p in (0.2, 0.5):
        fit = compute.train_compute(
            independent(p, n=10), 10, importance=0.8 ** np.arange(10), restarts=24, steps=2000, key=KEY
        )
        models = list(zip(np.asarray(fit.W1), np.asarray(fit.W2), strict=True))
        count[p] = np.mean([len(motif.asymmetric(*model)) for model in models])
        null = np.mean([len(motif.asymmetric(*motif.shuffled(*model, rng))) for model in models for _ in range(4)])
        count[p, "null"] = null
    print("\nmotifs:", count)
    assert count[0.5] < 0.2
    confirm("11-asymmetric-motif", count[0.2], count[0.2, "null"])


def test_a_relu_at_the_output_makes_sharing_pay_for_rare_ands():
    """Four neurons, both outputs with one budget; the linear one cannot pass its floor, and training is near it."""
    p = np.full(8, 0.02)
    base, floor = naive.naive_loss(4, p, task="and"), naive.linear_floor(4, naive.and_covariance(p)[8:, 8:])
    relu, linear = (float(data_compute.cross(0.02, "and", name).loss.min()) for name in ("both", "linear readout"))
    assert floor < linear < 1.01 * floor
    confirm("11-and-in-superposition", relu / base, linear / base)


def test_the_crossed_table_from_the_file(data):
    """AND gains more the rarer the features with a ReLU output, less with a linear one; the floor is kept."""
    p = data_compute.CROSS
    base = np.array([naive.naive_loss(4, np.full(8, q), task="and") for q in p])
    relu, linear, copies = (data[f"cross and {name}"] / base for name in ("both", "linear readout", "linear hidden"))
    floor = [naive.linear_floor(4, naive.and_covariance(np.full(8, q))[8:, 8:]) for q in p] / base
    print(
        "\nReLU output",
        relu.round(3),
        "linear",
        linear.round(3),
        "floor",
        floor.round(3),
        "hidden linear",
        copies.round(3),
    )
    assert (np.diff(relu) < 0).all()
    assert (np.diff(linear) > 0).all()
    assert (linear > floor - 1e-6).all()
    assert (linear < 1.02 * floor).all()
    assert (relu[1:] < 0.85 * copies[1:]).all()
    for k, m in enumerate(data_compute.WIDTHS):
        for q, loss in zip(data_compute.ANDS, data["and loss"][k], strict=True):
            floor = naive.linear_floor(m, naive.and_covariance(np.full(8, q))[8:, 8:])
            assert loss > floor
            assert q > 0.02 or floor > 0.95 * naive.single_loss(m, np.full(8, q))


def test_eight_neurons_copy_and_the_readout_computes_every_and():
    more = {"task": "and", "readout": "relu", "activation": "linear", "restarts": 8, "steps": 1500, "key": KEY}
    fit = compute.train_compute(independent(0.3, n=8), 8, learning_rate=0.02, **more)
    assert float(fit.best().loss) < 0.02 * naive.single_loss(8, np.full(8, 0.3))
