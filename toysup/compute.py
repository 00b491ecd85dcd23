"""Models that compute: `h = act(W1 x + c)`, `y' = readout(W2 h + b)`, trained to answer a function of their inputs.

A task says what the inputs look like, which function of them is asked for, and how the model is built. Binary inputs of
few features can be listed, and then the loss is exact; all others are drawn. Importances belong to the outputs.
Source: Elhage et al. 2022, "Computation in Superposition"; logical AND: Hänni et al. 2024.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.features import (
    Features,
    check_features,
    combination_probability,
    combinations,
    lowbias,
    number_of_combinations,
    sample_columns,
)
from toysup.hidden import ACTIVATIONS
from toysup.loss import flat_features, flat_importance
from toysup.optimise import adam
from toysup.restarts import NOTHING, best, from_every_start, refuse_divergence
from toysup.runtime import over_models

READOUTS = {"relu": jax.nn.relu, "linear": lambda z: z}
STARTS = {"positive": (0.1, jnp.abs), "symmetric": (0.25, lambda z: z), "wired": (0.01, jnp.abs)}  # size; sign of W2
MOST_LISTED = 2**12  # combinations of binary features up to which the loss is exact
INPUTS = 2**15  # drawn to measure a loss


def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The two members i < j of each of the n(n - 1)/2 pairs of n features."""
    return np.triu_indices(n, 1)


def _products(x):
    i, j = pairs(x.shape[0])
    return x[i] * x[j]


@dataclasses.dataclass(frozen=True)
class Task:
    """What is asked of a model.

    target: inputs as columns (n, batch) -> what to answer, (outputs, batch). outputs: n -> how many outputs.
    square: densities (n,) -> the mean squares of the targets, (outputs,), of independent features.
    values: an active feature is uniform on [-1, 1] ("signed"), on [0, 1] ("unit"), or 1 ("binary").
    readout: one of READOUTS, unless another is asked for. bias: whether hidden units have a bias c; else c stays 0.
    """

    target: Callable
    outputs: Callable[[int], int]
    square: Callable
    values: str
    readout: str
    bias: bool


