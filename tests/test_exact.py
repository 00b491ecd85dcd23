"""Exact inference against another solver, against answers by hand, and what it refuses."""

import jax
import numpy as np
import pytest
from scipy.optimize import nnls

from toysup import autoencoder
from toysup.autoencoder import exact, metrics
from toysup.geometry import polygon

KEY = jax.random.key(2)


def sparse_inputs(n):
    rng = np.random.default_rng(1)
    return rng.uniform(0, 1, (400, n)) * (rng.random((400, n)) < 0.1)


def test_one_latent_loses_half_the_penalty():
    found = exact.infer([[1.0, 0.0]], [[0.9, 0.0], [0.05, 0.0], [-1.0, 0.0]], 0.2)
    np.testing.assert_allclose(found.a[:, 0], [0.8, 0, 0], atol=1e-5)
    assert exact.cost([[1.0, 0.0]], [[0.9, 0.0]], [[0.8]], 0.2) == pytest.approx(0.01 + 0.16)


def test_the_minimum_is_that_of_another_solver_and_proved():
    rng, weight = np.random.default_rng(0), 0.3
    D, h = rng.normal(size=(9, 4)), rng.normal(size=(20, 4))
    found = exact.infer(D, h, weight)
    assert abs(found.gap) < 1e-4
    # |h - aD|² + w Σa is a non-negative least-squares problem once the square of the linear term is completed
    K = np.linalg.cholesky(D @ D.T + 1e-7 * np.eye(9)).T
    other = np.array([nnls(K, np.linalg.solve(K.T, D @ x - weight / 2), maxiter=1000)[0] for x in h])
    assert exact.cost(D, h, found.a, weight) == pytest.approx(exact.cost(D, h, other, weight), rel=1e-3)
    assert exact.cost(D, h, 1.05 * found.a, weight) > exact.cost(D, h, found.a, weight)


def test_sparse_inputs_give_their_directions_back():
    truth = polygon(5).T
    h = sparse_inputs(5) @ truth
    Ds = exact.learn(h, 5, 0.1, seeds=4, key=KEY)
    assert Ds.shape == (4, 5, 2)
    costs = [exact.cost(D, h, exact.infer(D, h, 0.1).a, 0.1) for D in Ds]
    assert metrics.recovered(Ds[int(np.argmin(costs))], truth, 0.99) == 1


def test_an_encoder_for_right_angles_reaches_the_minimum_and_for_a_pentagon_it_does_not():
    ratio = {}
    for name, D in (("right angles", np.eye(2)), ("pentagon", polygon(5).T)):
        h = sparse_inputs(len(D)) @ D
        model = exact.fit_encoder(D, h, 0.1, seeds=2, key=KEY)
        np.testing.assert_allclose(model.D, D, atol=1e-6)
        a, c = np.asarray(autoencoder.encode(model, h)), np.asarray(model.c)
        ratio[name] = exact.cost(D, h - c, a, 0.1) / exact.cost(D, h, exact.infer(D, h, 0.1).a, 0.1)
    assert ratio["right angles"] < 1.01
    assert ratio["pentagon"] > 1.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exact.infer(np.ones((2, 3)), np.ones((4, 2)), 0.1), "D must have shape"),
        (lambda: exact.infer(np.ones(3), np.ones((4, 3)), 0.1), "D must have shape"),
        (lambda: exact.infer(np.ones((2, 3)), np.ones((4, 3)), -0.1), "weight"),
        (lambda: exact.infer(np.full((2, 3), np.nan), np.ones((4, 3)), 0.1), "D"),
        (lambda: exact.learn(np.ones((4, 3)), 0, 0.1, key=KEY), "latents"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
