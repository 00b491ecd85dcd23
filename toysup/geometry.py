"""The shape of a solution: what the columns of W look like, whatever way they are turned.

W has shape (..., m, n); column i is the direction of feature i in the m hidden dimensions. A model is as good
after a rotation or reflection of its hidden space, so a shape is what does not change under them: norms, the
Gram matrix WᵀW, the multiset of cosines. Measures (`norms` to `represented`) are JAX functions and work under
`jit`, `vmap` and `grad`; the functions that name or turn a shape (`canonicalize` to `describe`) run on the
host.
"""

from __future__ import annotations

import functools
import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
from scipy.linalg import block_diag

from toysup import check

NOT_REPRESENTED = 1e-3  # a norm below this share of the model's largest has no direction worth speaking of
CANDIDATES = 64  # frames of equal merit that `canonicalize` follows at a time
POLYGONS = {3: "triangle", 4: "square", 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}


# ---------------------------------------------------------------------------------------------- measures


def norms(W):
    """How strongly each feature is represented: the lengths |W_i|.

    W: (..., m, n). Returns (..., n). Source: Elhage et al. 2022, "Demonstrating Superposition".
    """
    square = jnp.sum(_matrix(W) ** 2, -2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)  # gradient 0, not NaN, at 0


def gram(W):
    """The Gram matrix WᵀW: how strongly feature j reads feature i.

    W: (..., m, n). Returns (..., n, n). Source: Elhage et al. 2022, "Demonstrating Superposition".
    """
    W = _matrix(W)
    return jnp.swapaxes(W, -1, -2) @ W


def feature_dimensionality(W):
    """The share of a dimension that each feature has: D_i = |W_i|² / Σ_j (Ŵ_i · W_j)².

    D_i is 1 for a feature that has a dimension to itself, 1/2 in a digon, 2/5 in a pentagon, and 0 for a
    feature that is not represented (norm below 1/1000 of the largest norm of the model). It does not change
    when W is scaled.

    W: (..., m, n). Returns (..., n), between 0 and 1. Source: Elhage et al. 2022, "The Geometry of
    Superposition".
    """
    W = _matrix(W)
    unit, alive = _directions(W)
    own = jnp.sum(W**2, -2)
    spread = jnp.sum((jnp.swapaxes(unit, -1, -2) @ W) ** 2, -1)
    return jnp.where(alive, own / jnp.where(alive, spread, 1), 0)


def superposition(W):
    """How much of the other features lies along each feature: Σ_{j≠i} (Ŵ_i · W_j)².

    0 for a feature that is orthogonal to all others, 1 or more for one that shares its direction; 0 as well
    for a feature that is not represented (see `feature_dimensionality`), which has no direction.

    W: (..., m, n). Returns (..., n). Source: Elhage et al. 2022, "Demonstrating Superposition".
    """
    W = _matrix(W)
    overlap = (jnp.swapaxes(_directions(W)[0], -1, -2) @ W) ** 2
    return jnp.sum(overlap * (1 - jnp.eye(W.shape[-1], dtype=W.dtype)), -1)


def dimensions_per_feature(W):
    """Hidden dimensions per feature learned, D* = m / |W|²_F; infinite where W is zero.

    W: (..., m, n). Returns (...). Source: Elhage et al. 2022, "The Geometry of Superposition".
    """
    W = _matrix(W)
    total = jnp.sum(W**2, (-2, -1))
    return jnp.where(total > 0, W.shape[-2] / jnp.where(total > 0, total, 1), jnp.inf)


def represented(W, threshold: float = 0.5):
    """Which features the model represents: norm above `threshold`.

    W: (..., m, n). threshold: a norm, at least 0. Returns booleans (..., n).
    """
    return norms(W) > _share("threshold", threshold, most=math.inf)