TASKS = {
    "abs": Task(jnp.abs, lambda n: n, lambda p: p / 3, "signed", "relu", False),
    "product": Task(_products, lambda n: n * (n - 1) // 2, lambda p: _products(p) / 9, "unit", "linear", True),
    "and": Task(_products, lambda n: n * (n - 1) // 2, _products, "binary", "linear", True),
}
VALUES = {
    "signed": lambda x: jnp.where(x > 0, 2 * x - 1, 0.0),
    "unit": lambda x: x,
    "binary": lambda x: (x > 0).astype(x.dtype),
}


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["W1", "c", "W2", "b", "loss", "error", "features", "importance"],
    meta_fields=["task", "activation", "readout"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class ComputeFit:
    """Trained models that compute. The batch axes (...) are those of density and importance.

    W1: (..., restarts, m, n). c: (..., restarts, m). W2: (..., restarts, outputs, m). b: (..., restarts, outputs).
    loss, error: (..., restarts) loss on inputs that training did not see and its standard error; for listed binary
    inputs the exact loss, and 0. features, importance: what the models were trained on. task, activation, readout:
    names.
    """

    W1: jax.Array
    c: jax.Array
    W2: jax.Array
    b: jax.Array
    loss: jax.Array
    error: jax.Array
    features: Features
    importance: jax.Array
    task: str
    activation: str
    readout: str

    def best(self) -> ComputeFit:
        """The restart of the lowest loss of each model: a ComputeFit without the restarts axis."""
        floor = NOTHING * _answering_nothing(self.features, self.importance, task=self.task)
        return best(self, self.importance.ndim - 1, ("W1", "c", "W2", "b", "error"), nothing=floor)


@partial(jax.jit, static_argnames="task")
def _answering_nothing(features, importance, *, task):
    """The loss of models that always answer 0, (...)."""
    square = TASKS[task].square(jnp.moveaxis(features.density, -1, 0))
    return jnp.sum(importance * jnp.moveaxis(square, 0, -1), -1)


def inputs(features: Features, task: str, batch: int, *, key) -> jax.Array:
    """Draw inputs of a task, (..., batch, n). batch: how many. key: a JAX random key. Errors name the argument."""
    check_features(features)
    values = VALUES[_task(task).values]
    return jnp.swapaxes(values(sample_columns(features, check.count("batch", batch), key=check.key(key))), -1, -2)


def target(x, task: str) -> jax.Array:
    """What is asked for, of inputs x (..., batch, n): (..., batch, outputs). Errors name the argument."""
    x = jnp.asarray(_inputs(x), check.dtype())
    return jnp.moveaxis(_task(task).target(jnp.moveaxis(x, -1, 0)), 0, -1)


def answers(W1, W2, b, x, *, c=0.0, task: str = "abs", activation: str = "relu", readout=None) -> jax.Array:
    """The model's answer, y' = readout(W2 activation(W1 x + c) + b).

    W1: (..., m, n). W2: (..., outputs, m). b: (..., outputs). x: inputs (..., batch, n). c: scalar or (..., m).
    task, activation, readout: names; None is the task's readout.
    Returns y' (..., batch, outputs). Leading axes broadcast. Errors name the argument.
    """
    task, act = _task(task, readout), ACTIVATIONS[check.choice("activation", activation, ACTIVATIONS)]
    x = jnp.asarray(_inputs(x), check.dtype())
    W1, c, W2, b = _parameters(W1, c, W2, b, x.shape[-1], task)
    h = act(jnp.einsum("...mi,...bi->...bm", W1, x) + c[..., None, :])
    return READOUTS[task.readout](jnp.einsum("...om,...bm->...bo", W2, h) + b[..., None, :])


def compute_loss(
    W1, W2, b, features: Features, *, c=0.0, task: str = "abs", importance=1.0, activation: str = "relu",
    readout: str | None = None, inputs: int = INPUTS,
):  # fmt: skip
    """The loss Σ_o I_o E[(y_o - y'_o)²]: exact where binary inputs can be listed, else over drawn inputs.

    W1, W2, b, c, task, activation, readout: as for `answers`. importance: scalar or (..., outputs). inputs: how many
    are drawn, the same for all models. Returns the loss (...) and its standard error (...). Errors name the argument.
    """
    check_features(features)
    asked, inputs = _task(task, readout), check.count("inputs", inputs, least=2)
    check.choice("activation", activation, ACTIVATIONS)
    if task == "abs":  # the others are exact where they can be
        check.drawable(features.density, inputs)
    outputs = asked.outputs(features.n)
    W1, c, W2, b = _parameters(W1, c, W2, b, features.n, asked)
    importance = check.importance(importance, outputs)
    parts = ((W1, 2), (c, 1), (W2, 2), (b, 1))
    shape = check.broadcastable(
        "parameters, features and importance",
        *(a.shape[: a.ndim - k] for a, k in parts), features.shape, importance.shape[:-1],
    )  # fmt: skip
    flat = lambda a, k: jnp.broadcast_to(a, (*shape, *a.shape[a.ndim - k :])).reshape(-1, *a.shape[a.ndim - k :])
    models = (
        tuple(flat(a, k) for a, k in parts),
        flat_features(features, shape),
        flat_importance(importance, shape, outputs),
    )
    how = {"asked": asked, "activation": activation, "inputs": inputs}
    return tuple(a.reshape(shape) for a in over_models(_measured, math.prod(shape), models, **how))


def _measured(models, *, asked, activation, inputs):
    return lambda model, _: _measure(*model, asked, activation, inputs), models, (), 4


def train_compute(
    features: Features,
    m: int,
    *,
    task: str = "abs",
    importance=1.0,
    activation: str = "relu",
    readout: str | None = None,
    start: str = "positive",
    restarts: int = 16,
    steps: int = 3000,
    learning_rate: float = 0.01,
    batch: int = 256,
    key,
) -> ComputeFit:
    """Train models that compute, each from several random starts; all starts see the same inputs.

    features: which inputs are active; leading axes are a batch of models. m: hidden units. task: one of TASKS.
    importance: scalar or (..., outputs). activation: "relu" or "linear". readout: "relu" or "linear", None is the
        task's. start: W1 and W2 have normal entries of size 0.1, those of W2 made positive ("positive"), or of size
        0.25 ("symmetric"), or of size 0.01 added to the naive wiring of absolute values ("wired"). steps,
        learning_rate, batch: of Adam; the rate falls to 0 as a cosine, and the loss is scaled so that a model that
        answers 0 loses 1.
    key: a JAX random key.
    Returns a ComputeFit. Moving density, importance or rate does not compile anew. Errors name the argument;
    ValueError as well where the rate is so large that a restart diverges.
    Source: Elhage et al. 2022, "Computation in Superposition".
    """
    check_features(features)
    asked = _task(task, readout)
    check.choice("activation", activation, ACTIVATIONS)
    if check.choice("start", start, STARTS) == "wired" and task != "abs":
        raise ValueError(f"start='wired' is a wiring for absolute values: the task is {task!r}")
    m, restarts, steps, batch = (
        check.count(*a) for a in (("m", m), ("restarts", restarts), ("steps", steps), ("batch", batch))
    )
    outputs = asked.outputs(features.n)
    if not outputs:
        raise ValueError(f"the task {task!r} needs at least 2 features, got {features.n}")
    importance = check.importance(importance, outputs)
    rate = check.positive("learning_rate", learning_rate, most=10.0)
    shape = check.broadcastable("density and importance", features.shape, importance.shape[:-1])
    check.memory(max(features.n, outputs), m, restarts, batch, shape)
    start_key, data_key = jax.random.split(check.key(key))
    models = (flat_features(features, shape), flat_importance(importance, shape, outputs))
    found = over_models(
        _train, math.prod(shape) * restarts, models, _initial(restarts, m, features.n, outputs, start, start_key),
        (jnp.asarray(rate, check.dtype()), data_key), asked=asked, activation=activation, steps=steps, batch=batch,
    )  # fmt: skip
    parameters, loss, error = jax.tree.map(lambda a: a.reshape(*shape, restarts, *a.shape[1:]), found)
    refuse_divergence(loss, rate)
    features, importance = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), models)
    return ComputeFit(*parameters, loss, error, features, importance, task, activation, asked.readout)


def _initial(restarts, m, n, outputs, start, key):
    """Random starts (W1, c, W2, b); restart r depends on the key and r alone."""
    size, sign = STARTS[start]
    keys = jax.vmap(lambda r: jax.random.split(jax.random.fold_in(key, r)))(jnp.arange(restarts))
    normal = lambda k, shape: (
        size * jax.vmap(lambda one: jax.random.normal(one, shape, jnp.float32))(k).astype(check.dtype())
    )
    zeros = lambda k: jnp.zeros((restarts, k), check.dtype())
    W1, W2 = normal(keys[:, 0], (m, n)), sign(normal(keys[:, 1], (outputs, m)))
    if start == "wired":
        naive = _wiring(m, n)
        W1, W2 = W1 + naive, W2 + abs(naive).T
    return W1, zeros(m), W2, zeros(outputs)


def _wiring(m, n):
    """W1 of a network that gives two neurons to each of the first m // 2 features, one for each sign."""
    rows = np.kron(np.eye(m // 2, n), [[1], [-1]])
    return jnp.asarray(np.pad(rows, ((0, m % 2), (0, 0))), check.dtype())


def _train(models, starts, shared, *, asked, activation, steps, batch):

    def one(model, shared):
        (features, importance), start = model
        objective = _objective(features, importance, asked, activation, batch)
        parameters = adam(objective, start, shared[0], steps, key=shared[1])
        return parameters, *_measure(parameters, features, importance, asked, activation, INPUTS)

    return one, from_every_start(models, starts), shared, 12


def _objective(features, importance, asked, activation, batch):
    """The function (parameters, key) -> loss, scaled so that answering 0 loses 1; c is held at 0 where it must be."""
    x, weight = _listed(features, asked) or (None, None)
    scale = 1 / (importance @ asked.square(features.density))

    def objective(parameters, key):
        W1, c, W2, b = parameters
        c = c if asked.bias else jax.lax.stop_gradient(c)
        here = x if x is not None else _drawn(features, asked, batch, key, lowbias)
        each = importance @ jnp.square(_error((W1, c, W2, b), here, asked, activation))
        return scale * (each.mean() if weight is None else each @ weight)

    return objective


def _measure(parameters, features, importance, asked, activation, inputs):
    """The loss of one model and its standard error: exact and 0 where the inputs are listed."""
    x, weight = _listed(features, asked) or (None, None)
    if x is None:
        x = _drawn(features, asked, inputs, jax.random.key(0))
    each = importance @ jnp.square(_error(parameters, x, asked, activation))
    if weight is not None:
        return each @ weight, jnp.zeros(())
    return each.mean(), each.std() / inputs**0.5


def _listed(features, asked):
    """All binary inputs as columns and their probabilities; None where they are too many, or not binary."""
    if asked.values != "binary" or number_of_combinations(features) > MOST_LISTED:
        return None
    active, picks = combinations(features)
    return jnp.asarray(active.T, check.dtype()), combination_probability(features, picks)


def _drawn(features, asked, batch, key, uniform=None):
    more = {} if uniform is None else {"uniform": uniform}
    return VALUES[asked.values](sample_columns(features, batch, key=key, **more))


def _error(parameters, x, asked, activation):
    """Answer minus target, inputs as columns x (n, batch)."""
    W1, c, W2, b = parameters
    h = ACTIVATIONS[activation](W1 @ x + c[:, None])
    return READOUTS[asked.readout](W2 @ h + b[:, None]) - asked.target(x)


def _task(name, readout=None) -> Task:
    task = TASKS[check.choice("task", name, TASKS)]
    if readout is None:
        return task
    return dataclasses.replace(task, readout=check.choice("readout", readout, READOUTS))


def _inputs(x):
    x = check.numbers("x", x, check.MOST_PARAMETER)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: it must be (..., batch, n)")
    return x


def _parameters(W1, c, W2, b, n, task):
    """The parameters as arrays whose shapes fit each other and the task."""
    W1, c, W2, b = (check.numbers(k, a, check.MOST_PARAMETER) for k, a in (("W1", W1), ("c", c), ("W2", W2), ("b", b)))
    if W1.ndim < 2 or W1.shape[-1] != n:
        raise ValueError(f"W1 has shape {W1.shape}: it must be (..., m, n) with n = {n} features")
    outputs, m = task.outputs(n), W1.shape[-2]
    if W2.ndim < 2 or W2.shape[-2:] != (outputs, m):
        raise ValueError(f"W2 has shape {W2.shape}: it must be (..., outputs, m) = (..., {outputs}, {m})")
    if b.ndim < 1 or b.shape[-1] != outputs:
        raise ValueError(f"b has shape {b.shape}: it must be (..., outputs) = (..., {outputs})")
    if c.ndim and c.shape[-1] != m:
        raise ValueError(f"c has shape {c.shape}: it must be one number or (..., m) with m = {m}")
    c = jnp.broadcast_to(jnp.asarray(c, check.dtype()), (*c.shape[:-1], m))
    return jnp.asarray(W1, check.dtype()), c, jnp.asarray(W2, check.dtype()), jnp.asarray(b, check.dtype())
