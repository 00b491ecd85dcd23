"""One layer of attention, one of neurons, and nothing between the neurons and the logits that is not linear.

Characters in, logits of the next character out. Both layers read a normalised copy of the residual stream (divided by
its root mean square); the last step has no normalisation, so that a direction over the neurons adds the same logits in
every context. Source of the architecture: Elhage et al. 2021, "one-layer" models, with the neurons of Bricken et al.
2023.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toysup import check

SHAPES = {  # of the parameters, in letters: a for the alphabet, c context, d residual stream, h neurons
    "embed": ("a", "d"),
    "position": ("c", "d"),
    "query": ("d", "d"),
    "key": ("d", "d"),
    "value": ("d", "d"),
    "attended": ("d", "d"),
    "W_in": ("d", "h"),
    "b_in": ("h",),
    "W_out": ("h", "d"),
    "unembed": ("d", "a"),
    "b_logit": ("a",),
}


@partial(jax.tree_util.register_dataclass, data_fields=list(SHAPES), meta_fields=["heads"])
@dataclasses.dataclass(frozen=True, eq=False)
class Transformer:
    """Parameters, with an alphabet of a characters, contexts of c, d dimensions, h neurons.

    embed: (a, d). position: (c, d). query, key, value: (d, d), the heads side by side. attended: (d, d), from the heads
    back. W_in: (d, h). b_in: (h,). W_out: (h, d). unembed: (d, a). b_logit: (a,). heads: how many, a divisor of d.
    """

    embed: jax.Array
    position: jax.Array
    query: jax.Array
    key: jax.Array
    value: jax.Array
    attended: jax.Array
    W_in: jax.Array
    b_in: jax.Array
    W_out: jax.Array
    unembed: jax.Array
    b_logit: jax.Array
    heads: int

    @property
    def context(self) -> int:
        """The longest text it reads."""
        return self.position.shape[0]

    @property
    def size(self) -> int:
        """Characters of its alphabet."""
        return self.embed.shape[0]

    @property
    def neurons(self) -> int:
        """How many neurons."""
        return self.W_in.shape[1]


def initial(size: int, *, d: int = 64, neurons: int = 256, heads: int = 4, context: int = 64, key) -> Transformer:
    """A random model: normal entries of variance 1 / (inputs); embeddings of 1/4, positions of 1/100; no biases.

    size: characters of the alphabet. d: dimensions, a multiple of heads. context: the longest text. key: JAX's.
    """
    d, heads = check.count("d", d), check.count("heads", heads)
    if d % heads:
        raise ValueError(f"heads must divide d, got {heads} heads for d = {d}")
    check.key(key)
    length = {"a": check.count("size", size, 2), "c": check.count("context", context), "d": d}
    length["h"] = check.count("neurons", neurons)
    scale = {"embed": 0.5, "position": 0.1, "b_in": 0.0, "b_logit": 0.0}
    shapes = {name: tuple(length[letter] for letter in letters) for name, letters in SHAPES.items()}
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(np.asarray(jax.random.normal(key, (ends[-1],), jnp.float32)), ends[:-1])
    arrays = {
        name: jnp.asarray(scale.get(name, shape[0] ** -0.5) * part.reshape(shape), jnp.float32)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
    return Transformer(**arrays, heads=heads)


# ------------------------------------------------------------------------------------------------- forward


def residual(model: Transformer, ids) -> jax.Array:
    """The residual stream after attention, which the neurons read: ids (..., l) -> (..., l, d), l up to the context."""
    x = model.embed[ids] + model.position[: ids.shape[-1]]
    y = _normalised(x)
    split = lambda W: (y @ W).reshape(*y.shape[:-1], model.heads, -1)
    q, k, v = split(model.query), split(model.key), split(model.value)
    score = jnp.einsum("...lhe,...mhe->...hlm", q, k) * q.shape[-1] ** -0.5
    score = jnp.where(jnp.tril(jnp.ones(score.shape[-2:], bool)), score, -jnp.inf)
    mixed = jnp.einsum("...hlm,...mhe->...lhe", jax.nn.softmax(score), v)
    return x + mixed.reshape(x.shape) @ model.attended


def neurons(model: Transformer, stream) -> jax.Array:
    """The neurons' activations, after the ReLU: stream (..., d), as from `residual` -> (..., h)."""
    return jax.nn.relu(_normalised(stream) @ model.W_in + model.b_in)


def logits(model: Transformer, stream, activations) -> jax.Array:
    """Logits of the next character: stream (..., d), activations (..., h) -> (..., a), linear in both.

    Hand in other activations than `neurons(model, stream)` to see what the model says with those in their place.
    """
    return (stream + activations @ model.W_out) @ model.unembed + model.b_logit


