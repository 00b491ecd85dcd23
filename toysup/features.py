"""Which features are active together, and how to draw inputs from that.

Features come in *sets*; sets are independent of each other. A set is a table of *patterns* (which of its
members are active) with one probability per pattern. The value of an active feature is uniform on [0, 1],
independently of everything else; an inactive feature is 0. Patterns are static, probabilities are traced.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check

Table = tuple[tuple[int, ...], ...]


@partial(jax.tree_util.register_dataclass, data_fields=["probabilities"], meta_fields=["tables"])
@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """A distribution over inputs: groups of equal sets, each group with its table and probabilities.

    tables: for each group a (patterns, size) table of 0 and 1; the last pattern is the empty one.
    probabilities: for each group an array (..., sets, patterns); they sum to 1 over the patterns.

    Two of them are put side by side with `+`: the features of the first come first. They are equal (`==`) when tables,
    shapes and probabilities are.
    """

    tables: tuple[Table, ...]
    probabilities: tuple[jax.Array, ...]

    def __eq__(self, other) -> bool:
        if not isinstance(other, Features):
            return NotImplemented
        return self._form() == other._form() and all(map(np.array_equal, self.probabilities, other.probabilities))

    def __hash__(self) -> int:
        return hash(self._form())

    def _form(self):
        return self.tables, tuple(np.shape(q) for q in self.probabilities)

    @property
    def n(self) -> int:
        """The number of features."""
        return sum(q.shape[-2] * len(t[0]) for t, q in zip(self.tables, self.probabilities, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes in front: one model for each entry."""
        return np.broadcast_shapes(*(q.shape[:-2] for q in self.probabilities))

    @property
    def density(self) -> jax.Array:
        """The probability that each feature is active, (..., n)."""
        parts = [q @ jnp.asarray(t, q.dtype) for t, q in zip(self.tables, self.probabilities, strict=True)]
        parts = [jnp.broadcast_to(d, (*self.shape, *d.shape[-2:])) for d in parts]
        return jnp.concatenate([d.reshape(*self.shape, -1) for d in parts], -1)

    def __add__(self, other: Features) -> Features:
        """Both kinds of features in one input, independent of each other."""
        if not isinstance(other, Features):
            return NotImplemented
        check.broadcastable("features that are added", self.shape, other.shape)
        return Features(self.tables + other.tables, self.probabilities + other.probabilities)

    def broadcast_to(self, shape: tuple[int, ...]) -> Features:
        """The same features with batch axes `shape`."""
        grow = lambda q: jnp.broadcast_to(q, (*shape, *q.shape[-2:]))
        return jax.tree.map(grow, self)


def independent(density, n: int | None = None) -> Features:
    """Features that are active independently of each other.

    density: probability that a feature is active, in (0, 1]; a scalar (then `n` is needed), or an array
        (..., n), or (..., 1) with `n`. Leading axes are a batch of models.
    n: the number of features.
    Returns Features with `n` features. Source: Elhage et al. 2022, section 2 ("Demonstrating superposition").
    """
    density = check.density(density)
    if density.ndim == 0 and n is None:
        raise ValueError(f"n is missing: density is the single number {density}, so say how many features")
    n = density.shape[-1] if n is None else check.count("n", n)
    return Features((((1,), (0,)),), (_on_or_off(_per_set(density, n, "n")),))


def correlated(sets: int, size: int, density) -> Features:
    """Sets of features that are always active together; their values stay independent.

    sets: the number of sets. size: features per set.
    density: probability that a set is active, in (0, 1]; scalar or (..., sets).
    Returns Features with `sets * size` features. Source: Elhage et al. 2022, "Correlated features".
    """
    sets, size = check.count("sets", sets), check.count("size", size)
    density = _per_set(check.density(density), sets, "sets")
    return Features((((1,) * size, (0,) * size),), (_on_or_off(density),))


def anticorrelated(sets: int, size: int, density) -> Features:
    """Sets of features of which at most one is active: with probability `density` one of them, all equally likely.

    sets: the number of sets. size: features per set.
    density: probability that a set is active, in (0, 1]; scalar or (..., sets). One feature has density / size.
    Returns Features with `sets * size` features. Source: Elhage et al. 2022, "Anticorrelated features".
    """
    sets, size = check.count("sets", sets), check.count("size", size)
    density = _per_set(check.density(density), sets, "sets")[..., None]
    table = (*(tuple(int(i == j) for i in range(size)) for j in range(size)), (0,) * size)
    each = (
        np.repeat(density / size, size, axis=-1)
        if isinstance(density, np.ndarray)
        else jnp.repeat(density / size, size, -1)
    )
    return Features((table,), (_join(each, 1 - density),))


