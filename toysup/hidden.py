"""Models with neurons: an activation function inside the hidden layer, `h = activation(W x)`, `x' = ReLU(Wᵀ h + b)`.

With the linear activation this is the model of `toysup.model`. Any other one is applied to each hidden unit by itself,
so that the units' own axes, the neurons, differ from all other directions.
Source: Elhage et al. 2022, "Superposition in a Privileged Basis".
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp

from toysup import check
from toysup.features import Features, check_features, lowbias, sample_columns
from toysup.loss import flat, flat_features, flat_importance
from toysup.model import initial
from toysup.optimise import RULES, descend
from toysup.restarts import best, from_every_start, refuse_divergence, rounding
from toysup.runtime import over_models

ACTIVATIONS = {"linear": lambda z: z, "relu": jax.nn.relu}
RATES = {"adam": 0.01, "sgd": 0.3}
PENALTIES = {  # of W (m, n) and the hidden activations h (m, batch)
    "l1": lambda W, h: jnp.abs(h).sum(0).mean(),
    "l2": lambda W, h: jnp.square(h).sum(0).mean(),
    "decay": lambda W, h: jnp.square(W).sum(),
}
INPUTS = 2**15  # drawn to measure a loss


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["W", "b", "loss", "error", "features", "importance"],
    meta_fields=["activation"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class HiddenFit:
    """Trained models with neurons. The batch axes (...) are those of density, importance and penalty.

    W: (..., restarts, m, n). b: (..., restarts, n).
    loss, error: (..., restarts) loss without penalty on inputs that training did not see, and its standard error.
    features, importance: what the models were trained on, with the batch axes in front. activation: its name.
    """

    W: jax.Array
    b: jax.Array
    loss: jax.Array
    error: jax.Array
    features: Features
    importance: jax.Array
    activation: str

    def best(self) -> HiddenFit:
        """The restart of the lowest loss of each model: a HiddenFit without the restarts axis."""
        return best(
            self, self.importance.ndim - 1, ("W", "b", "error"), nothing=rounding(self.features, self.importance)
        )


def hidden_forward(W, b, x, *, activation: str = "relu") -> jax.Array:
    """The output of a model with neurons, x' = ReLU(Wᵀ activation(W x) + b).

    W: (..., m, n). b: (..., n). x: inputs (..., batch, n). activation: one of ACTIVATIONS.
    Returns x' (..., batch, n). Leading axes broadcast. Errors name the argument.
    Source: Elhage et al. 2022, "Superposition in a Privileged Basis".
    """
    act = ACTIVATIONS[check.choice("activation", activation, ACTIVATIONS)]
    x = check.numbers("x", x, check.MOST_PARAMETER)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: it must be (..., batch, n)")
    W, b = check.parameters(W, b, x.shape[-1])
    check.broadcastable("W, b and x", W.shape[:-2], b.shape[:-1], x.shape[:-2])
    W, b, x = (jnp.asarray(a, check.dtype()) for a in (W, b, x))
    h = act(jnp.einsum("...mi,...bi->...bm", W, x))
    return jax.nn.relu(jnp.einsum("...mi,...bm->...bi", W, h) + b[..., None, :])


def hidden_loss(W, b, features: Features, *, importance=1.0, activation: str = "relu", inputs: int = INPUTS):
    """The mean loss Σ_i I_i (x_i - x'_i)² over drawn inputs, the same draw for all models.

    W: (..., m, n). b: (..., n). features: n features. importance: scalar or (..., n). Leading axes broadcast.
    activation: one of ACTIVATIONS. inputs: how many are drawn.
    Returns the loss (...) and its standard error (...). Errors name the argument.
    """
    check_features(features)
    check.choice("activation", activation, ACTIVATIONS)
    inputs = check.count("inputs", inputs, least=2)
    W, b = check.parameters(W, b, features.n)
    importance = check.importance(importance, features.n)
    shape = check.broadcastable(
        "W, b, features and importance", W.shape[:-2], b.shape[:-1], features.shape, importance.shape[:-1]
    )
    check.drawable(features.density, inputs)
    check.room(f"{inputs} inputs of {features.n} features", 48 * inputs * features.n)
    given = flat_features(features, shape), flat_importance(importance, shape, features.n)
    models = (flat(W, shape, 2), flat(b, shape, 1), *given)
    found = over_models(_measured, math.prod(shape), models, activation=activation, inputs=inputs)
    return tuple(a.reshape(shape) for a in found)


def _measured(models, *, activation, inputs):
    return lambda model, _: _measure(*model, activation, inputs), models, (), 4


def _measure(W, b, features, importance, activation, inputs):
    """The loss of one model on fresh inputs, and its standard error: two scalars."""
    x = sample_columns(features, inputs, key=jax.random.key(0))
    each = importance @ jnp.square(_error(W, b, x, activation)[0])
    return each.mean(), each.std() / inputs**0.5


def _error(W, b, x, activation):
    """Output minus input, inputs as columns x (n, batch); and the hidden activations (m, batch)."""
    h = ACTIVATIONS[activation](W @ x)
    return jax.nn.relu(W.T @ h + b[:, None]) - x, h


def train_hidden(
    features: Features,
    m: int,
    *,
    importance=1.0,
    activation: str = "relu",
    penalty=0.0,
    norm: str = "l1",
    rule: str = "adam",
    restarts: int = 24,
    steps: int = 2000,
    learning_rate=None,
    batch: int = 512,
    start=None,
    key,
) -> HiddenFit:
    """Train models with neurons on drawn inputs, each from several random starts; all starts see the same inputs.

    features: what the inputs look like; leading axes are a batch of models. m: neurons. importance: scalar or (..., n).
    activation: "relu" or "linear". penalty: scalar or (...), not negative, times the mean Σ_k |h_k| (norm "l1"),
        the mean Σ_k h_k² ("l2") or Σ W_ki² ("decay"), added to the loss. rule: "adam" or "sgd" (plain gradient
        descent). steps, learning_rate (default RATES[rule]), batch: of the optimiser; the rate falls to 0 as a
        cosine, and the loss is scaled so that a model that answers 0 loses 1.
    start: W (restarts, m, n) in place of random starts. key: a JAX random key.
    Returns a HiddenFit. Moving density, importance, penalty or rate does not compile anew. Errors name the argument;
    ValueError as well where the rate is so large that a restart diverges.
    Source: Elhage et al. 2022, "Superposition in a Privileged Basis".
    """
    check_features(features)
    check.key(key)
    for name, value, allowed in (
        ("activation", activation, ACTIVATIONS),
        ("norm", norm, PENALTIES),
        ("rule", rule, RULES),
    ):
        check.choice(name, value, allowed)
    m, restarts, steps, batch = (
        check.count(*a) for a in (("m", m), ("restarts", restarts), ("steps", steps), ("batch", batch))
    )
    importance, penalty = check.importance(importance, features.n), check.numbers("penalty", penalty)
    if not check.is_traced(penalty) and (penalty < 0).any():
        raise ValueError(f"penalty must not be negative, got {penalty.min():g}")
    rate = check.positive("learning_rate", RATES[rule] if learning_rate is None else learning_rate, most=10.0)
    shape = check.broadcastable("density, importance and penalty", features.shape, importance.shape[:-1], penalty.shape)
    check.memory(features.n, m, restarts, batch, shape)
    start_key, data_key = jax.random.split(key)
    starts = _starts(start, restarts, m, features.n, start_key)
    models = (
        flat_features(features, shape),
        flat_importance(importance, shape, features.n),
        jnp.broadcast_to(jnp.asarray(penalty, check.dtype()), shape).reshape(-1),
    )
    found = over_models(
        _train, math.prod(shape) * restarts, models, starts, (jnp.asarray(rate, check.dtype()), data_key),
        activation=activation, norm=norm, rule=rule, steps=steps, batch=batch,
    )  # fmt: skip
    W, b, loss, error = (a.reshape(*shape, restarts, *a.shape[1:]) for a in found)
    refuse_divergence(loss, rate)
    unflat = lambda a: a.reshape(*shape, *a.shape[1:])
    features, importance = jax.tree.map(unflat, models[:2])
    return HiddenFit(W, b, loss, error, features, importance, activation)


def _starts(start, restarts, m, n, key):
    """W (restarts, m, n) and b of zeros: those given, or random ones."""
    W, b = initial(restarts, m, n, key=key)
    if start is None:
        return W, b
    given = check.numbers("start", start, check.MOST_PARAMETER)
    if given.shape != W.shape:
        raise ValueError(f"start has shape {given.shape}: it must be (restarts, m, n) = {W.shape}")
    return jnp.asarray(given, check.dtype()), b


def _train(models, starts, shared, *, activation, norm, rule, steps, batch):

    def one(model, shared):
        (features, importance, penalty), start = model
        objective = _objective(features, importance, penalty, activation, norm, batch)
        W, b = descend(objective, start, RULES[rule](), shared[0], steps, key=shared[1])
        return W, b, *_measure(W, b, features, importance, activation, INPUTS)

    return one, from_every_start(models, starts), shared, 12


def _objective(features, importance, penalty, activation, norm, batch):
    """The function (parameters, key) -> loss and penalty, scaled so that a model that answers 0 loses 1."""
    scale = 3 / (importance @ features.density)

    def objective(parameters, key):
        error, h = _error(*parameters, sample_columns(features, batch, key=key, uniform=lowbias), activation)
        return scale * (jnp.mean(importance @ jnp.square(error)) + penalty * PENALTIES[norm](parameters[0], h))

    return objective
