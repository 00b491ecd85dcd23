"""Plans, the border with free lengths, the gradual onset: against formulas, integrals and trained models."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT
from scipy import optimize

import toysup
from toysup import loss as losses
from toysup import phases, theory
from toysup.model import get_readout

KEY = jax.random.key(0)


def test_names_of_plans():
    assert phases.plan_names(2) == theory.TwoInOne._fields
    assert phases.plan_names(3) == theory.ThreeInTwo._fields


def test_the_plans_themselves_turned_and_mirrored():
    two = [[[1, 0]], [[0, 1]], [[1, -1]], [[-1, 0]], [[-1, 1]], [[0.9, -0.7]], [[1.0, 0.3]]]
    assert phases.nearest_plan(np.array(two)).tolist() == [0, 1, 2, 0, 2, 2, 0]
    three = [
        ([[1, 0, 0], [0, 1, 0]], 0), ([[1, 0, 0], [0, 0, 1]], 1), ([[0, 1, 0], [0, 0, 1]], 1),
        ([[1, 0, 0], [0, 1, -1]], 2), ([[1, 0, -1], [0, 1, 0]], 2), ([[1, -1, 0], [0, 0, 1]], 3),
        (theory.polygon(3), 4),
    ]  # fmt: skip
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    for W, plan in three:
        for Q in (np.eye(2), turn, turn @ np.diag([1, -1])):
            assert phases.nearest_plan(Q @ np.array(W, float)) == plan


def test_gain_in_the_sparse_limit_is_that_of_the_whole_loss():
    p, c, w = 1e-4, np.array([0.3, 0.45, 0.6]), np.array([0.2, 0.6, 1.0])
    b = np.array([0, 0])
    for slope in c:
        for length in w:
            lost = toysup.expected_loss(
                np.array([[1, -length]]), b, toysup.independent(p, 2), importance=np.array([1, slope * p])
            )
            # ignoring at b = 0 costs r p/3
            gain = (float(lost) - slope * p * p / 3) / p**2
            assert gain == pytest.approx(phases.gain_in_the_sparse_limit(slope, length), abs=2e-3)
    slope, norm = theory.sparse_limit()
    assert phases.gain_in_the_sparse_limit(slope, norm) == pytest.approx(0, abs=1e-12)
    assert phases.gain_in_the_sparse_limit(slope, np.linspace(0, 1, 1001)).min() > -1e-9


@pytest.mark.parametrize("p", [0.2, 0.55, 0.7, 0.9])
def test_onset_is_the_expansion_of_the_loss(p):
    """At r = r₂: (L(ε) - r V) / ε² = k ε + ..., the other parameters at their best for each ε."""
    V, onset = float(theory.variance(p)), phases.onset(p)
    r = float(onset.ratio)
    with jax.enable_x64(True):
        rule = losses.Rule((0, 1, 800), (0, 1, 800), 0, False)
        table = losses.lines(toysup.independent(p, 2), rule)
        weight = losses.line_weights(toysup.independent(p, 2), table)

        @jax.jit
        def gain(x, e):
            W, b = jnp.array([[1 + e * x[0], -e]]), jnp.array([e * x[1], p / 2 + e * x[2]])
            return (losses.exact_loss(W, b, table, weight, jnp.array([1, r]), get_readout("relu")) - r * V) / e**2

        slope, steps = jax.jit(jax.grad(gain)), np.array([0.01, 0.02, 0.03, 0.04])
        lowest = [optimize.minimize(gain, [0.1, 0.1, 0.4], args=(e,), jac=slope, options={"gtol": 1e-8}) for e in steps]
    cubic, square = np.polyfit(steps, [found.fun for found in lowest], 3)[-2:]
    assert square == pytest.approx(0, abs=2e-6)
    assert cubic == pytest.approx(onset.cubic, abs=5e-5)


def test_onset_of_known_densities():
    onset = phases.onset(np.array([0.6, 0.7, 1.0]))
    np.testing.assert_allclose(onset.ratio[:2], [0.66540, 0.77258], atol=1e-5)
    assert onset.ratio[2] == pytest.approx(1)
    assert onset.bias[2] == pytest.approx(0.5)


def test_tricritical_points_are_where_the_cubic_term_vanishes():
    p, ratio = phases.tricritical()
    np.testing.assert_allclose(phases.onset(p).cubic, 0, atol=1e-12)
    np.testing.assert_allclose(ratio, phases.onset(p).ratio)
    assert (phases.onset(np.linspace(0.53, 0.83, 31)).cubic > 0).all()
    assert (phases.onset(np.array([0.01, 0.3, 0.51, 0.85, 0.99])).cubic < 0).all()


@pytest.fixture(scope="module")
def begin():
    return phases.begin(np.array([[0.001, 0.1, 0.3], [0.5, 0.6, 0.8]]))


def test_begin_is_where_training_begins_to_share(begin):
    """Trained a little below and above r*: ignoring, and a model that costs less than ignoring by what is expected."""
    p, r = np.array([0.1, 0.3, 0.5]), np.array([begin.ratio[0, 1], begin.ratio[0, 2], begin.ratio[1, 0]])
    for factor, shares in ((0.98, False), (1.02, True)):
        fit = toysup.train(toysup.independent(p[:, None], 2), 1, restarts=32, key=KEY,
                           importance=np.stack([np.ones(3), factor * r], 1)).best()  # fmt: skip
        lengths = np.abs(np.asarray(fit.W)[:, 0, 1])
        assert ((lengths > 0.5) == shares).all()
        assert ((lengths < 0.01) != shares).all()
        if shares:
            assert np.abs(lengths - np.abs(begin.W[[0, 0, 1], [1, 2, 0], 0, 1])).max() < 0.09


def test_begin_costs_as_much_as_ignoring(begin):
    assert begin.ratio.shape == (2, 3)
    for i in (0, 1, 2):
        p = [0.001, 0.1, 0.3][i]
        lost = toysup.expected_loss(begin.W[0, i], begin.b[0, i], toysup.independent(p, 2),
                                    importance=np.array([1.0, begin.ratio[0, i]]))  # fmt: skip
        assert float(lost) == pytest.approx(float(begin.ratio[0, i] * theory.variance(p)), rel=2e-4)


def test_begin_is_the_sparse_limit_and_the_onset(begin):
    slope, norm = theory.sparse_limit()
    assert begin.ratio[0, 0] / 0.001 == pytest.approx(slope, rel=2e-3)
    assert abs(begin.W[0, 0, 0, 1]) == pytest.approx(norm, abs=1e-3)
    np.testing.assert_allclose(begin.ratio[1, 1:], phases.onset(np.array([0.6, 0.8])).ratio, rtol=2e-5)
    assert (np.abs(begin.W[1, 1:, 0, 1]) < 1e-3).all()
    assert (begin.ratio[0] < 0.9 * theory.two_in_one_boundary(np.array([0.001, 0.1, 0.3]))).all()  # control


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: phases.plan_names(4), ValueError, "n must be 2 or 3, got 4"),
        (lambda: phases.plan_names(2.5), TypeError, "n must be a whole number"),
        (lambda: phases.nearest_plan(np.ones((2, 2))), ValueError, "W has shape"),
        (lambda: phases.nearest_plan(np.full((1, 2), np.nan)), ValueError, "W must be finite"),
        (lambda: phases.gain_in_the_sparse_limit(-0.1, 0.5), ValueError, "slope must not be negative"),
        (lambda: phases.gain_in_the_sparse_limit(0.4, 1.5), ValueError, r"length must lie in \[0, 1\], got 1.5"),
        (lambda: phases.gain_in_the_sparse_limit([0.4, 0.5], [0.1, 0.2, 0.3]), ValueError, "do not fit together"),
        (lambda: phases.onset(0.0), ValueError, r"density must lie in \(0, 1\], got 0"),
        (lambda: phases.onset([0.5, np.nan]), ValueError, "density must be finite"),
        (lambda: phases.begin(1e-4), ValueError, "between 0.001 and 0.99"),
        (lambda: phases.begin([0.5, 1.0]), ValueError, "between 0.001 and 0.99"),
        (lambda: phases.begin(0.5, steps=0), ValueError, "steps must be a whole number"),
        (lambda: phases.begin("half"), TypeError, "density must be a number"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------ the stored map


def test_a_remade_piece_of_the_stored_map_agrees(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    data = importlib.import_module("tools.data_phases")
    stored = np.load(data.FILE)
    assert stored["loss"].shape == stored["plan"].shape == stored["reached"].shape == (100, 100)
    np.testing.assert_allclose(stored["density"], data.DENSITY)
    np.testing.assert_allclose(stored["ratio"], data.RATIO)
    rows, columns = np.arange(2, 100, 14), np.arange(4, 100, 14)
    piece = data.diagram(data.DENSITY[rows], data.RATIO[columns])
    there = np.ix_(rows, columns)
    np.testing.assert_allclose(piece["loss"], stored["loss"][there], rtol=1e-3)
    assert (piece["plan"] == stored["plan"][there]).mean() > 0.97
    assert np.abs(piece["reached"] - stored["reached"][there]).mean() < 0.5
    assert stored["plan"].max() == 4