def sample(features: Features, batch: int, *, key) -> jax.Array:
    """Draw inputs. All models of a batch of densities see the same random numbers.

    batch: inputs per model. key: a JAX random key.
    Returns x (..., batch, n).
    """
    batch, key = check.count("batch", batch), check.key(key)
    check_features(features)
    check.room(f"{batch} inputs of {features.n} features", 12 * batch * features.n * math.prod(features.shape))
    return jnp.swapaxes(sample_columns(features, batch, key=key), -1, -2)


def check_features(features) -> None:
    """Refuse anything that is not Features."""
    if not isinstance(features, Features):
        raise TypeError(f"features must be made by independent, correlated or anticorrelated, got {features!r:.60}")


def threefry(key, shape) -> jax.Array:
    """Uniform numbers in [0, 1) from JAX's own generator."""
    return jax.random.uniform(key, shape, jnp.float32)


def lowbias(key, shape) -> jax.Array:
    """Uniform numbers in [0, 1) from a keyed hash of a counter: training needs many, and quickly.

    `threefry` would take a third of a training step. The hash is the finaliser `lowbias32`; the key offsets the
    counter and enters between the two multiplications.
    """
    offset, inner = jax.random.bits(key, (2,), jnp.uint32)  # keys as they come may differ in one bit
    x = jnp.arange(math.prod(shape), dtype=jnp.uint32) * jnp.uint32(0x9E3779B9) + offset
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15) ^ inner) * jnp.uint32(0x846CA68B)
    u = jax.lax.bitcast_convert_type(((x ^ (x >> 16)) >> 9) | jnp.uint32(0x3F800000), jnp.float32) - 1
    return jax.lax.optimization_barrier(u).reshape(shape)  # else the hash is computed again for every model


def sample_columns(features: Features, batch: int, *, key, uniform=threefry) -> jax.Array:
    """As `sample`, with inputs as columns, (..., n, batch): the layout in which `W @ x` is one wide product.

    uniform: where the random numbers come from, `threefry` or `lowbias`.
    """
    features, draws = _fixed(features), _uniform(features, batch, key, uniform)
    return _columns(features, [u for u, _ in draws], [v for _, v in draws])


def sample_active_columns(features: Features, batch: int, *, key, uniform=threefry):
    """Inputs of which at least one feature is active, and how often an input is empty, or is not.

    Draws the first set that is active; sets before it are empty, sets after it are as always. For very sparse
    features nearly all plain samples are empty; these are not. A mean over plain samples is, without bias,
    `empty * value_at_0 + active * mean over these`.
    Returns x (..., n, batch) and the probabilities `empty` and `active` (...), each to the precision of its type.
    """
    first_key, key = jax.random.split(key)
    probabilities = _fixed(features).probabilities
    empty, on = (_of_each_set(features.shape, probabilities, of) for of in (lambda q: q[..., -1], _active))
    none_before = jnp.cumprod(jnp.concatenate([jnp.ones_like(empty[..., :1]), empty], -1), -1)
    reached = jnp.cumsum(none_before[..., :-1] * on, -1)  # probability that the first one is here or before
    v = uniform(first_key, (batch,)) * reached[..., -1:]
    first = jnp.sum(v[..., None, :] >= reached[..., :-1, None], -2)
    place, at = jnp.arange(empty.shape[-1])[:, None], 0
    us, vs = [], []
    for (u, values), q in zip(_uniform(features, batch, key, uniform), probabilities, strict=True):
        here = place[at : at + q.shape[-2]]
        forced = jnp.where(here == first[..., None, :], u * _active(q)[..., None], u)
        us.append(jnp.where(here < first[..., None, :], 1.0, forced))
        vs.append(values)
        at += q.shape[-2]
    return _columns(_fixed(features), us, vs), none_before[..., -1], reached[..., -1]


_jumps = check.without_derivative(
    "drawn",
    "what is drawn has no derivative by the density: which features are active jumps with it. "
    "toysup.expected_loss has that derivative (but not that of its gradient by W or b), training by samples has not",
)


def _fixed(features: Features) -> Features:
    """The same features, whose probabilities must not be differentiated."""
    return jax.tree.map(_jumps, features)


def _active(q):
    """The probability that a set has an active feature: summed, since 1 less that of the empty pattern is 0 for few."""
    return q[..., :-1].sum(-1)


def _of_each_set(shape, probabilities, of):
    """A number of each set of all groups, (*shape, sets)."""
    return jnp.concatenate([jnp.broadcast_to(of(q), (*shape, q.shape[-2])) for q in probabilities], -1)


def _uniform(features: Features, batch: int, key, uniform):
    """For each group the uniform numbers that pick patterns, and those that give values where one is not enough."""
    draws = []
    for table, q, k in zip(
        features.tables, features.probabilities, jax.random.split(key, len(features.tables)), strict=True
    ):
        pick, values = jax.random.split(k)
        sets, size = q.shape[-2], len(table[0])
        u = uniform(pick, (sets, batch))
        many = max(map(sum, table)) > 1
        draws.append((u, uniform(values, (sets, size, batch)) if many else None))
    return draws