def _directions(W):
    """Columns of length 1 (0 where not represented), and which features are represented."""
    square = jnp.sum(W**2, -2)
    least = jnp.maximum(NOT_REPRESENTED**2 * jnp.max(square, -1, keepdims=True), 1e-24)
    alive = square > least
    unit = W / jnp.sqrt(jnp.where(alive, square, 1))[..., None, :]
    return jnp.where(alive[..., None, :], unit, 0), alive


def _matrix(W):
    """W as a JAX array (..., m, n)."""
    return jnp.asarray(_shaped(W), check.dtype())


def _host(W, what: str) -> np.ndarray:
    """W as a NumPy array (..., m, n), in float64."""
    if check.is_traced(W):
        raise TypeError(f"{what} needs the values of W, not known inside jit, vmap or grad: call it outside")
    return np.asarray(_shaped(W), np.float64)


def _shaped(W):
    """W, refused where its shape is wrong, and where it holds NaN or infinities and its values are known."""
    W = check.checked("W", W)
    if W.ndim < 2 or 0 in W.shape:
        raise ValueError(f"W has shape {W.shape}: it must be (..., m, n), dimensions by features, none 0")
    return W


def _share(name: str, value, most: float = 1.0) -> float:
    """A tolerance or threshold as a float in [0, most]."""
    value = check.numbers(name, value)
    if value.ndim or not 0 <= value <= most:
        upper = "" if math.isinf(most) else f" and at most {most:g}"
        raise ValueError(f"{name} must be one number, at least 0{upper}; got {value}")
    return float(value)


# ---------------------------------------------------------------------------------- canonical position


def canonicalize(W, *, anchor: int | None = None, permute: bool = False, tolerance: float = 1e-3):
    """W turned and reflected into a standard position, so that equal solutions coincide.

    The longest column goes on the first axis, the column that sticks out furthest from it into the plane of
    the first two axes with a positive second coordinate, and so on. Where several columns qualify, all
    choices are followed, and the one whose columns, as a set of points, come first (largest coordinates
    first, axis by axis) is taken. What remains equal is an equal picture of a symmetric shape: then the
    features with the smallest labels go first. So for Q orthogonal and P a permutation, with C for
    canonicalize:

    - C(Q W) = C(W): features keep their labels;
    - C(Q W P) has the same columns as C(W), as a set;
    - with `permute=True` the columns are sorted, too: C(Q W P) = C(W).

    Differences below `tolerance` count as none: solutions that differ by less noise than that coincide up to
    (a few times) that noise. A shape whose own differences are about as large as `tolerance` may come out
    either way. At most 64 choices of equal merit are followed at a time; for shapes of very high symmetry
    this loses nothing, as all choices give the same picture, and the first statement holds in any case.

    W: (..., m, n), any m and n.
    anchor: the label of a feature that is to lie on the first axis (to follow one feature through a sweep); where
        it has no direction, the next one that has takes its place.
    permute: also sort the columns.
    tolerance: share of the largest norm.
    Returns a NumPy array (..., m, n), float64.
    """
    W = _host(W, "canonicalize")
    tolerance = _share("tolerance", tolerance)
    if anchor is not None:
        anchor = _label(anchor, W.shape[-1])
    models = W.reshape(-1, *W.shape[-2:])
    return np.stack([_canonical(one, anchor, permute, tolerance) for one in models]).reshape(W.shape)


def _canonical(W, anchor, permute, tolerance):
    size = np.linalg.norm(W, axis=0)
    scale = size.max()
    if scale == 0:
        return W.copy()
    if anchor is not None:
        anchor = next(i for i in np.roll(np.arange(len(size)), -anchor) if size[i] > tolerance * scale)
    pivots, order = _pivots((W / scale).T @ (W / scale), len(W), anchor, tolerance)
    turned = _coordinates(W, pivots, scale)
    return turned[:, order] if permute else turned


