"""Shapes: measures, canonical position under rotations, reflections and permutations, names of solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

from toysup import geometry

properties = settings(derandomize=True, deadline=None, database=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)

DIGON, TRIANGLE, SQUARE = geometry.polygon(2), geometry.polygon(3), geometry.polygon(4)


def side_by_side(*shapes):
    """Shapes in orthogonal spaces."""
    out = np.zeros((sum(len(s) for s in shapes), sum(s.shape[1] for s in shapes)))
    row = column = 0
    for s in shapes:
        out[row : row + len(s), column : column + s.shape[1]] = s
        row, column = row + len(s), column + s.shape[1]
    return out


def antiprism(height=0.56):
    angle = np.pi / 4 * np.arange(8)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height * (-1.0) ** np.arange(8)])


def cube():
    return np.array([[1 if k >> axis & 1 else -1 for k in range(8)] for axis in range(3)]) / np.sqrt(3)


def octahedron():
    return side_by_side(DIGON[:1], DIGON[:1], DIGON[:1])


SHAPES = {
    "digon": DIGON[:1],
    "triangle": TRIANGLE,
    "square": SQUARE,
    "pentagon": geometry.polygon(5),
    "hexagon": geometry.polygon(6),
    "heptagon": geometry.polygon(7),
    "octagon": geometry.polygon(8),
    "regular 9-gon": geometry.polygon(9),
    "tetrahedron": np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / np.sqrt(3),
    "octahedron": octahedron(),
    "cube": cube(),
    "square antiprism": antiprism(),
    "triangular bipyramid": side_by_side(DIGON[:1], TRIANGLE),
    "simplex": geometry.simplex(6),
    "cross-polytope": np.concatenate([np.eye(4), -np.eye(4)], 1),
    "orthogonal": np.eye(3),
    "axis": np.array([[1.0], [0.0]]),
}


def random_rotation(rng, m):
    """A rotation or a reflection of m dimensions."""
    return ortho_group.rvs(m, random_state=rng) if m > 1 else rng.choice([-1.0, 1.0], (1, 1))


def set_distance(A, B):
    """The largest distance between columns that are paired in the best way."""
    far = np.linalg.norm(A[:, :, None] - B[:, None, :], axis=0)
    rows, columns = linear_sum_assignment(far**2)
    return far[rows, columns].max()


# --------------------------------------------------------------------------------------------- measures


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("digon", 1 / 2),
        ("triangle", 2 / 3),
        ("tetrahedron", 3 / 4),
        ("pentagon", 2 / 5),
        ("hexagon", 1 / 3),
        ("cube", 3 / 8),
    ],
)
def test_dimensionality_of_shapes(name, share):
    W = SHAPES[name] * 1.3
    np.testing.assert_allclose(geometry.feature_dimensionality(W), share, rtol=1e-5)
    np.testing.assert_allclose(geometry.norms(W), 1.3, rtol=1e-6)


@properties
@given(seeds, st.integers(1, 5), st.integers(1, 9), st.floats(1e-3, 1e3))
def test_dimensionality_is_a_share_and_does_not_scale(seed, m, n, scale):
    W = np.random.default_rng(seed).normal(size=(m, n))
    D = geometry.feature_dimensionality(W)
    assert (D > 0).all()
    assert (D <= 1 + 1e-6).all()
    assert D.sum() <= min(m, n) + 1e-4
    np.testing.assert_allclose(geometry.feature_dimensionality(scale * W), D, rtol=1e-4)


@properties
@given(seeds, st.integers(1, 4), st.integers(1, 6))
def test_measures_agree_with_their_definitions(seed, m, n):
    W = np.random.default_rng(seed).normal(size=(m, n))
    for i in range(n):
        unit = W[:, i] / np.sqrt(W[:, i] @ W[:, i])
        others = sum((unit @ W[:, j]) ** 2 for j in range(n) if j != i)
        own = W[:, i] @ W[:, i]
        assert geometry.superposition(W)[i] == pytest.approx(others, rel=1e-4, abs=1e-6)
        assert geometry.feature_dimensionality(W)[i] == pytest.approx(own / (own + others), rel=1e-4)
    assert geometry.dimensions_per_feature(W) == pytest.approx(m / (W**2).sum(), rel=1e-5)
    np.testing.assert_allclose(geometry.gram(W), W.T @ W, rtol=1e-4, atol=1e-5)


def test_a_feature_that_is_not_represented_has_dimensionality_0():
    W = np.array([[1.0, 0.0, 1e-5, 0.9], [0.0, 0.0, 1e-5, 0.1]])
    D, s = geometry.feature_dimensionality(W), geometry.superposition(W)
    assert D[1] == D[2] == s[1] == s[2] == 0
    assert (np.array(D)[[0, 3]] > 0.4).all()
    np.testing.assert_array_equal(geometry.feature_dimensionality(np.zeros((2, 3))), 0)
    np.testing.assert_array_equal(geometry.norms(np.zeros((2, 3))), 0)
    assert geometry.dimensions_per_feature(np.zeros((2, 3))) == np.inf


def test_represented_by_threshold():
    W = np.array([[1.0, 0.6, 0.4, 0.0]])
    np.testing.assert_array_equal(geometry.represented(W), [True, True, False, False])
    np.testing.assert_array_equal(geometry.represented(W, threshold=0.3), [True, True, True, False])


def test_measures_take_batches_and_transformations():
    W = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    for measure in (geometry.norms, geometry.gram, geometry.feature_dimensionality, geometry.superposition):
        whole = measure(W)
        assert whole.shape[:2] == (2, 3)
        mapped = jax.jit(jax.vmap(jax.vmap(measure)))(W)
        np.testing.assert_allclose(mapped, whole, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(measure(W[1, 2]), whole[1, 2], rtol=1e-5, atol=1e-6)
    assert geometry.dimensions_per_feature(W).shape == (2, 3)
    assert jax.jit(geometry.represented)(W).dtype == bool


@pytest.mark.parametrize(
    "measure",
    [geometry.norms, geometry.feature_dimensionality, geometry.superposition, geometry.dimensions_per_feature],
)
@pytest.mark.parametrize("dead", [0.0, 1e-8, 1e-25])
def test_gradients_are_finite_where_a_feature_is_dead(measure, dead):
    W = jnp.array([[1.0, dead, -0.8], [0.0, dead, 0.3]])
    gradient = jax.jit(jax.grad(lambda W: measure(W).sum()))(W)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_gradient_of_dimensionality():
    W, step = np.random.default_rng(1).normal(size=(2, 4)), 1e-2
    gradient = jax.grad(lambda W: geometry.feature_dimensionality(W)[1])(jnp.asarray(W))
    E = np.zeros_like(W)
    E[1, 2] = step
    up, down = (float(geometry.feature_dimensionality(W + s * E)[1]) for s in (1, -1))
    assert gradient[1, 2] == pytest.approx((up - down) / (2 * step), rel=1e-2)


# ---------------------------------------------------------------------------------- canonical position


@properties
@given(seeds, st.integers(1, 6), st.integers(1, 9))
def test_canonical_position_of_random_models(seed, m, n):
    rng = np.random.default_rng(seed)
    W, Q, P = rng.normal(size=(m, n)), random_rotation(rng, m), rng.permutation(n)
    C = geometry.canonicalize(W)
    np.testing.assert_allclose(C.T @ C, W.T @ W, atol=1e-11)  # a rotation of W
    np.testing.assert_allclose(geometry.canonicalize(Q @ W), C, atol=1e-10)
    assert set_distance(geometry.canonicalize(Q @ W[:, P]), C) < 1e-10
    sorted_columns = geometry.canonicalize(W, permute=True)
    assert set_distance(sorted_columns, C) < 1e-10
    np.testing.assert_allclose(geometry.canonicalize(Q @ W[:, P], permute=True), sorted_columns, atol=1e-10)


@properties
@given(seeds, st.integers(1, 4), st.integers(1, 7))
def test_canonical_position_of_models_of_small_integers(seed, m, n):
    """Integers bring repeated, zero, antipodal and dependent columns, and many ties."""
    rng = np.random.default_rng(seed)
    W, Q, P = rng.integers(-1, 2, (m, n)), random_rotation(rng, m), rng.permutation(n)
    C = geometry.canonicalize(W)
    np.testing.assert_allclose(geometry.canonicalize(Q @ W), C, atol=1e-10)
    assert set_distance(geometry.canonicalize(Q @ W[:, P]), C) < 1e-10
    permuted = geometry.canonicalize(Q @ W[:, P], permute=True)
    np.testing.assert_allclose(permuted, geometry.canonicalize(W, permute=True), atol=1e-10)


SYMMETRIC = {
    "pentagon": SHAPES["pentagon"],
    "hexagon": SHAPES["hexagon"],
    "tetrahedron": SHAPES["tetrahedron"],
    "antiprism": SHAPES["square antiprism"],
    "two digons": np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]),
    "two digons and a dead feature": np.array([[1.02, -1.02, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0, 0.0]]),
    "bipyramid": SHAPES["triangular bipyramid"],
    "cube": cube(),
    "triangle in five dimensions": np.concatenate([TRIANGLE, np.zeros((3, 3))]),
    "repeated columns": np.repeat(SHAPES["pentagon"], 2, 1),
}


@settings(properties, max_examples=60)
@given(st.sampled_from(sorted(SYMMETRIC)), seeds)
def test_noise_does_not_change_the_canonical_position(name, seed):
    rng = np.random.default_rng(seed)
    shape = SYMMETRIC[name]
    m, n = shape.shape
    noisy = lambda: shape + rng.uniform(-1e-4, 1e-4, shape.shape)
    one, other, Q, P = noisy(), noisy(), random_rotation(rng, m), rng.permutation(n)
    C = geometry.canonicalize(one)
    np.testing.assert_allclose(geometry.canonicalize(Q @ one), C, atol=1e-10)  # exact: the same noise
    np.testing.assert_allclose(geometry.canonicalize(Q @ other), C, atol=2e-3)
    assert set_distance(geometry.canonicalize(Q @ other[:, P]), C) < 2e-3
    permuted = geometry.canonicalize(Q @ other[:, P], permute=True)
    np.testing.assert_allclose(permuted, geometry.canonicalize(one, permute=True), atol=2e-3)


@settings(properties, max_examples=25)
@given(seeds)
def test_noise_does_not_choose_between_different_pictures(seed):
    """Three equally long columns, of which only one starts the picture that comes first."""
    rng = np.random.default_rng(seed)
    angle = np.array([0.0, 50.0, 140.0]) * np.pi / 180
    W = np.stack([np.cos(angle), np.sin(angle)])
    noisy = W + rng.uniform(-1e-4, 1e-4, W.shape)
    Q, P = random_rotation(rng, 2), rng.permutation(3)
    np.testing.assert_allclose(geometry.canonicalize(noisy), geometry.canonicalize(W), atol=1e-3)
    assert set_distance(geometry.canonicalize(Q @ noisy[:, P]), geometry.canonicalize(W)) < 1e-3
    others = [geometry.canonicalize(W, anchor=i) for i in range(3)]
    far = [set_distance(geometry.canonicalize(W), other) for other in others]
    assert sorted(far)[1] > 0.1  # the other choices would look different


def test_mirror_images_coincide_and_different_shapes_do_not():
    rng = np.random.default_rng(3)
    W = rng.normal(size=(3, 5))
    mirrored = np.diag([1, 1, -1]) @ W
    np.testing.assert_allclose(geometry.canonicalize(mirrored), geometry.canonicalize(W), atol=1e-12)
    bent = W + rng.normal(size=W.shape) * 0.1
    assert set_distance(geometry.canonicalize(bent), geometry.canonicalize(W)) > 0.02


@pytest.mark.parametrize(
    "W",
    [
        np.random.default_rng(0).normal(size=(5, 20)),
        np.random.default_rng(1).normal(size=(20, 80)),
        np.concatenate([np.eye(5), -np.eye(5), np.zeros((5, 10))], 1),
        np.concatenate([np.eye(20), -np.eye(20), np.zeros((20, 40))], 1),
        side_by_side(*[SHAPES["pentagon"]] * 4, *[SHAPES["tetrahedron"]] * 4),
        geometry.simplex(21),
        np.random.default_rng(2).normal(size=(20, 3)) @ np.random.default_rng(3).normal(size=(3, 80)),
    ],
    ids=["20 in 5", "80 in 20", "5 digons", "20 digons", "pentagons, tetrahedra", "simplex", "rank 3"],
)
@pytest.mark.parametrize("noise", [0, 1e-4])
def test_canonical_position_of_large_models(W, noise):
    rng = np.random.default_rng(4)
    W = W + noise * rng.uniform(-1, 1, W.shape)
    m, n = W.shape
    Q, P = random_rotation(rng, m), rng.permutation(n)
    C = geometry.canonicalize(W)
    np.testing.assert_allclose(C.T @ C, W.T @ W, atol=1e-10)
    np.testing.assert_allclose(geometry.canonicalize(Q @ W), C, atol=1e-9)
    assert set_distance(geometry.canonicalize(Q @ W[:, P]), C) < (3e-3 if noise else 1e-9)


def test_capped_ties_keep_labels_under_rotation(monkeypatch):
    monkeypatch.setattr(geometry, "CANDIDATES", 2)
    rng = np.random.default_rng(5)
    for W in (antiprism(), cube(), rng.integers(-1, 2, (4, 9)).astype(float), geometry.simplex(8)):
        Q = random_rotation(rng, len(W))
        np.testing.assert_allclose(geometry.canonicalize(Q @ W), geometry.canonicalize(W), atol=1e-10)


def test_single_precision_is_enough():
    rng = np.random.default_rng(6)
    for W in SYMMETRIC.values():
        turned = (random_rotation(rng, len(W)) @ W).astype(np.float32)
        np.testing.assert_allclose(geometry.canonicalize(turned), geometry.canonicalize(W), atol=1e-5)


def test_canonical_pentagon_starts_with_feature_0():
    C = geometry.canonicalize(random_rotation(np.random.default_rng(7), 2) @ SHAPES["pentagon"])
    np.testing.assert_allclose(C, SHAPES["pentagon"], atol=1e-12)


def test_an_anchor_without_a_direction_passes_to_the_next_feature():
    np.testing.assert_allclose(
        geometry.canonicalize([[-1.0, 0.0, 0.0], [0.0, 0.0, -2.0]], anchor=1), [[0, 0, 2], [1, 0, 0]], atol=1e-12
    )


@properties
@given(seeds, st.integers(1, 5), st.integers(1, 7), st.data())
def test_anchor_lies_on_the_first_axis(seed, m, n, data):
    rng = np.random.default_rng(seed)
    W, Q, anchor = rng.normal(size=(m, n)), random_rotation(rng, m), data.draw(st.integers(0, n - 1))
    C = geometry.canonicalize(W, anchor=anchor)
    np.testing.assert_allclose(C[:, anchor], np.linalg.norm(W[:, anchor]) * np.eye(m)[0], atol=1e-12)
    np.testing.assert_allclose(C.T @ C, W.T @ W, atol=1e-11)
    np.testing.assert_allclose(geometry.canonicalize(Q @ W, anchor=anchor), C, atol=1e-10)


def test_canonicalize_takes_batches():
    rng = np.random.default_rng(8)
    W = rng.normal(size=(2, 3, 2, 5))
    C = geometry.canonicalize(W)
    assert C.shape == W.shape
    np.testing.assert_array_equal(C[1, 2], geometry.canonicalize(W[1, 2]))
    np.testing.assert_array_equal(geometry.canonicalize(np.zeros((2, 3))), 0)


# ---------------------------------------------------------------------------------- names of shapes


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_shapes_have_names(name, seed):
    rng = np.random.default_rng(seed)
    W = np.concatenate([1.1 * SHAPES[name], np.zeros((2, SHAPES[name].shape[1]))])  # room to turn
    W = np.concatenate([W, 0.1 * rng.normal(size=(len(W), 2))], 1)  # two features that are not represented
    W = random_rotation(rng, len(W)) @ W[:, rng.permutation(W.shape[1])]
    assert geometry.identify(W) == name
    assert geometry.identify(W + rng.uniform(-0.01, 0.01, W.shape)) == name


def test_names_of_empty_and_irregular_models():
    assert geometry.identify(np.zeros((2, 5))) == "empty"
    assert geometry.describe(np.zeros((2, 5))) == "empty"
    assert geometry.identify(np.random.default_rng(0).normal(size=(3, 6)) + 0.3) == "other"
    unequal = SHAPES["pentagon"] * [1, 1, 1, 1, 1.3]
    assert geometry.identify(unequal) == "other"
    squeezed = SHAPES["pentagon"] * [[1.2], [1 / 1.2]]
    assert geometry.identify(squeezed) == "other"


def tight_frame_of_five():
    """Five unit vectors in a plane, at angles whose doubles add up to 0, but which are no pentagon."""
    first = np.array([0.0, 1.0, 2.9])  # doubled angles; two more unit vectors close the sum
    left = -np.exp(1j * first).sum()
    half = np.arccos(abs(left) / 2)
    angle = np.concatenate([first, [np.angle(left) + half, np.angle(left) - half]]) / 2
    return np.stack([np.cos(angle), np.sin(angle)])


def test_dimensionality_alone_does_not_identify_a_shape():
    W = tight_frame_of_five()
    np.testing.assert_allclose(W @ W.T, 2.5 * np.eye(2), atol=1e-12)  # tight
    np.testing.assert_allclose(geometry.norms(W), 1, rtol=1e-6)
    np.testing.assert_allclose(geometry.feature_dimensionality(W), 2 / 5, rtol=1e-5)
    assert geometry.identify(W) == "other"
    assert geometry.identify(SHAPES["pentagon"]) == "pentagon"


def test_the_same_dimensionality_of_cube_and_antiprism():
    tight = antiprism(np.sqrt(1 / 3))
    for W in (tight, cube()):
        np.testing.assert_allclose(geometry.feature_dimensionality(W), 3 / 8, rtol=1e-5)
    assert geometry.identify(tight) == "square antiprism"
    assert geometry.identify(cube()) == "cube"


@pytest.mark.parametrize("height", [0.515, 0.53, 0.545, 0.56, 0.577])
def test_square_antiprisms_of_all_heights(height):
    assert geometry.identify(antiprism(height)) == "square antiprism"


def test_tolerance_of_names():
    bent = SHAPES["pentagon"] + np.random.default_rng(1).uniform(-0.08, 0.08, (2, 5))
    assert geometry.identify(bent, tolerance=0.01) == "other"
    assert geometry.identify(bent, tolerance=0.2) == "pentagon"


def test_names_of_batches():
    W = np.stack([SQUARE, np.sqrt(2) * SQUARE, np.zeros((2, 4))])
    np.testing.assert_array_equal(geometry.identify(W), ["square", "square", "empty"])
    np.testing.assert_array_equal(geometry.describe(W), ["digon + digon", "digon + digon", "empty"])


def test_blocks_are_the_features_that_interact():
    W = side_by_side(TRIANGLE, DIGON[:1], np.eye(1))
    assert geometry.blocks(W) == [(0, 1, 2), (3, 4), (5,)]
    order = [3, 5, 0, 4, 1, 2]
    assert geometry.blocks(W[:, order]) == [(0, 3), (1,), (2, 4, 5)]
    assert geometry.blocks(W * [1, 1, 1, 1, 1, 0.2]) == [(0, 1, 2), (3, 4)]
    slightly = W + 0.05 * np.eye(4)[:, [3]]  # every feature leans a little towards the last
    assert geometry.blocks(slightly) == geometry.blocks(W)
    assert geometry.blocks(slightly, tolerance=0.01) == [(0, 1, 2, 3, 4, 5)]
    chain = np.array([[1.0, 0.7, 0.0], [0.0, 0.7, 1.0]])
    assert geometry.blocks(chain) == [(0, 1, 2)]
    assert geometry.blocks(np.zeros((2, 3))) == []


def test_descriptions_block_by_block():
    assert geometry.describe(np.array([[1.0, -1, 0, 0, 0], [0, 0, 1, -1, 0]])) == "digon + digon"
    assert geometry.describe(octahedron()) == "digon + digon + digon"
    assert geometry.describe(side_by_side(DIGON[:1], TRIANGLE)) == "triangle + digon"
    assert geometry.describe(side_by_side(np.eye(1), 1.2 * SHAPES["pentagon"])) == "pentagon + axis"
    assert geometry.describe(np.concatenate([np.eye(5), -np.eye(5)], 1)) == "5 x digon"
    both = side_by_side(SHAPES["square antiprism"], cube())
    assert geometry.describe(both) == geometry.describe(both[:, ::-1]) == "cube + square antiprism"


def test_simplex_has_equal_cosines():
    for n in (2, 3, 4, 7, 20):
        G = geometry.simplex(n).T @ geometry.simplex(n)
        np.testing.assert_allclose(G, np.eye(n) - (1 - np.eye(n)) / (n - 1), atol=1e-12)


# ------------------------------------------------------------------------------------------- bad input

FUNCTIONS = [
    geometry.norms,
    geometry.gram,
    geometry.feature_dimensionality,
    geometry.superposition,
    geometry.dimensions_per_feature,
    geometry.represented,
    geometry.canonicalize,
    geometry.blocks,
    geometry.identify,
    geometry.describe,
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("W", "error", "message"),
    [
        (np.ones(3), ValueError, r"W has shape \(3,\)"),
        (1.0, ValueError, r"W has shape \(\)"),
        (np.zeros((2, 0)), ValueError, "W is empty"),
        ([[1.0, np.nan]], ValueError, "W must be finite"),
        ([[1.0, -np.inf]], ValueError, "W must be finite"),
        ("pentagon", TypeError, "W must be"),
        ([[1.0], [1.0, 2.0]], TypeError, "W must be"),
    ],
)
def test_bad_matrices_are_refused(function, W, error, message):
    with pytest.raises(error, match=message):
        function(W)


def test_other_bad_arguments_are_refused():
    W = np.eye(2)
    for value in (-0.1, 1.5, [0.1, 0.2], np.nan):
        with pytest.raises(ValueError, match="tolerance"):
            geometry.canonicalize(W, tolerance=value)
        with pytest.raises(ValueError, match="tolerance"):
            geometry.identify(W, tolerance=value)
    with pytest.raises(ValueError, match="threshold"):
        geometry.represented(W, threshold=-1)
    with pytest.raises(ValueError, match="anchor must be a feature from 0 to 1, got 2"):
        geometry.canonicalize(W, anchor=2)
    with pytest.raises(ValueError, match="anchor"):
        geometry.canonicalize(W, anchor=-1)
    with pytest.raises(ValueError, match="blocks takes one model"):
        geometry.blocks(np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="n must be"):
        geometry.polygon(1)


def test_host_functions_say_so_inside_jit():
    with pytest.raises(TypeError, match="not known inside jit"):
        jax.jit(geometry.canonicalize)(jnp.eye(2))
    with pytest.raises(ValueError, match="W has shape"):
        jax.jit(geometry.norms)(jnp.ones(3))