def _columns(features: Features, us, vs) -> jax.Array:
    groups = zip(features.tables, features.probabilities, us, vs, strict=True)
    parts = [_patterns(np.array(t), q, u, v) for t, q, u, v in groups]
    parts = [jnp.broadcast_to(x, (*features.shape, *x.shape[-2:])) for x in parts]
    return jnp.concatenate(parts, -2)


def _patterns(table: np.ndarray, q: jax.Array, u: jax.Array, v: jax.Array | None) -> jax.Array:
    """One uniform number per set picks the pattern; what is left of it is uniform again and gives the value."""
    if table.shape == (2, 1):  # on or off
        p = q[..., 0, None]
        return jnp.where(u < p, u * (1 / p), 0.0)
    x, low = 0.0, jnp.zeros((*q.shape[:-1], 1), q.dtype)
    for k in range(len(table) - 1):  # the last pattern is the empty one
        width = q[..., k, None]
        hit = (u >= low) & (u < low + width)
        value = v if v is not None else ((u - low) / width)[..., None, :]
        x = x + jnp.where(hit[..., None, :], value, 0.0) * table[k][:, None]
        low = low + width
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])


def _per_set(density, count: int, name: str):
    """Give every set its own density."""
    if density.ndim and density.shape[-1] not in (1, count):
        raise ValueError(
            f"density has shape {density.shape}: its last axis must be {count} ({name}={count}) or 1; "
            "put the axis of models in front, for example density[:, None]"
        )
    check.room(f"densities for {name} = {count}", 64 * count * math.prod(density.shape[:-1]))
    xp = np if isinstance(density, np.ndarray) else jnp
    return xp.broadcast_to(density, (*density.shape[:-1], count))


def _on_or_off(density):
    return _join(density[..., None], 1 - density[..., None])


def _join(*parts):
    xp = np if all(isinstance(p, np.ndarray) for p in parts) else jnp
    return jnp.asarray(xp.concatenate(parts, -1), check.dtype())


def combinations(features: Features):
    """All combinations of patterns, one pattern per set: the supports that can occur, and how to weigh them.

    Returns (active, picks): `active` bool (combinations, n), and for each group an int array
    `picks` (combinations, sets) with the pattern of each set.
    """
    tables = [
        np.array(t, bool)
        for t, q in zip(features.tables, features.probabilities, strict=True)
        for _ in range(q.shape[-2])
    ]
    grid = np.indices([len(t) for t in tables]).reshape(len(tables), -1).T
    active = np.concatenate([t[grid[:, s]] for s, t in enumerate(tables)], -1)
    ends = np.cumsum([q.shape[-2] for q in features.probabilities])[:-1]
    return active, np.split(grid, ends, axis=1)


def number_of_combinations(features: Features) -> int:
    """How many combinations of patterns there are (an exact integer, however large)."""
    return math.prod(len(t) ** q.shape[-2] for t, q in zip(features.tables, features.probabilities, strict=True))


def combination_probability(features: Features, picks) -> jax.Array:
    """The probability of each combination of patterns, (..., combinations)."""
    chosen = []
    for q, pick in zip(features.probabilities, picks, strict=True):
        sets = np.arange(q.shape[-2])
        chosen.append(jnp.prod(q[..., sets, pick], -1))
    return jnp.prod(jnp.stack(jnp.broadcast_arrays(*chosen)), 0)


def moments(features: Features) -> tuple[jax.Array, jax.Array]:
    """The mean (..., n) and the covariance (..., n, n) of the inputs, in closed form."""
    means, blocks = [], []
    for table, q in zip(features.tables, features.probabilities, strict=True):
        t = jnp.asarray(table, q.dtype)
        q = jnp.broadcast_to(q, (*features.shape, *q.shape[-2:]))
        both = jnp.einsum("...sk,ki,kj->...sij", q, t, t)  # probability that i and j of a set are both active
        second = both * (0.25 + (1 / 3 - 0.25) * jnp.eye(t.shape[1]))  # E[u v] = 1/4, E[u²] = 1/3
        mean = (q @ t) / 2
        inside = second - mean[..., :, None] * mean[..., None, :]
        means.append(mean.reshape(*features.shape, -1))
        blocks += [inside[..., s, :, :] for s in range(q.shape[-2])]
    mean = jnp.concatenate(means, -1)
    return mean, _block_diagonal(blocks, mean.shape)


def _block_diagonal(blocks, shape):
    out, at = jnp.zeros((*shape, shape[-1]), blocks[0].dtype), 0
    for block in blocks:
        size = block.shape[-1]
        out = out.at[..., at : at + size, at : at + size].set(block)
        at += size
    return out
