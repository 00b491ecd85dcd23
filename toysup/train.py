"""Fit many models at once: restarts and sweeps in one compiled program."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp

from toysup import check
from toysup import loss as losses
from toysup.features import Features, check_features
from toysup.model import get_readout, initial
from toysup.optimise import adam, bfgs
from toysup.restarts import best, from_every_start, reached, refuse_divergence, rounding
from toysup.runtime import over_models

# Steps of Adam and their size: few and large where BFGS finishes the work, many where it does not.
FINISHED = {"lines": (150, 0.1), "moments": (1000, 0.1)}
ALONE = {"lines": (300, 0.1), "moments": (3000, 0.03), "samples": (3000, 0.01), "active": (3000, 0.01)}
POLISH = 100
MOST_PARAMETERS_TO_POLISH = 100  # BFGS keeps a square matrix of this size for each model
REACHED = 1e-3  # relative: restarts so close to the lowest loss have reached it
SAME = 1e-8  # of the loss of a model that always answers 0: less is no difference


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["W", "b", "loss", "error", "reached", "features", "importance"],
    meta_fields=["readout", "objective"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Trained models. The batch axes (...) are those of density and importance.

    W: (..., restarts, m, n). b: (..., restarts, n).
    loss: (..., restarts) expected loss, on finer lines than training used, or on a draw that training did not see.
    error: (..., restarts) standard error of `loss`; 0 where it is exact.
    reached: (...) how many restarts came within 0.1 % of the lowest loss of their model.
    features, importance: what the models were trained on, with the batch axes in front.
    readout: its name. objective: "exact", "sampled" or "stratified", how the models were trained and `loss` was found.
    """

    W: jax.Array
    b: jax.Array
    loss: jax.Array
    error: jax.Array
    reached: jax.Array
    features: Features
    importance: jax.Array
    readout: str
    objective: str

    def best(self) -> Fit:
        """The restart of the lowest loss of each model: a Fit without the restarts axis.

        Of losses equal up to rounding (`toysup.restarts.TIE`) the first start is taken; one that diverged never is.
        """
        return best(self, self.reached.ndim, ("W", "b", "error"), nothing=rounding(self.features, self.importance))


def train(
    features: Features,
    m: int,
    *,
    importance=1.0,
    readout: str = "relu",
    restarts: int = 8,
    objective: str = "auto",
    steps: int | None = None,
    learning_rate=None,
    polish: int | None = None,
    batch: int = 1024,
    key,
) -> Fit:
    """Train one model, or a batch of them, from several random starts each.

    features: what the inputs look like; the leading axes of its density are a batch of models.
    m: hidden dimensions. importance: scalar or (..., n), not negative; leading axes are a batch too.
    readout: "relu", "linear", "abs" or "gelu". restarts: random starts for each model; every model gets the same.
    objective: "exact" integrates the loss over inputs, "sampled" draws `batch` inputs at every step, "stratified"
        draws only inputs with an active feature (for very sparse ones), "auto" is exact where that fits and sampled
        elsewhere. steps, learning_rate: of Adam with a cosine decay to 0. polish: steps of BFGS afterwards
        (exact objective only; 0 switches it off). batch: inputs per step when sampled.
    key: a JAX random key.
    Returns a Fit. Moving density, importance or learning rate does not compile anew.
    Errors: ValueError or TypeError that names the argument, before anything is compiled; ValueError as well where the
    rate is so large that a restart diverges.
    Source: Elhage et al. 2022, section 2; the exact objective is this package's own.
    """
    get_readout(readout)
    m, restarts, batch = check.count("m", m), check.count("restarts", restarts), check.count("batch", batch)
    check_features(features)
    check.key(key)
    how = losses.objective_of(features, readout, objective)
    importance = check.importance(importance, features.n)
    polish = polishing(how, features.n * (m + 1), polish)
    usual_steps, usual_rate = schedule(how, polish)
    steps = usual_steps if steps is None else check.count("steps", steps)
    rate = check.positive("learning_rate", usual_rate if learning_rate is None else learning_rate, most=10.0)
    shape = check.broadcastable("density and importance", features.shape, importance.shape[:-1])
    check.memory(features.n, m, restarts, batch if how in losses.DRAWN else 0, shape)
    tables = tuple(losses.lines(features, r) for r in (losses.COARSE, losses.FINE)) if how == "lines" else (None, None)
    models = (losses.flat_features(features, shape), losses.flat_importance(importance, shape, features.n))
    found = over_models(
        _train, math.prod(shape) * restarts, *models, tables, jnp.asarray(rate, check.dtype()), key,
        m=m, readout=readout, how=how, restarts=restarts, steps=steps, polish=polish, batch=batch,
    )  # fmt: skip
    refuse_divergence(found[2], rate)
    return _gather(found, *models, shape=shape, restarts=restarts, readout=readout, how=how)


def _train(features, importance, tables, rate, key, *, m, readout, how, restarts, steps, polish, batch):
    n = features.n
    start_key, data_key = jax.random.split(key)
    start = initial(restarts, m, n, key=start_key)

    def one(model, shared):
        ((features, importance), start), (tables, rate, key) = model, shared
        objective = _objective(features, importance, readout, how, tables[0], batch)
        W, b = adam(objective, start, rate, steps, key=key)
        W, b = bfgs(lambda p: objective(p, None), (W, b), polish) if polish else (W, b)
        return W, b, *losses.evaluate(W, b, features, importance, readout, how, tables[1])

    problems = from_every_start((features, importance), start)
    chunk = losses.chunk_of(tables[0], n * batch if how in losses.DRAWN else 2**14)
    return one, problems, (tables, rate, data_key), chunk


@partial(jax.jit, static_argnames=("shape", "restarts", "readout", "how"))
def _gather(found, features, importance, *, shape, restarts, readout, how) -> Fit:
    W, b, loss, error = (a.reshape(*shape, restarts, *a.shape[1:]) for a in found)
    unflat = lambda a: a.reshape(*shape, *a.shape[1:])
    features, importance = jax.tree.map(unflat, (features, importance))
    near = reached(loss, REACHED, SAME / 3 * jnp.sum(importance * features.density, -1))
    return Fit(W, b, loss, error, near, features, importance, readout, losses.DRAWN.get(how, "exact"))


def schedule(how: str, polish: int) -> tuple[int, float]:
    """Adam's steps and their size, by default: few and large where BFGS finishes the work."""
    return FINISHED[how] if polish else ALONE[how]


def polishing(how: str, parameters: int, wanted: int | None) -> int:
    """How many steps of BFGS: none where the objective is noisy, or by default where there are many parameters."""
    if wanted is not None:
        wanted = check.count("polish", wanted, least=0)
        if wanted and how in losses.DRAWN:
            raise ValueError(f"polish={wanted} needs an exact objective; this one is sampled, so polish must be 0")
        return wanted
    return POLISH if how not in losses.DRAWN and parameters <= MOST_PARAMETERS_TO_POLISH else 0


def _objective(features: Features, importance, readout: str, how: str, table, batch: int):
    """The function (parameters, key) -> loss that training descends, scaled to order 1 at any density."""
    scale = 3 / (importance @ features.density)  # the loss of a model that always answers 0 becomes 1
    objective = losses.objective(features, importance, readout, how, table, batch)
    return lambda p, key: scale * objective(p, key)
