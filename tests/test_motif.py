"""Codes and asymmetric motifs: found where they are built in, gone where one part is missing; null models; errors."""

import numpy as np
import pytest

from toysup import compute, motif


def built(ratio=0.5, out=None, inhibitor=-4.0):
    """The paper's neuron, weights in (2, -1/2) and out (1/2, 2), with its inhibitor; features 0 and 1 of 3."""
    W1, W2 = np.zeros((3, 3)), np.zeros((3, 3))
    W1[0, :2], W2[:2, 0] = (2, -2 * ratio), (0.5, 0.5 / ratio if out is None else out)
    W1[1, 0], W2[1, 1] = 1, inhibitor
    W1[2, 2] = W2[2, 2] = 1
    return W1, W2


def test_the_papers_neuron_is_found():
    (found,) = motif.asymmetric(*built(0.25, inhibitor=-4))
    assert (found.neuron, found.primary, found.secondary, found.inhibitor) == (0, 0, 1, 1)
    assert np.isclose(found.ratio, 0.25)
    assert np.allclose(found.outputs, (1, 4))
    assert np.isclose(found.taken, 1)


def test_it_is_found_in_every_scale_and_order():
    W1, W2 = built(0.25)
    scale = np.array([7.0, 0.1, 3.0])
    order = [2, 0, 1]
    (found,) = motif.asymmetric((W1 * scale[:, None])[order], (W2 / scale)[:, order])
    assert (found.neuron, found.primary, found.secondary, found.inhibitor) == (1, 0, 1, 2)
    (found,) = motif.asymmetric(-W1, W2)  # driven by the other sign
    assert found.inhibitor == 1


@pytest.mark.parametrize(
    "change",
    [{"ratio": 0.1}, {"ratio": 0.8}, {"ratio": 0.25, "out": 0.5}, {"ratio": 0.25, "inhibitor": -1.0}],
    ids=["too small", "too even", "not faithful", "hardly inhibited"],
)
def test_it_is_not_found_where_a_part_is_missing(change):
    assert motif.asymmetric(*built(**{"ratio": 0.25} | change)) == ()


def test_an_inhibitor_of_the_other_sign_does_not_count():
    W1, W2 = built(0.25)
    W1[1, 0] = -1
    assert motif.asymmetric(W1, W2) == ()


def test_the_inhibitor_makes_positive_interference_negative():
    W1, W2 = built(0.25, inhibitor=-5)
    x = np.array([[1.0, 0, 0], [0, -1, 0]])
    y = np.asarray(compute.answers(W1, W2, np.zeros(3), x))
    assert np.allclose(y, [[1, 0, 0], [0.25, 1, 0]])
    W2[1, 1] = 0
    assert np.isclose(compute.answers(W1, W2, np.zeros(3), x)[0, 1], 4)


def test_normalise_changes_no_answer():
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(5, 4, 3)), rng.normal(size=(5, 3, 4))
    W1[0, 0] = 0
    one, two = motif.normalise(W1, W2)
    x = rng.normal(size=(20, 3))
    assert np.allclose(compute.answers(W1, W2, np.zeros(3), x), compute.answers(one, two, np.zeros(3), x), atol=1e-5)
    assert np.allclose(np.abs(one).max(-1).ravel()[1:], 1)
    assert (one[0, 0] == 0).all()


def test_codes_are_the_blocks():
    W = np.zeros((5, 8))
    W[0, 2] = 1
    W[1:3, 3:6] = [[1, 0, 1], [0, 1, -1]]
    W[3, 6:] = 0.5
    W[4, 7] = 0.2  # too small
    assert motif.codes(W) == ((1, 1), (2, 1), (3, 2))
    assert motif.codes(W, threshold=0.1) == ((1, 1), (2, 2), (3, 2))
    assert motif.codes(np.zeros((2, 3))) == ()


def test_null_models_keep_what_they_say():
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(6, 5)), rng.normal(size=(5, 6))
    one, two = motif.normalise(W1, W2)
    for keep in (False, True):
        a, b = motif.shuffled(W1, W2, rng, keep_pairs=keep)
        assert np.allclose(np.sort(a, 1), np.sort(one, 1))
        assert np.allclose(np.sort(b, 0), np.sort(two, 0))
        same = np.allclose(np.sort(a * b.T, 1), np.sort(one * two.T, 1))
        assert same == keep
        assert not np.allclose(a, one)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="W1 has shape"):
        motif.asymmetric(np.zeros((2, 3, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="its last axis must be m = 4"):
        motif.normalise(np.zeros((4, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one output for each feature"):
        motif.asymmetric(np.zeros((4, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="W must be finite"):
        motif.codes(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="threshold must be"):
        motif.codes(np.eye(2), threshold=0)
