"""Baselines without superposition: closed forms against drawn inputs, dense enumeration and wired networks."""

import itertools

import jax
import numpy as np
import pytest

from toysup import compute, independent, naive

key = jax.random.key(0)


@pytest.mark.parametrize("task", ["abs", "product", "and"])
def test_variances_of_drawn_targets(task):
    p = np.array([0.3, 0.6, 0.9])
    y = np.asarray(compute.target(compute.inputs(independent(p), task, 200_000, key=key), task))
    assert np.allclose(y.var(0), naive.target_variance(p, task), rtol=0.02)


def test_the_naive_network_wired_by_hand():
    """Five neurons: two absolute values; the half of a third is not used. AND: one neuron each."""
    p, importance = np.array([0.2, 0.2, 0.2, 0.2]), np.array([0.1, 1, 0.5, 0.2])
    kept = [1, 2]
    W1 = np.zeros((5, 4))
    W1[[0, 1], kept], W1[[2, 3], kept] = 1, -1
    b = np.where(np.isin(np.arange(4), kept), 0, p / 2)
    loss, error = compute.compute_loss(W1, abs(W1.T), b, independent(p), importance=importance, inputs=2**17)
    assert abs(loss - naive.naive_loss(5, p, importance)) < 4 * error
    assert np.isclose(naive.naive_loss(5, p, importance), 0.3 * (0.2 / 3 - 0.01))
    assert naive.naive_loss(8, p) == 0
    assert np.isclose(naive.naive_loss(2, p, task="and"), 4 * (0.04 - 0.04**2))
    assert naive.naive_loss(3, np.full((5, 4), 0.2)).shape == (5,)


def test_half_an_absolute_value_against_regression():
    for p in (0.1, 0.5, 1.0):
        x = np.asarray(compute.inputs(independent(p, n=1), "abs", 400_000, key=key))[:, 0]
        r, y = np.maximum(x, 0), abs(x)
        left = y.var() - np.cov(r, y)[0, 1] ** 2 / r.var()
        assert np.isclose(naive.half_loss(p), left, rtol=0.02)
    assert np.isclose(naive.half_loss(1.0), 0.8 / 12)
    assert np.isclose(naive.half_loss(1e-6) / 1e-6, 1 / 6, rtol=1e-4)  # half of p/3


def listed(p):
    x = np.array(list(itertools.product((0.0, 1.0), repeat=len(p))))
    i, j = compute.pairs(len(p))
    return np.concatenate([x, x[:, i] * x[:, j]], 1), np.where(x > 0, p, 1 - p).prod(1)


def test_the_covariance_of_ands_against_all_inputs():
    p = np.array([0.1, 0.4, 0.5, 0.9])
    values, weight = listed(p)
    centred = values - weight @ values
    assert np.allclose(naive.and_covariance(p), (centred.T * weight) @ centred, atol=1e-12)


def left_over(units, p, importance=1.0):
    """The loss of the best linear readout of given units and ANDs, by least squares over all inputs."""
    values, weight = listed(p)
    root = np.sqrt(weight)[:, None]
    A = np.concatenate([np.ones((len(values), 1)), values[:, list(units)]], 1) * root
    y = values[:, len(p) :] * root
    return (importance * ((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2).sum(0)).sum()


def test_single_purpose_units_against_every_choice():
    """For one unit the greedy choice is the best of all; for more it never beats the best, and comes close."""
    for p in (np.full(4, 0.5), np.full(4, 0.05), np.array([0.1, 0.3, 0.5, 0.8])):
        for m in (1, 2, 3):
            best = min(left_over(units, p) for units in itertools.combinations(range(10), m))
            assert best - 1e-12 <= naive.single_loss(m, p) < 1.05 * best + 1e-12
        assert np.isclose(naive.single_loss(1, p), min(left_over((k,), p) for k in range(10)))
        assert naive.single_loss(10, p) < 1e-12
        assert naive.single_loss(2, p) < naive.naive_loss(2, p, task="and")
    weight = np.array([1.0, 0, 0, 0, 0, 0])
    assert naive.single_loss(1, np.full(4, 0.3), weight) < 1e-12


def test_one_neuron_for_a_product_against_drawn_inputs():
    p = 0.4
    x = np.asarray(compute.inputs(independent(p, n=2), "product", 300_000, key=key))
    y, best = x[:, 0] * x[:, 1], np.inf
    for c in np.linspace(-1.5, 0.5, 81):
        h = np.maximum(x.sum(1) + c, 0)
        best = min(best, y.var() - np.cov(h, y)[0, 1] ** 2 / h.var())
    assert np.isclose(naive.product_loss(p), best, rtol=0.03)
    assert 0 < naive.product_loss(p) < naive.target_variance(np.full(2, p), "product")[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one for each feature"):
        naive.naive_loss(2, 0.5)
    with pytest.raises(ValueError, match="task must be one of 'abs', 'and'"):
        naive.naive_loss(2, np.full(3, 0.5), task="product")
    with pytest.raises(ValueError, match=r"it must be \(n,\), at least 2"):
        naive.single_loss(2, np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="density must lie in"):
        naive.half_loss(1.5)
    with pytest.raises(ValueError, match="m must be"):
        naive.single_loss(0, np.full(3, 0.5))


def test_no_linear_readout_gets_below_its_floor():
    """Against the best linear readout of the principal components over all inputs, and of any wiring."""
    p = np.array([0.1, 0.4, 0.5, 0.9])
    values, weight = listed(p)
    targets = values[:, 4:] - weight @ values[:, 4:]
    covariance = naive.and_covariance(p)[4:, 4:]
    _left, singular, _ = np.linalg.svd(targets * np.sqrt(weight)[:, None], full_matrices=False)
    for m in (1, 2, 3, 5):
        floor = naive.linear_floor(m, covariance)
        assert np.isclose(floor, (singular[m:] ** 2).sum())
        assert floor <= naive.single_loss(m, p) + 1e-12
    assert naive.linear_floor(6, covariance) == naive.linear_floor(9, covariance) == 0
    assert np.isclose(naive.linear_floor(2, np.diag([4.0, 1.0, 3.0, 2.0])), 3)
    with pytest.raises(ValueError, match="covariance has shape"):
        naive.linear_floor(1, np.ones(3))
