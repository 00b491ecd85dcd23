"""Neurons and other directions: rotations, alignment, kurtosis, purity, on cases worked out by hand."""

import jax
import numpy as np
import pytest

from toysup import basis


def test_a_rotation_of_the_plane_by_hand():
    R = basis.rotation(np.radians([0, 30, 90]))
    assert R.shape == (3, 2, 2)
    assert np.allclose(R[0], np.eye(2))
    assert np.allclose(R[1], [[3**0.5 / 2, -0.5], [0.5, 3**0.5 / 2]], atol=1e-6)
    assert np.allclose(R[2] @ np.array([1.0, 0]), [0, 1], atol=1e-6)


@pytest.mark.parametrize("m", [2, 3, 6, 7])
@pytest.mark.parametrize("drawn", [False, True])
def test_rotations_are_orthogonal_and_their_angles_add(m, drawn):
    key = jax.random.key(3) if drawn else None
    a, b, both = (np.asarray(basis.rotation(angle, m, key=key)) for angle in (0.4, 0.7, 1.1))
    assert np.allclose(a @ a.T, np.eye(m), atol=1e-5)
    assert np.allclose(a @ b, both, atol=1e-5)
    assert np.isclose(np.linalg.det(a), 1, atol=1e-5)
    assert np.isclose(np.trace(a), m - 2 * (m // 2) * (1 - np.cos(0.4)), atol=1e-5)


def test_random_rotations_favour_no_direction():
    Q = np.asarray(basis.random_rotation(5, 20_000, key=jax.random.key(0)), np.float64)
    assert np.allclose(np.swapaxes(Q, 1, 2) @ Q, np.eye(5), atol=1e-5)
    assert np.allclose(Q.mean(0), 0, atol=0.015)
    assert np.allclose((Q**2).mean(0), 1 / 5, atol=0.01)
    assert np.allclose(basis.kurtosis(Q, axis=-2).mean(), basis.random_kurtosis(5), atol=0.02)
    assert np.allclose(Q[0], basis.random_rotation(5, 20_000, key=jax.random.key(0))[0])
    assert basis.random_rotation(5, key=jax.random.key(0)).shape == (5, 5)


def test_alignment_by_hand():
    W = np.array([[1.0, 3.0, 1.0, 0.0], [0.0, -4.0, 1.0, 0.0]])
    assert np.allclose(basis.alignment(W), [1, 16 / 25, 1 / 2, 0])
    assert np.allclose(basis.alignment(5 * W[None]), [[1, 16 / 25, 1 / 2, 0]])


def test_kurtosis_by_hand():
    assert np.allclose(basis.kurtosis(np.array([[0, 0, 7.0, 0], [2, -2, 2, 2], [0, 0, 0, 0]])), [4, 1, 0])
    assert np.allclose(basis.kurtosis(np.array([[1.0, 1], [1, 0]]), axis=0), [1, 2])
    assert basis.random_kurtosis(1) == 1
    assert basis.random_kurtosis(20) == 60 / 22


def test_purity_by_hand():
    W = np.array([[3.0, -1.0, 0.0], [0.0, 0.0, 0.5], [-1.0, -1.0, -2.0]])
    assert np.allclose(basis.responses(W, "linear"), np.abs(W))
    assert np.allclose(basis.responses(W, "relu"), [[3, 0, 0], [0, 0, 0.5], [0, 0, 0]])
    assert np.allclose(basis.purity(W, "linear"), [3 / 4, 1, 1 / 2])
    assert np.allclose(basis.purity(W, "relu"), [1, 1, 0])
    assert basis.monosemantic(W, "linear").tolist() == [False, True, False]
    assert basis.monosemantic(W).tolist() == [True, True, False]


def test_the_clearest_turn_undoes_a_rotation_and_cannot_undo_a_crowd():
    key = jax.random.key(0)
    Q = np.asarray(basis.random_rotation(5, key=key))
    back = basis.clearest_turn(Q, key=key)
    assert np.allclose(np.sort(np.abs(back)), np.sort(np.eye(5)), atol=1e-5)
    assert np.allclose(back.T @ back, Q.T @ Q, atol=1e-5)
    pairs = basis.clearest_turn(np.hstack([Q, -Q]), key=key)
    assert np.allclose(basis.purity(pairs, "linear"), 0.5, atol=1e-5)
    slanted = np.array([[1, 0.6], [0, 0.8]])
    assert np.allclose(basis.clearest_turn(slanted, key=key), slanted)  # one clean neuron: no turn has two
    with pytest.raises(ValueError, match="must be"):
        basis.clearest_turn(np.ones((2, 3, 3)), key=key)


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1.0, 1e5])
def test_kurtosis_does_not_depend_on_the_size(size):
    h = np.array([[1.0, -2.0, 0.5, 0.0], [0.0, 0.0, 3.0, 0.0]])
    wanted = (h**4).mean(-1) / (h**2).mean(-1) ** 2
    assert basis.kurtosis(size * h) == pytest.approx(wanted, rel=1e-5)
    assert basis.kurtosis(0 * h).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: basis.rotation(np.nan), ValueError, "angle must be finite"),
        (lambda: basis.rotation(0.1, 1), ValueError, "m must be a whole number, at least 2"),
        (lambda: basis.random_rotation(0, key=jax.random.key(0)), ValueError, "m must be"),
        (lambda: basis.random_rotation(2, 0, key=jax.random.key(0)), ValueError, "count must be"),
        (lambda: basis.random_rotation(2, key=0), TypeError, "key must be one JAX random key"),
        (lambda: basis.alignment(np.ones(3)), ValueError, r"W has shape \(3,\)"),
        (lambda: basis.alignment([[np.inf, 1]]), ValueError, "W must be finite"),
        (lambda: basis.kurtosis(3.0), ValueError, "at least one axis"),
        (lambda: basis.purity(np.eye(2), "tanh"), ValueError, "activation must be one of"),
        (lambda: basis.responses("W"), TypeError, "W must be a number"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
