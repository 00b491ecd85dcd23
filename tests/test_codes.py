"""Codes for two numbers: readers by hand and by drawing, linear probes in closed form and their bound."""

import numpy as np
import pytest

from toysup import codes


def drawn(density, many=200_000):
    rng = np.random.default_rng(0)
    return np.where(rng.random((many, 2)) < density, rng.random((many, 2)), 0.0), rng


def test_digits_are_packed_and_unpacked():
    assert codes.pack([0.37, 0.246])[0] == pytest.approx(0.3246)
    assert codes.pack([1.0, 0.5])[0] == pytest.approx(0.95)
    assert np.allclose(codes.unpack(codes.pack([0.37, 0.246])), [0.3, 0.246])
    assert np.allclose(codes.unpack(np.array([0.2999])), [0.2, 0.999])  # the cliff


def test_packing_is_not_linear():
    """The best plane through the packed code leaves the saw of the floor over, (1/10)² / 12 of 1/12."""
    x = drawn(1.0)[0]
    A = np.column_stack([x, np.ones(len(x))])
    h = codes.pack(x)[:, 0]
    left = np.var(h - A @ np.linalg.lstsq(A, h, rcond=None)[0])
    assert left == pytest.approx(0.01 / 12 * 0.99, rel=0.02)


@pytest.mark.parametrize("name", codes.CODES)
@pytest.mark.parametrize(("noise", "density"), [(1 / 300, 1.0), (0.03, 0.3), (0.01, 0.05)])
def test_what_is_computed_agrees_with_drawing(name, noise, density):
    code, (x, rng) = codes.CODES[name], drawn(density)
    h = code.write(x)
    seen = h + noise * rng.normal(size=h.shape)
    at, answers = codes.reading(code, noise, density)
    best = np.stack([np.interp(seen[:, i % code.m], at, np.nan_to_num(answers[i])) for i in range(2)], 1)
    for reader, guess in (("own", code.read(seen)), ("best", best)):
        wanted = 1 - np.square(guess - x).mean(0) / x.var(0)
        assert codes.explained(code, noise, density, reader=reader) == pytest.approx(wanted, abs=0.01, rel=0.03)
    probe = [np.corrcoef(seen[:, i % code.m], x[:, i])[0, 1] ** 2 for i in range(2)]
    assert codes.explained(code, noise, density, reader="linear") == pytest.approx(probe, abs=0.01)


@pytest.mark.parametrize("density", [1.0, 0.05])
@pytest.mark.parametrize("name", codes.CODES)
def test_no_reader_beats_the_best(name, density):
    for noise in (0.001, 0.01, 0.1):
        own, linear, best = (codes.explained(codes.CODES[name], noise, density, reader=r) for r in codes.READERS)
        assert (best >= np.maximum(own, linear) - 1e-3).all()


def test_known_values():
    assert codes.explained(codes.CODES["orthogonal"], 0.1) == pytest.approx(1 - 0.01 * 12, abs=1e-3)
    assert codes.explained(codes.CODES["packed"]) == pytest.approx([0.96, 1.0], abs=1e-3)  # the floor costs 1/300
    probe = codes.explained(codes.CODES["packed"], 0.001, reader="linear")
    assert probe == pytest.approx([0.9801, 0.01], abs=1e-3)
    for density in (1.0, 0.05):
        assert codes.explained(codes.CODES["superposed"], 0.001, density, reader="linear") == pytest.approx(
            0.5, abs=1e-3
        )
    dense = codes.explained(codes.CODES["superposed"], 0.001, reader="best")
    assert dense == pytest.approx(0.5, abs=1e-3)  # E[x1 given x1 - x2 = h] = (1 + h) / 2


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
        (lambda: codes.explained(codes.CODES["packed"], -0.1), "noise must be one number, at least 0"),
        (lambda: codes.explained(codes.CODES["packed"], np.nan), "noise must be finite"),
        (lambda: codes.explained(codes.CODES["packed"], 1e-4), "noise must lie in"),
        (lambda: codes.explained(codes.CODES["packed"], density=1.2), "density must lie in"),
        (lambda: codes.explained(codes.CODES["packed"], density=[0.1, 0.2]), "density must be one number"),
        (lambda: codes.explained(codes.CODES["packed"], reader="eye"), "reader must be one of"),
        (lambda: codes.linear_probe(np.ones((3, 1)), np.ones((4, 1))), "with the same k"),
        (lambda: codes.linear_probe(np.eye(2), np.ones((2, 1))), "constant for feature 0"),
        (lambda: codes.linear_probe(np.eye(2), np.eye(2), [0.5, 0.6]), "probabilities that add up to 1"),
        (lambda: codes.read_linearly(np.ones(3)), "W must have shape"),
    ],
)
def test_bad_input_is_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()