def _pivots(G, m, anchor, tolerance):
    """The columns that define the axes, and the sorted order of all columns, from the Gram matrix alone.

    This is a Cholesky factorisation with pivots, except that pivots of equal merit are all followed. One
    entry of `rest` per choice: the Gram matrix of what the axes so far leave of the columns. `rank` numbers
    the columns in the order of their coordinates so far; columns that agree share a number.
    """
    n = len(G)
    rest, rank, tuples = G[None], np.zeros((1, n), int), np.zeros((1, 0), int)
    order = np.arange(n)[None]
    for axis in range(min(m, n)):
        left = np.sqrt(np.maximum(np.einsum("cii->ci", rest), 0))
        if left.max() <= tolerance and not (axis == 0 and anchor is not None):
            break  # all that is left is noise
        equal = (left >= left.max(1, keepdims=True) - tolerance) & (left > tolerance)
        if axis == 0 and anchor is not None:
            equal = np.arange(n)[None] == anchor
        parent, pivot = np.nonzero(equal)  # in the order of the labels
        along = rest[parent, pivot] / left[parent, pivot, None]  # coordinates on the new axis
        order = np.lexsort((-along, rank[parent]))
        kept = _first(np.take_along_axis(along, order, 1), tolerance)[:CANDIDATES]
        parent, pivot, along, order = parent[kept], pivot[kept], along[kept], order[kept]
        tuples = np.concatenate([tuples[parent], pivot[:, None]], 1)
        rest = rest[parent] - along[:, :, None] * along[:, None, :]
        rank = _ranks(rank[parent], along, order, tolerance)
    return tuples[0], order[0]


def _first(rows, tolerance):
    """Indices of the rows that are lexicographically largest, up to the tolerance in every entry."""
    alive = np.arange(len(rows))
    for column in rows.T:
        if len(alive) == 1:
            break
        alive = alive[column[alive] >= column[alive].max() - tolerance]
    return alive


def _ranks(rank, along, order, tolerance):
    """Number the columns in sorted order: a new number where the old rank or the new coordinate changes."""
    sort = functools.partial(np.take_along_axis, indices=order, axis=1)
    new = (np.diff(sort(rank)) != 0) | (np.diff(sort(along)) < -tolerance)
    numbers = np.pad(np.cumsum(new, 1), ((0, 0), (1, 0)))
    out = np.empty_like(rank)
    np.put_along_axis(out, order, numbers, 1)
    return out


def _coordinates(W, pivots, scale):
    """W in the frame that Gram-Schmidt makes of the pivots, then of the first labels with something left."""
    frame, out, rest = np.zeros((len(W), 0)), np.zeros_like(W), W.copy()
    for axis in range(min(W.shape)):
        left = np.linalg.norm(rest, axis=0)
        if left.max() <= 1e-13 * scale:
            break
        pivot = pivots[axis] if axis < len(pivots) else np.argmax(left >= left.max() / 2)
        direction = rest[:, pivot] / left[pivot]
        direction -= frame @ (frame.T @ direction)  # once more, against rounding
        direction /= np.linalg.norm(direction)
        frame = np.column_stack([frame, direction])
        out[axis] = direction @ W
        rest = rest - np.outer(direction, direction @ rest)
    return out


def _label(anchor, n: int) -> int:
    anchor = check.count("anchor", anchor, least=0)
    if anchor >= n:
        raise ValueError(f"anchor must be a feature from 0 to {n - 1}, got {anchor}")
    return anchor


# ---------------------------------------------------------------------------------- names of shapes


def polygon(n: int) -> np.ndarray:
    """The regular n-gon: n unit vectors in 2 dimensions at equal angles, the first along the first axis.

    n: features, at least 2. Returns (2, n).
    """
    angle = 2 * np.pi * np.arange(check.count("n", n, least=2)) / n
    return np.stack([np.cos(angle), np.sin(angle)])