def forward(model: Transformer, ids, activations=None) -> jax.Array:
    """Logits of each next character: ids (..., l) -> (..., l, a).

    activations: (..., l, h) to take the place of the neurons' own, or None.
    """
    _check_ids(model, ids)
    if activations is not None and np.shape(activations) != (*np.shape(ids), model.neurons):
        raise ValueError(
            f"activations must have shape {(*np.shape(ids), model.neurons)}, one row of neurons for each character; "
            f"got {np.shape(activations)}"
        )
    return _forward(model, jnp.asarray(ids), activations)


@jax.jit
def _forward(model, ids, activations):
    stream = residual(model, ids)
    return logits(model, stream, neurons(model, stream) if activations is None else activations)


def activations(model: Transformer, ids) -> jax.Array:
    """The neurons' activations, after the ReLU: ids (..., l) -> (..., l, h)."""
    _check_ids(model, ids)
    return _many(model, jnp.asarray(ids), _activations)


def logit_weights(model: Transformer, directions) -> jax.Array:
    """What one unit along a direction over the neurons adds to the logits, whatever the context.

    directions: (..., h). Returns (..., a), the mean over the alphabet subtracted, which softmax does not see.
    Errors: ValueError where directions are not finite or not over the neurons.
    """
    directions = check.numbers("directions", directions)
    if directions.ndim < 1 or directions.shape[-1] != model.neurons:
        raise ValueError(f"directions must have shape (..., {model.neurons}), got {directions.shape}")
    found = jnp.asarray(directions, model.W_out.dtype) @ model.W_out @ model.unembed
    return found - found.mean(-1, keepdims=True)


def _normalised(x):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)


def _activations(model, ids):
    return neurons(model, residual(model, ids))


def _check_ids(model, ids) -> None:
    ids = ids if check.is_traced(ids) else np.asarray(ids)
    if ids.ndim < 1 or not 0 < ids.shape[-1] <= model.context or ids.dtype.kind not in "iu":
        raise ValueError(
            f"ids must be whole numbers (..., l) with l from 1 to the model's context {model.context}; "
            f"got shape {ids.shape} of {ids.dtype}"
        )
    if not check.is_traced(ids) and ids.size and (ids.min() < 0 or ids.max() >= model.size):
        raise ValueError(f"ids must lie in 0 to {model.size - 1}, the model's alphabet; got {ids.min()} to {ids.max()}")


@partial(jax.jit, static_argnames="function")
def _many(model, ids, function):
    """A function of (model, ids (windows, l)), applied to some windows at a time, to bound the memory."""
    flat = ids.reshape(-1, ids.shape[-1])
    out = jax.lax.map(lambda row: function(model, row), flat, batch_size=32)
    return out.reshape(*ids.shape[:-1], *out.shape[1:])


# ------------------------------------------------------------------------------------------------ training


