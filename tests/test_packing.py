"""Shapes at their best length and bias, fillings, frames, views; charges on a sphere; the data of notebook 06."""

import itertools

import jax
import numpy as np
import pytest
from helpers import ROOT

import toysup
from toysup import geometry, packing, theory, thomson
from toysup.packing import Block

KEY = jax.random.key(0)


def test_a_dressed_shape_is_what_training_finds():
    """Length, bias and loss of the digon and the pentagon, from a fixed shape and from free training."""
    for shape, p in ((geometry.simplex(2), 0.4), (geometry.polygon(5), 0.1)):
        d, k = shape.shape
        found = packing.dress(shape, p)
        free = toysup.train(toysup.independent(p, n=k), d, restarts=32, key=KEY).best()
        assert abs(found.loss / free.loss - 1) < 1e-4
        assert abs(found.length - np.asarray(geometry.norms(free.W)).mean()) < 2e-3
        assert abs(found.bias - np.asarray(free.b).mean()) < 2e-3


def test_dressing_an_axis_costs_nothing_and_a_plain_digon_costs_more():
    assert packing.dress(np.ones((1, 1)), [0.1, 0.5]).loss == pytest.approx([0, 0], abs=1e-7)
    p = np.array([0.1, 0.3])
    dressed = packing.dress(geometry.simplex(2), p).loss
    assert (dressed < p**2 / 3).all()
    assert packing.gain(p**2 / 3, 2, 1, p) == pytest.approx((2 * theory.variance(p) - p**2 / 3) / theory.variance(p))


def by_hand(blocks, m, n):
    """The best mixture, by trying all."""
    best = 0.0
    for counts in itertools.product(range(m + 1), repeat=len(blocks)):
        pairs = list(zip(counts, blocks, strict=True))
        if sum(c * b.dimensions for c, b in pairs) <= m and sum(c * b.features for c, b in pairs) <= n:
            best = max(best, sum(c * b.saved for c, b in pairs))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_filling_is_the_best_of_all_mixtures(seed):
    draw = np.random.default_rng(seed)
    blocks = [Block(str(d), int(draw.integers(d, 3 * d + 1)), d, float(draw.uniform(-0.2, 2 * d))) for d in (1, 2, 3)]
    for m, n in ((1, 4), (5, 20), (6, 7), (7, 9)):
        saved, count = packing.fill(blocks, m, n)
        assert saved == pytest.approx(by_hand(blocks, m, n))
        assert saved == pytest.approx(sum(count.get(b.name, 0) * b.saved for b in blocks))
        assert sum(count.get(b.name, 0) * b.dimensions for b in blocks) <= m
        assert sum(count.get(b.name, 0) * b.features for b in blocks) <= n


def test_the_measured_gain_is_the_exact_one():
    W = np.stack([geometry.polygon(5), 0.7 * geometry.polygon(5)])
    b = np.full((2, 5), -0.1)
    exact = np.asarray(toysup.expected_loss(W, b, toysup.independent(0.2, n=5)))
    gain, error = packing.measured_gain(W, b, 0.2, key=KEY)
    assert gain.shape == error.shape == (2,)
    assert (np.abs(gain - packing.gain(exact, 5, 2, 0.2)) < 5 * error).all()
    assert (error < 0.02).all()


def test_random_tight_frames():
    frame = packing.tight_frame(5, 2, key=KEY)
    assert frame @ frame.T == pytest.approx(2.5 * np.eye(2), abs=1e-8)
    assert np.linalg.norm(frame, axis=0) == pytest.approx(np.ones(5))
    assert thomson.apart(frame, geometry.polygon(5)) > 0.1
    with pytest.raises(ValueError, match="at least d = 3"):
        packing.tight_frame(2, 3, key=KEY)


def test_views_keep_lengths_and_come_round():
    points = np.random.default_rng(0).normal(size=(3, 6))
    flat, near = packing.turned(points, 0, 0)
    assert flat == pytest.approx(points[[0, 2]])
    again = packing.turned(points, 360, 0)[0]
    assert again == pytest.approx(flat)
    flat, near = packing.turned(points, 37, -20)
    depth = (2 * near - 1) * np.linalg.norm(points, axis=0).max()
    assert (flat**2).sum(0) + depth**2 == pytest.approx((points**2).sum(0))
    block = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 3)))[0] @ points
    own = packing.own_space(block, 3)
    assert own.T @ own == pytest.approx(block.T @ block)
    assert packing.own_space(points[:2], 3).shape == (3, 6)


def test_the_antiprism():
    shape = packing.antiprism(3**-0.5)
    assert np.asarray(geometry.feature_dimensionality(shape)) == pytest.approx(np.full(8, 3 / 8), abs=1e-6)
    assert geometry.identify(shape) == "square antiprism"


# ---------------------------------------------------------------------------------------------- charges


@pytest.mark.parametrize(
    ("n", "known", "name"),
    [(4, 3.674234614, "tetrahedron"), (6, 9.985281374, "octahedron"), (12, 49.165253058, "icosahedron")],
)
def test_charges_reach_the_known_energies(n, known, name):
    rest = thomson.settle(n, 3, key=KEY, restarts=20)
    assert rest.energy[0] == pytest.approx(known, rel=1e-5)
    assert geometry.identify(rest.points[0]) == name
    assert (np.diff(rest.energy) >= 0).all()
    assert np.linalg.norm(rest.points, axis=1) == pytest.approx(np.ones((20, n)), abs=1e-5)
    wild = jax.random.normal(KEY, (20, 3, n))
    assert np.asarray(thomson.energy(wild / np.linalg.norm(wild, axis=1, keepdims=True))).min() > 1.02 * known