def simplex(n: int) -> np.ndarray:
    """The regular simplex: n unit vectors in n - 1 dimensions, every two of them at the cosine -1/(n - 1).

    They are the n coordinate axes, seen along the diagonal (1, ..., 1): each has 1/n of the diagonal taken
    away.
    n: features, at least 2. Returns (n - 1, n). Source: Elhage et al. 2022, aside on polytopes and low-rank
    matrices.
    """
    n = check.count("n", n, least=2)
    seen = np.eye(n) - 1 / n
    return np.linalg.qr(seen[:, : n - 1])[0].T @ seen / math.sqrt(1 - 1 / n)


def blocks(W, tolerance: float = 0.1, threshold: float = 0.5) -> list[tuple[int, ...]]:
    """The groups of features that interfere with each other, and with no feature outside (tegum factors).

    Two represented features belong together when the absolute value of their cosine is above `tolerance`, or
    when a chain of such pairs joins them. (In a simplex of k features all cosines are -1/(k - 1): from 11
    features on, it takes a smaller `tolerance` to see it as one block.)

    W: (m, n). tolerance: a cosine. threshold: the norm above which a feature counts as represented.
    Returns a list of tuples of labels, ordered by their first label.
    Source: Elhage et al. 2022, "The Geometry of Superposition" (tegum products).
    """
    W, tolerance = _single(W, "blocks"), _share("tolerance", tolerance)
    labels = np.flatnonzero(np.linalg.norm(W, axis=0) > _share("threshold", threshold, most=math.inf))
    linked = np.abs(_cosines(W[:, labels])) > tolerance
    groups, waiting = [], set(range(len(labels)))
    while waiting:
        group, fresh = set(), {min(waiting)}
        while fresh:
            group |= fresh
            fresh = {int(j) for i in fresh for j in np.flatnonzero(linked[i])} - group
        waiting -= group
        groups.append(tuple(int(labels[i]) for i in sorted(group)))
    return groups


def identify(W, tolerance: float = 0.05, threshold: float = 0.5):
    """The name of a solution, from the cosines between its represented features.

    A name is given when the represented features have equal norms and their multiset of cosines is that of a
    known shape, all within `tolerance` (so are the eigenvalues of the cosine matrix, which tell the
    dimension). The feature dimensionalities alone would not do: every equal-norm tight frame of 5 vectors in
    a plane has D_i = 2/5.

    Names: "empty", "axis", "digon", "triangle", "square", "pentagon", "hexagon", "heptagon", "octagon",
    "regular 9-gon" and so on, "tetrahedron", "octahedron", "cube", "square antiprism", "triangular
    bipyramid", "icosahedron", "simplex" and "cross-polytope" (of four dimensions or more), "orthogonal", and
    "other". A square is also two digons, an octahedron three: see `describe`.

    W: (..., m, n).
    tolerance: on cosines, and on norms relative to their mean.
    threshold: the norm above which a feature counts as represented.
    Returns a string, or an array (...) of strings for a batch.
    Source: Elhage et al. 2022, "The Geometry of Superposition".
    """
    tolerance, threshold = _share("tolerance", tolerance), _share("threshold", threshold, most=math.inf)
    return _each(lambda one: _identify(one, tolerance, threshold), _host(W, "identify"))


def describe(W, tolerance: float = 0.05, threshold: float = 0.5):
    """The solution block by block, such as "digon + digon" or "triangle + axis".

    Blocks are those of `blocks`, named as by `identify`, larger ones first; a name that occurs more than
    three times is written once ("10 x digon"). Without any represented feature: "empty".

    W: (..., m, n). tolerance, threshold: as for `identify`.
    Returns a string, or an array (...) of strings for a batch.
    """
    tolerance, threshold = _share("tolerance", tolerance), _share("threshold", threshold, most=math.inf)

    def one(W):
        groups = blocks(W, threshold=threshold)
        found = sorted((-len(group), _identify(W[:, list(group)], tolerance, threshold)) for group in groups)
        count = Counter(name for _, name in found)
        parts = [f"{k} x {name}" if k > 3 else " + ".join([name] * k) for name, k in count.items()]
        return " + ".join(parts) or "empty"

    return _each(one, _host(W, "describe"))