def cross_entropy(model: Transformer, ids, activations=None) -> jax.Array:
    """-log P(next character) in nats: ids (..., l + 1) -> (..., l); activations as for `forward`."""
    ids = ids if check.is_traced(ids) else np.asarray(ids)
    out = forward(model, ids[..., :-1], activations)
    _check_ids(model, ids[..., 1:])
    return optax.softmax_cross_entropy_with_integer_labels(out, jnp.asarray(ids)[..., 1:])


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model and the loss at each step on the batch it was drawn for: (steps,), nats per character."""

    model: Transformer
    loss: np.ndarray


def train(
    ids,
    size: int,
    *,
    steps: int = 2000,
    batch: int = 32,
    rate: float = 5e-3,
    d: int = 64,
    neurons: int = 256,
    heads: int = 4,
    context: int = 64,
    key,
) -> Trained:
    """Train a model on windows of a text, drawn anew at each step, with Adam, all steps in one compiled program.

    ids: (characters,) the text, longer than the context; keep some of it back to see what has been learned. size:
    characters of the alphabet. rate: of learning, reached after 50 steps and falling as a cosine to 1/20 of it; the
    gradient is cut to norm 1. batch: windows a step. d, neurons, heads, context, key: as for `initial`.
    Returns Trained. Source: Kingma & Ba 2015 for Adam.
    """
    check.key(key)
    start_key, data_key = jax.random.split(key)
    model = initial(size, d=d, neurons=neurons, heads=heads, context=context, key=start_key)
    ids = np.asarray(ids)
    if ids.ndim != 1 or len(ids) <= context:
        raise ValueError(f"ids must be one text of more than {context} characters, got shape {ids.shape}")
    _check_ids(model, ids[:context])
    if ids.min() < 0 or ids.max() >= size:
        raise ValueError(f"ids must lie in 0 to {size - 1}, got {ids.min()} to {ids.max()}")
    rate = check.positive("rate", rate, 1.0)
    model, loss = _train(
        model, jnp.asarray(ids), jnp.asarray(rate, jnp.float32), data_key,
        steps=check.count("steps", steps), batch=check.count("batch", batch),
    )  # fmt: skip
    return Trained(model, np.asarray(loss))


@partial(jax.jit, static_argnames=("steps", "batch"))
def _train(model, ids, rate, key, *, steps: int, batch: int):
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
    falling = optax.warmup_cosine_decay_schedule(0.0, 1.0, min(50, steps // 10), steps, 0.05)
    inside = jnp.arange(model.context + 1)

    def step(carry, t):
        model, state = carry
        first = jax.random.randint(jax.random.fold_in(key, t), (batch, 1), 0, len(ids) - model.context)
        loss, slope = jax.value_and_grad(lambda m: cross_entropy(m, ids[first + inside]).mean())(model)
        update, state = rule.update(slope, state)
        size = jnp.asarray(-rate * falling(t), jnp.float32)
        return (jax.tree.map(lambda p, u: p + size * u, model, update), state), loss

    (model, _), loss = jax.lax.scan(step, (model, rule.init(model)), jnp.arange(steps))
    return model, loss


# ---------------------------------------------------------------------------------------------- evaluation


def windows(characters: int, context: int) -> np.ndarray:
    """Where each character of a text stands when it is cut into windows: (windows, context + 1) positions.

    The last of one window is the first of the next, so that every character but the first is predicted once; what
    does not fill a window is left out. Use it for a text and for its labels: `ids[windows(len(ids), 64)]`.
    """
    context = check.count("context", context)
    many = (check.count("characters", characters) - 1) // context
    if not many:
        raise ValueError(f"characters must be more than the context {context}, got {characters}")
    return np.arange(many)[:, None] * context + np.arange(context + 1)


def held_out(model: Transformer, ids) -> np.ndarray:
    """The loss at each character of a text: ids (characters,) -> (windows, context), nats; cut as by `windows`."""
    rows = np.asarray(ids)[windows(len(ids), model.context)]
    _check_ids(model, rows[:, 1:])
    _check_ids(model, rows[:, :1])
    return np.asarray(_many(model, jnp.asarray(rows), cross_entropy))


def by_group(values, groups, many: int) -> np.ndarray:
    """Mean of values in each group: values (...), groups (...) of 0 to many - 1 -> (many,), NaN where one is empty."""
    groups = np.asarray(groups).ravel()
    if groups.dtype.kind not in "iu" or groups.size != np.size(values) or (groups.size and groups.min() < 0):
        raise ValueError(f"groups must be whole numbers, not negative, one for each of {np.size(values)} values")
    if groups.size and groups.max() >= check.count("many", many):
        raise ValueError(f"groups must lie in 0 to {many - 1}, got {groups.max()}")
    often = np.bincount(groups, minlength=many)
    total = np.bincount(groups, np.asarray(values, np.float64).ravel(), many)
    return np.divide(total, often, out=np.full(many, np.nan), where=often > 0)


def bigram_entropy(ids, size: int) -> float:
    """The entropy of a character given the one before it, of the counts of this text: nats per character."""
    ids = np.asarray(ids)
    fits = ids.ndim == 1 and len(ids) > 1 and ids.dtype.kind in "iu"
    if not fits or ids.min() < 0 or ids.max() >= check.count("size", size):
        raise ValueError(f"ids must be two or more whole numbers from 0 to {size - 1} in a row; got shape {ids.shape}")
    often = np.bincount(ids[:-1].astype(np.int64) * size + ids[1:], minlength=size * size).reshape(size, size)
    share = often / np.maximum(often.sum(1, keepdims=True), 1)
    return float(-(often * np.log(np.where(share > 0, share, 1))).sum() / often.sum())


# ------------------------------------------------------------------------------------------------ sampling


def sample(model: Transformer, prompt, characters: int, *, edit=None, arguments=(), key) -> np.ndarray:
    """Let the model write on.

    prompt: (..., l) ids, several texts at once. characters: how many to write. edit: a function whose result takes the
    place of the neurons' activations: (activations (..., h), *arguments) -> (..., h), for example with one direction
    held fast; None leaves them. arguments: arrays; other values of these compile nothing anew, another function does.
    Returns what was written: (..., characters) ids.
    """
    _check_ids(model, prompt)
    check.key(key)
    prompt = jnp.asarray(prompt)
    flat = prompt.reshape(-1, prompt.shape[-1])
    text = jnp.pad(flat, ((0, 0), (0, model.context - flat.shape[-1])))
    out = _sample(model, text, flat.shape[-1], key, tuple(arguments), edit, check.count("characters", characters))
    return np.asarray(out).T.reshape(*prompt.shape[:-1], characters)


@partial(jax.jit, static_argnames=("edit", "characters"))
def _sample(model, text, there, key, arguments, edit, characters: int):
    edit = edit or (lambda activations: activations)

    def step(carry, t):
        text, there = carry
        stream = residual(model, text)[:, there - 1]
        chances = logits(model, stream, edit(neurons(model, stream), *arguments))
        letter = jax.random.categorical(jax.random.fold_in(key, t), chances)
        full = there == model.context
        text = jnp.where(full, jnp.roll(text, -1, axis=1), text)
        place = jnp.where(full, there - 1, there)
        return (text.at[:, place].set(letter), place + 1), letter

    return jax.lax.scan(step, (text, there), jnp.arange(characters))[1]