def test_interference_is_the_loss_with_one_active_feature():
    shape = geometry.polygon(5)
    whole = theory.one_active_loss(shape, np.zeros(5))
    assert thomson.energy(shape, "interference") == pytest.approx(whole, rel=1e-5)
    free = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    assert thomson.energy(free, "interference") == 0


def test_shapes_apart():
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0] @ packing.antiprism(0.5)
    assert thomson.apart(turned, packing.antiprism(0.5)) < 1e-6
    assert thomson.apart(geometry.polygon(4), geometry.simplex(4)) == pytest.approx(2 / 3, abs=1e-6)


BAD = {
    "shape not unit": (lambda: packing.dress(2 * np.eye(2), 0.1), "unit vectors"),
    "shape too large": (lambda: packing.dress(geometry.polygon(9), 0.1), "9 features"),
    "density": (lambda: packing.dress(geometry.polygon(3), 1.5), r"density must lie in \(0, 1\]"),
    "gain of nan": (lambda: packing.gain(np.nan, 2, 1, 0.5), "loss must be finite"),
    "gain of shapes": (lambda: packing.gain(np.zeros(3), 2, 1, np.full(2, 0.5)), "do not fit"),
    "m": (lambda: packing.fill([Block("a", 1, 1, 1.0)], 0), "m must be"),
    "measured density": (lambda: packing.measured_gain(np.eye(2), np.zeros(2), [0.1, 0.2], key=KEY), "one number"),
    "view": (lambda: packing.turned(np.eye(2), 0, 0), r"shape \(3, n\)"),
    "angle": (lambda: packing.turned(np.eye(3), np.nan, 0), "turn must be finite"),
    "angles": (lambda: packing.turned(np.eye(3), [1, 2], 0), "turn must be one number"),
    "block": (lambda: packing.own_space(np.ones(3), 2), r"shape \(m, k\)"),
    "height": (lambda: packing.antiprism(1.2), "height must lie"),
    "kind": (lambda: thomson.settle(4, 3, "gravity", key=KEY), "kind must be one of"),
    "points": (lambda: thomson.settle(1, 3, key=KEY), "n must be"),
    "energy": (lambda: thomson.energy(np.ones(3)), r"shape \(..., d, n\)"),
    "length": (lambda: thomson.energy(np.ones((2, 3))), "points must be unit vectors"),
    "block of nothing": (lambda: packing.Block("none", 0, 1, 1.0), "features must be a whole number"),
    "block of no room": (lambda: packing.Block("none", 1, 0, 1.0), "dimensions must be a whole number"),
    "block of no worth": (lambda: packing.Block("none", 1, 1, np.nan), "saved must be finite"),
    "no direction": (lambda: thomson.cosines(np.zeros((2, 3))), "length 0"),
    "sizes": (lambda: thomson.apart(np.eye(3), np.eye(4)), "equally many points"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call()
    with pytest.raises(TypeError, match="list of Block"):
        packing.fill([], 3)


# ---------------------------------------------------------------------------------------------- the data


@pytest.fixture(scope="module")
def made():
    with np.load(ROOT / "data" / "geometry.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def maker():
    import importlib.util

    spec = importlib.util.spec_from_file_location("data_geometry", ROOT / "tools" / "data_geometry.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_hangs_together(made):
    assert made["columns"].shape == (30, made["count"].sum())
    assert ((made["norm"] > 0.5).sum(1) == made["count"]).all()
    assert np.abs(made["D"].astype(float).sum(1) / 30 - 1).max() < 0.01
    assert (made["gain_error"] < 0.01).all()


@pytest.mark.slow
def test_a_piece_of_the_large_sweep_is_made_again(made, maker):
    k = int(np.argmin(np.abs(made["inverse"] - 2.75)))
    again = maker.sweep(made["inverse"][[k]], restarts=1)
    assert abs(int(again["count"][0]) - int(made["count"][k])) <= 2
    assert again["gain"][0] == pytest.approx(made["gain"][k], abs=0.03)
    assert again["D_star"].mean() == pytest.approx(made["D_star"][k].mean(), abs=0.02)


def test_dense_models_gain_what_the_mixture_does_and_more_than_random_starts(made):
    few = len(made["mixture_gain"])
    gain, error = made["gain"][:few], made["gain_error"][:few]
    assert (gain > made["mixture_gain"] - 2 * error).all()
    assert (gain > np.maximum(made["random_gain"], made["gentle_gain"])).all()
    lines = np.array([3 / 4, 3 / 4, 2 / 3, 1 / 2, 1 / 2])
    D, kept = made["D"][:few].astype(float), made["norm"][:few] > 0.5
    middle = [np.median(row[on]) for row, on in zip(D, kept, strict=True)]
    assert np.abs(middle - lines).max() < 0.02


@pytest.mark.slow
def test_a_piece_of_the_dense_models_is_made_again(made, maker):
    again = maker.dense(maker.DENSE[3:4], maker.MIXTURES[3:4])
    assert again["count"][0] == made["count"][3]
    for name in ("gain", "mixture_gain", "gentle_gain"):
        assert again[name][0] == pytest.approx(made[name][3], abs=0.01)


def test_a_piece_of_the_packs_is_made_again(made, maker):
    inverse = made["pack_inverse"][[6]]
    again = maker.packs(((8, 3),), inverse)
    row = made["pairs"].tolist().index([8, 3])
    assert again["pack_gain"][0, 0] == pytest.approx(made["pack_gain"][row, 6], abs=0.02)
    assert again["space"].shape == (1, 3, 8)