def _identify(W, tolerance, threshold) -> str:
    size = np.linalg.norm(W, axis=0)
    W, size = W[:, size > threshold], size[size > threshold]
    if len(size) < 2:
        return ("empty", "axis")[len(size)]
    if np.abs(size / size.mean() - 1).max() > tolerance:
        return "other"
    found = _invariants(_cosines(W))
    far = [(_distance(found, shape), name) for name, shape in _shapes(len(size))]
    best, name = min(far)
    return name if best <= tolerance else "other"


def _distance(a, b) -> float:
    """How far two shapes are apart: cosines, and eigenvalues, which move by up to n times as much."""
    (cosines, eigenvalues), (others, theirs) = a, b
    return max(np.abs(cosines - others).max(), np.abs(eigenvalues - theirs).max() / len(theirs))


def _invariants(cosines):
    """The sorted cosines between different features, and the sorted eigenvalues of their matrix."""
    return np.sort(cosines[np.triu_indices(len(cosines), 1)]), np.linalg.eigvalsh(cosines)


@functools.cache
def _shapes(k: int):
    """The shapes that k represented features can have: (name, invariants)."""
    return [(name, _invariants(_cosines(W))) for name, W in _coordinates_of_shapes(k)]


def _coordinates_of_shapes(k: int):
    """Names and coordinates (d, k) of the known shapes of k features."""
    if k == 2:
        yield "digon", simplex(2)
    if k >= 3:
        yield POLYGONS.get(k, f"regular {k}-gon"), polygon(k)
    if k >= 4:
        yield {4: "tetrahedron"}.get(k, "simplex"), simplex(k)
    if k >= 6 and k % 2 == 0:
        yield {6: "octahedron"}.get(k, "cross-polytope"), np.concatenate([np.eye(k // 2), -np.eye(k // 2)], 1)
    if k == 5:
        yield "triangular bipyramid", block_diag(simplex(2), polygon(3))
    if k == 8:
        yield "cube", np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, 8)
        # From the height at which all edges are equal to the one at which it is a tight frame (D = 3/8).
        for height in np.linspace(math.sqrt(math.sqrt(2) / (4 + math.sqrt(2))), math.sqrt(1 / 3), 4):
            yield "square antiprism", _square_antiprism(height)
    if k == 12:
        yield "icosahedron", _icosahedron()
    yield "orthogonal", np.eye(k)


def _square_antiprism(height):
    """Two squares at heights ± `height`, one turned by 45 degrees against the other; unit vectors."""
    angle = np.pi / 2 * np.arange(4)
    angle = np.concatenate([angle, angle + np.pi / 4])
    radius = math.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.repeat([height, -height], 4)])


def _icosahedron():
    """All (0, ±1, ±golden ratio) and their cyclic shifts."""
    corners = [(0, a, b * (1 + math.sqrt(5)) / 2) for a in (1, -1) for b in (1, -1)]
    return np.array([np.roll(corner, shift) for corner in corners for shift in range(3)]).T


def _cosines(W):
    """Cosines between the columns of W; columns must not be zero."""
    unit = W / np.linalg.norm(W, axis=0)
    return np.clip(unit.T @ unit, -1, 1)


def _single(W, what: str) -> np.ndarray:
    W = _host(W, what)
    if W.ndim != 2:
        raise ValueError(f"{what} takes one model, W of shape (m, n), for example W[0]; got shape {W.shape}")
    return W


def _each(name, W):
    """Apply `name` to one model, or to each of a batch."""
    if W.ndim == 2:
        return name(W)
    return np.array([name(one) for one in W.reshape(-1, *W.shape[-2:])]).reshape(W.shape[:-2])
