"""Codes for two numbers: readers by hand and by drawing, linear probes in closed form and their bound."""

import numpy as np
import pytest

from toysup import codes


def test_digits_are_packed_and_unpacked():
    assert codes.pack([0.3, 0.2])[0] == pytest.approx(0.32)
    assert codes.pack([0.7, 0.4])[0] == pytest.approx(0.74)
    for read in (codes.unpack, codes.unpack_nearest):
        assert np.allclose(read(codes.pack(codes.INPUTS)), codes.INPUTS)
    assert np.allclose(codes.unpack_nearest(np.array([0.3204])), [0.3, 0.2])
    assert np.allclose(codes.unpack(np.array([0.2999])), [0.2, 0.999])  # the cliff


def test_chances_of_the_inputs():
    assert np.allclose(codes.chances(1.0), 0.01)
    p = codes.chances(0.2)
    assert p.sum() == pytest.approx(1)
    assert p[codes.INPUTS[:, 0] > 0].sum() == pytest.approx(0.2 * 0.9)


@pytest.mark.parametrize("name", codes.CODES)
@pytest.mark.parametrize(("noise", "density"), [(0.0, 1.0), (1 / 300, 1.0), (0.03, 0.3)])
def test_what_is_computed_agrees_with_drawing(name, noise, density):
    code, rng = codes.CODES[name], np.random.default_rng(0)
    p = codes.chances(density)
    x = codes.INPUTS[rng.choice(100, 200_000, p=p)]
    h = code.write(x)
    error = np.square(code.read(h + noise * rng.normal(size=h.shape)) - x).mean(0)
    assert codes.explained(code, noise, density) == pytest.approx(1 - error / x.var(0), abs=0.03)


def test_orthogonal_numbers_lose_the_variance_of_the_noise():
    assert codes.explained(codes.CODES["orthogonal"], 0.1) == pytest.approx(1 - 0.01 / 0.0825, abs=1e-3)


def test_probes_in_closed_form():
    assert codes.probed(codes.CODES["digits"]) == pytest.approx([100 / 101, 1 / 101])
    assert codes.probed(codes.CODES["superposed"], density=0.05) == pytest.approx([0.5, 0.5])
    assert codes.probed(codes.CODES["orthogonal"], noise=0.1) == pytest.approx(0.0825 / 0.0925)


@pytest.mark.parametrize("seed", range(5))
def test_no_code_beats_the_bound_under_linear_reading(seed):
    """The R² of uncorrelated features add up to at most m, for codes with kinks and waves too."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[-1.0, 0, 1]] * 4), -1).reshape(-1, 4)
    for m in (1, 2, 3):
        h = np.sin(3 * grid @ rng.normal(size=(4, m))) + np.maximum(grid @ rng.normal(size=(4, m)), 0)
        assert codes.linear_probe(h, grid).sum() <= m + 1e-9
    linear = grid @ rng.normal(size=(4, 3))
    assert codes.linear_probe(linear, grid).sum() == pytest.approx(3)
    twice = np.concatenate([grid, grid], 1)  # control: correlated features are outside the theorem
    assert codes.linear_probe(linear, twice).sum() == pytest.approx(6)


def test_linear_reading_of_a_linear_code():
    grid = np.stack(np.meshgrid(*[[-1.0, 1]] * 5), -1).reshape(-1, 5)
    W = np.random.default_rng(3).normal(size=(2, 5))
    assert codes.read_linearly(W) == pytest.approx(codes.linear_probe(grid @ W.T, grid))
    assert codes.read_linearly(np.stack([W, 2 * W])).sum(-1) == pytest.approx([2, 2])
    assert codes.read_linearly(np.ones((2, 5))).sum() == pytest.approx(1)  # rank 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: codes.explained(codes.CODES["digits"], -0.1), "noise must be one number, at least 0"),
        (lambda: codes.explained(codes.CODES["digits"], np.nan), "noise must be finite"),
        (lambda: codes.chances(1.2), "density must lie in"),
        (lambda: codes.chances([0.1, 0.2]), "density must be one number"),
        (lambda: codes.linear_probe(np.ones((3, 1)), np.ones((4, 1))), "with the same k"),
        (lambda: codes.linear_probe(np.eye(2), np.ones((2, 1))), "constant for feature 0"),
        (lambda: codes.linear_probe(np.eye(2), np.eye(2), [0.5, 0.6]), "probabilities that add up to 1"),
        (lambda: codes.read_linearly(np.ones(3)), "W must have shape"),
        (lambda: codes.squared_errors(codes.CODES["digits"], points=0), "points must be a whole number"),
    ],
)
def test_bad_input_is_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()
