"""The geometry of uniform superposition, claim by claim: each with its control, its seeds, and its limit.

Source: Elhage et al. 2022, "The Geometry of Superposition". `pytest -s` prints the numbers.
"""

import jax
import numpy as np
import pytest
from helpers import confirm

import toysup
from toysup import geometry, packing, thomson
from toysup.geometry import simplex

KEY = jax.random.key(11)
INVERSE = np.array([1.15, 2.0, 2.6, 3.2, 6.0])  # 1/p
SAMPLED = {"objective": "sampled", "restarts": 20, "batch": 256, "steps": 2000}


@pytest.fixture(scope="module")
def small():
    """Twenty restarts of 48 features in 6 dimensions at each density."""
    return toysup.train(toysup.independent(1 / INVERSE[:, None], n=48), 6, key=KEY, **SAMPLED)


def shares(fit, k):
    """The D_i of all kept features of the restarts at density k."""
    W = np.asarray(fit.W[k])
    return np.asarray(geometry.feature_dimensionality(W))[np.asarray(geometry.represented(W))]


def kept(fit):
    return np.asarray(geometry.represented(fit.W).sum(-1))


def test_one_half_is_sticky(small):
    near = [float(np.mean(np.abs(shares(small, k) - 0.5) < 0.02)) for k in range(5)]
    assert near[3] > 0.98
    confirm("06-half-is-sticky", near[2], control=near[4])


def test_d_star_slides_where_d_does_not(small):
    star = np.asarray(geometry.dimensions_per_feature(small.W)).mean(-1)
    middle = [float(np.median(shares(small, k))) for k in range(5)]
    confirm("06-d-star-sticks-at-half", float(star[1] - star[3]), control=middle[1] - middle[3])
    confirm("06-d-star-near-one", float(star[0]), control=float(star[3]))
    p, solid = 1 / INVERSE[0], packing.dress(simplex(4), 1 / INVERSE[0])
    trained = float(np.median(packing.gain(np.asarray(small.loss[0]), 48, 6, p)))
    assert abs(trained - 1) < 0.01
    assert packing.gain(solid.loss, 4, 3, p) > 1.005 > trained
    assert abs(3 / (4 * solid.length**2) - 0.95) < 0.02


def test_no_feature_has_a_dimension_to_itself_when_dense(small):
    """Equal importances single nothing out; falling ones do."""
    whole = lambda fit: np.mean((np.asarray(geometry.feature_dimensionality(fit.W)) > 0.95).sum(-1))
    equal = (np.asarray(geometry.feature_dimensionality(small.W[0])) > 0.95).sum(-1).mean()
    features = toysup.independent(1 / 1.15, n=48)
    falling = toysup.train(features, 6, importance=0.7 ** np.arange(48), key=KEY, **SAMPLED)
    confirm("06-no-line-at-one", float(equal), control=float(whole(falling)))


def test_features_double_with_dimensions(small):
    p = 1 / INVERSE[2]
    half = kept(toysup.train(toysup.independent(p, n=48), 3, key=KEY, **SAMPLED))
    wide = kept(toysup.train(toysup.independent(p, n=96), 6, key=KEY, **SAMPLED))
    usual = kept(small)[2]
    confirm("06-features-double-with-dimensions", usual.mean() / half.mean(), control=float(wide.mean() / usual.mean()))


def test_shares_add_up_to_the_dimensions(small):
    total = np.asarray(geometry.feature_dimensionality(small.W)).sum(-1) / 6
    wild = np.asarray(geometry.feature_dimensionality(jax.random.normal(KEY, (20, 6, 12)))).sum(-1) / 6
    assert np.abs(total - 1).max() < 0.01
    confirm("06-dimensions-add-up", float(total.mean()), control=float(wild.mean()))


@pytest.fixture(scope="module")
def six():
    """The best of 32 starts of six features in the plane."""
    p = 1 / np.array([1.3, 3.0, 10.0])
    return toysup.train(toysup.independent(p[:, None], n=6), 2, restarts=32, key=KEY).best()


def test_fractions_and_their_shapes(six):
    assert geometry.describe(six.W).tolist() == ["triangle", "digon + digon", "pentagon"]
    solid = toysup.train(toysup.independent(1 / 1.15, n=6), 3, restarts=32, key=KEY).best()
    assert geometry.describe(solid.W) == "tetrahedron"
    middle = []
    for W, b in zip(np.asarray(six.W), np.asarray(six.b), strict=True):
        on = np.asarray(geometry.represented(W))
        middle.append((np.asarray(geometry.feature_dimensionality(W))[on].mean(), b[on].mean()))
    confirm("06-triangle-two-thirds", float(middle[0][0]), control=float(middle[1][0]))
    confirm("06-pentagon-two-fifths", float(middle[2][0]), control=float(middle[1][0]))
    assert middle[0][1] > 0.3  # biases: positive for simplices, negative in the pentagon
    assert 0 < middle[1][1] < 0.05
    assert middle[2][1] < -0.15


def test_simplices_when_dense_and_the_order_of_shapes():
    """By gain per dimension: tetrahedron, triangle, digon, pentagon, hexagon, as features get sparser."""
    shapes = [simplex(4), simplex(3), simplex(2), geometry.polygon(5), geometry.polygon(6)]
    inverse = np.array([1.15, 1.4, 1.7, 3.0, 4.3, 4.6, 10.0, 16.0])
    losses = [packing.dress(shape, 1 / inverse).loss for shape in shapes]
    gains = [packing.gain(loss, *shape.shape[::-1], 1 / inverse) for loss, shape in zip(losses, shapes, strict=True)]
    assert np.argmax(gains, axis=0).tolist() == [0, 1, 2, 2, 2, 3, 3, 4]


def test_blocks_at_right_angles(small):
    count = [float(np.mean([len(geometry.blocks(W, tolerance=0.2)) for W in np.asarray(small.W[k])])) for k in (2, 4)]
    confirm("06-blocks-at-right-angles", count[0], control=count[1])


def test_a_share_does_not_name_a_shape():
    frames = [packing.tight_frame(5, 2, key=key) for key in jax.random.split(KEY, 20)]
    D = np.array([geometry.feature_dimensionality(frame) for frame in frames])
    assert np.abs(D - 0.4).max() < 1e-4
    away = np.median([thomson.apart(frame, geometry.polygon(5)) for frame in frames])
    again = toysup.train(toysup.independent(0.1, n=5), 2, restarts=32, key=KEY).best()
    confirm("06-share-names-shape", float(away), control=thomson.apart(again.W, geometry.polygon(5)))


def test_eight_features_rest_like_eight_charges():
    charges = thomson.settle(8, 3, restarts=20, key=KEY)
    p = 1 / np.array([[7.0], [3.0]])
    fit, dense = toysup.train(toysup.independent(p, n=8), 3, learning_rate=0.02, key=KEY, **SAMPLED).best().W
    wild = np.asarray(jax.random.normal(KEY, (20, 3, 8)))
    chance = np.median([thomson.apart(W, charges.points[0]) for W in wild])
    assert geometry.describe(dense, tolerance=0.1) == "digon + digon + digon"  # and six of the eight are kept
    confirm("06-thomson", thomson.apart(fit, charges.points[0]), control=float(chance))
