"""Training that is watched: parameters and loss at regular steps of many runs; plateaus and jumps found in them.

The rate is constant, so that the number of a step is a time. With plain gradient descent on the exact loss, rate times
steps is the time of the gradient flow dW/dt = -∂L/∂W, which closed forms speak of.
Source: Elhage et al. 2022, "Superposition and Learning Dynamics".
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toysup import check
from toysup import loss as losses
from toysup.features import Features, check_features
from toysup.model import get_readout, initial
from toysup.optimise import RULES
from toysup.runtime import over_models

RATES = {"sgd": 0.1, "adam": 1e-3}
MEASURED = 2**12  # inputs drawn to measure a loss that cannot be exact, the same at all steps and for all runs


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["steps", "W", "b", "loss", "features", "importance"],
    meta_fields=["readout", "objective"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """What runs looked like while they were trained.

    steps: (records,) numbers of the steps, from 0. W: (runs, records, m, n). b: (runs, records, n).
    loss: (runs, records) exact where it can be, else on the same drawn inputs at all steps and for all runs.
    features, importance, readout: what the models were trained on. objective: "exact", "sampled" or "stratified".
    """

    steps: jax.Array
    W: jax.Array
    b: jax.Array
    loss: jax.Array
    features: Features
    importance: jax.Array
    readout: str
    objective: str


def watch(
    features: Features,
    m: int,
    *,
    importance=1.0,
    readout: str = "relu",
    objective: str = "auto",
    rule: str = "sgd",
    rate=None,
    steps: int = 1000,
    every: int = 10,
    runs: int = 24,
    spread=None,
    start=None,
    batch: int = 512,
    key,
) -> History:
    """Train several runs at a constant rate, and keep what they look like at every `every`-th step.

    features: one distribution, without batch axes. m: hidden dimensions. importance: scalar or (n,).
    readout, objective: as in `toysup.train`; drawn inputs differ from run to run. rule: "sgd", plain gradient descent,
    or "adam"; both on the loss as it is. rate: default RATES[rule]. steps: rounded down to a multiple of `every`.
    spread: standard deviation of the entries of W at the start (default (2m)^-1/2); biases start at 0.
    start: (W, b) with W (runs, m, n) and b (runs, n) in place of random starts. batch: inputs per step where drawn.
    key: a JAX random key.
    Returns a History. Moving density, importance, rate or spread does not compile anew. Errors name the argument;
    ValueError as well where the rate is so large that a run diverges.
    """
    get_readout(readout)
    check_features(features)
    if features.shape:
        raise ValueError(f"features must be one distribution; their batch shape is {features.shape}")
    numbers = (("m", m), ("steps", steps), ("every", every), ("runs", runs), ("batch", batch))
    m, steps, every, runs, batch = (check.count(*a) for a in numbers)
    if every > steps:
        raise ValueError(f"every={every} must not exceed steps={steps}")
    how = losses.objective_of(features, readout, objective)
    importance = check.importance(importance, features.n)
    if importance.ndim > 1:
        raise ValueError(f"importance has shape {importance.shape}: it must be one number or (n,)")
    check.choice("rule", rule, RULES)
    rate = check.positive("rate", RATES[rule] if rate is None else rate, most=100.0)
    start = _starts(start, spread, runs, m, features.n, check.key(key))
    check.memory(features.n, m, runs * (steps // every + 1), batch if how in losses.DRAWN else 0, ())
    tables = tuple(losses.lines(features, r) for r in (losses.COARSE, losses.FINE)) if how == "lines" else (None, None)
    weigh = losses.flat_importance(importance, (), features.n)[0]
    W, b, loss = over_models(
        _watch, runs, features, weigh, start, tables, jnp.asarray(rate, check.dtype()), key,
        readout=readout, how=how, rule=rule, records=steps // every, every=every, batch=batch,
    )  # fmt: skip
    if not check.is_traced(loss) and not jnp.isfinite(loss).all():
        raise ValueError(f"rate={float(rate):g} is too large: {int((~jnp.isfinite(loss)).any(1).sum())} runs diverged")
    times = np.arange(steps // every + 1) * every
    return History(times, W, b, loss, features, weigh, readout, losses.DRAWN.get(how, "exact"))


def _starts(start, spread, runs, m, n, key):
    """W (runs, m, n) and b (runs, n): those given, or random ones of the given standard deviation."""
    W, b = initial(runs, m, n, key=jax.random.fold_in(key, 0))
    if start is None:
        size = (2 * m) ** -0.5 if spread is None else check.positive("spread", spread, most=10.0)
        return W * (size * (2 * m) ** 0.5), b
    if spread is not None:
        raise ValueError("give start or spread, not both")
    given = check.parameters(*start, n)
    if given[0].shape != W.shape or given[1].shape != b.shape:
        shapes = " and ".join(str(a.shape) for a in given)
        raise ValueError(f"start has shapes {shapes}: they must be (runs, m, n) = {W.shape} and (runs, n) = {b.shape}")
    return tuple(jnp.asarray(a, check.dtype()) for a in given)


def _watch(features, importance, start, tables, rate, key, *, readout, how, rule, records, every, batch):
    runs = start[0].shape[0]

    def one(model, shared):
        parameters, key = model
        features, importance, tables, rate = shared
        descend = jax.grad(losses.objective(features, importance, readout, how, tables[0], batch))
        adapt = RULES[rule]()

        def step(carry, t):
            parameters, state = carry
            update, state = adapt.update(descend(parameters, jax.random.fold_in(key, t)), state)
            return (optax.apply_updates(parameters, jax.tree.map(lambda u: -rate * u, update)), state), None

        def record(carry, r):
            carry, _ = jax.lax.scan(step, carry, r * every + jnp.arange(every))
            return carry, carry[0]

        _, kept = jax.lax.scan(record, (parameters, adapt.init(parameters)), jnp.arange(records))
        W, b = (jnp.concatenate([first[None], then]) for first, then in zip(parameters, kept, strict=True))
        measure = lambda p: _measure(*p, features, importance, readout, how, tables[1])
        return W, b, jax.lax.map(measure, (W, b), batch_size=4)

    keys = jax.vmap(lambda r: jax.random.fold_in(key, r + 1))(jnp.arange(runs))
    chunk = losses.chunk_of(tables[0], features.n * batch if how in losses.DRAWN else 2**14)
    return one, (start, keys), (features, importance, tables, rate), chunk


def _measure(W, b, features, importance, readout, how, table):
    if how in losses.DRAWN:
        return losses.sampled_loss(W, b, features, importance, get_readout(readout), jax.random.key(0), MEASURED)[0]
    return losses.evaluate(W, b, features, importance, readout, how, table)[0]


# ------------------------------------------------------------ what a run goes through


@dataclasses.dataclass(frozen=True)
class Plateau:
    """A stretch of training, from step `start` to `end`, in which the loss hardly falls, and after which it does.

    slowest: the step in it at which the loss falls least. level: the loss there.
    """

    start: int
    end: int
    slowest: int
    level: float

    @property
    def length(self) -> int:
        """How many steps it lasts."""
        return self.end - self.start


def plateaus(steps, loss, *, slow: float = 5e-4, least: int = 50, drop: float = 0.05) -> tuple[Plateau, ...]:
    """The stretches of one run in which the loss falls slowly, and after which it falls further.

    steps, loss: (records,), an exact loss: noise would hide a slow fall. slow: the share of itself that the loss loses
    per step, at most. least: how many steps a stretch must last. drop: the share of itself that the loss must still
    lose after the stretch; so the end of training is no plateau.
    Returns Plateaus in the order of time. Errors name the argument.
    """
    steps, loss = _series(steps, loss)
    slow, drop = check.positive("slow", slow, most=1.0), check.positive("drop", drop, most=1.0)
    speed = -np.diff(np.log(loss)) / np.diff(steps)
    calm = np.concatenate([[0], speed < slow, [0]]).astype(int)
    first, end = np.flatnonzero(np.diff(calm) == 1), np.flatnonzero(np.diff(calm) == -1)
    stretches = [(a, z) for a, z in zip(first, end, strict=True) if steps[z] - steps[a] >= least]
    kept = [(a, z, a + int(speed[a:z].argmin())) for a, z in stretches if loss[-1] < (1 - drop) * loss[z]]
    return tuple(Plateau(int(steps[a]), int(steps[z]), int(steps[k]), float(loss[k])) for a, z, k in kept)


def _series(steps, loss):
    steps, loss = check.numbers("steps", steps), check.numbers("loss", loss)
    if steps.ndim != 1 or loss.shape != steps.shape or len(steps) < 2 or (np.diff(steps) <= 0).any():
        raise ValueError(f"steps must increase and loss have a value for each; got {steps.shape} and {loss.shape}")
    if (loss <= 0).any():
        raise ValueError(f"loss must be above 0 everywhere, got {loss.min():g}")
    return steps, loss


def passing(steps, values, level: float) -> np.ndarray:
    """When values first rise above a level, interpolated between records; NaN where they never do.

    steps: (records,). values: (..., records). Returns (...).
    """
    steps, values = check.numbers("steps", steps), check.numbers("values", values)
    if steps.ndim != 1 or values.ndim < 1 or values.shape[-1] != len(steps) or len(steps) < 2:
        raise ValueError(
            f"values must be (..., {len(steps)}), a value for each of two steps or more; got {values.shape}"
        )
    above = values > level
    k = np.clip(above.argmax(-1), 1, None)
    low, high = (np.take_along_axis(values, i[..., None], -1)[..., 0] for i in (k - 1, k))
    share = np.clip((level - low) / np.where(high == low, 1.0, high - low), 0.0, 1.0)
    return np.where(above.any(-1), steps[k - 1] + share * (steps[k] - steps[k - 1]), np.nan)


# ------------------------------------------------------------ jumps between levels


@dataclasses.dataclass(frozen=True)
class Jump:
    """A feature that leaves one level and settles in the other, between the steps `start` and `end`.

    run, feature: their numbers. up: whether it is learned (True) or given up (False). drop: how much the loss of the
    run falls from `start` to `end`.
    """

    run: int
    feature: int
    start: int
    end: int
    up: bool
    drop: float


def jumps(steps, D, loss, *, low: float = 0.2, high: float = 0.35, hold: float = 200) -> tuple[Jump, ...]:
    """The jumps of features between two levels: learned, and not learned.

    steps: (records,). D: (runs, records, n) feature dimensionalities. loss: (runs, records).
    low, high: below `low` a feature counts as not learned, above `high` as learned; between them its level is open.
    hold: for how many steps it must stay in either level, before the jump and after it.
    Returns Jumps, run by run and feature by feature. Errors name the argument.
    Source: Elhage et al. 2022, "Discrete Energy Level Jumps" (the phenomenon); the rule is this series' own.
    """
    steps, D, loss = _records(steps, D, loss)
    if not 0 <= low < high:
        raise ValueError(f"low must be below high, neither negative; got {low:g} and {high:g}")
    return tuple(
        Jump(run, feature, int(steps[a]), int(steps[z]), up, float(loss[run, a] - loss[run, z]))
        for run, feature in np.ndindex(D.shape[0], D.shape[2])
        for a, z, up in _changes(steps, D[run, :, feature], low, high, hold)
    )


def _records(steps, D, loss):
    steps, D, loss = check.numbers("steps", steps), check.numbers("D", D), check.numbers("loss", loss)
    if steps.ndim != 1 or D.ndim != 3 or D.shape[1] != len(steps) or loss.shape != D.shape[:2]:
        raise ValueError(
            f"steps (records,), D (runs, records, n) and loss (runs, records) do not fit together: "
            f"{steps.shape}, {D.shape}, {loss.shape}"
        )
    return steps, D, loss


def _changes(steps, d, low, high, hold):
    """Pairs of successive long stays in different levels, as (last record of one, first of the other, up)."""
    level = np.select([d > high, d < low], [1, -1], 0)
    known = np.flatnonzero(level)
    parts = np.split(known, np.flatnonzero(np.diff(level[known])) + 1) if len(known) else []
    stays = [part for part in parts if steps[part[-1]] - steps[part[0]] >= hold]
    for before, after in itertools.pairwise(stays):
        if level[before[0]] != level[after[0]]:
            yield before[-1], after[0], bool(level[after[0]] > 0)


def swaps(found) -> tuple[tuple[Jump, Jump], ...]:
    """Pairs (down, up) of jumps of one run whose times overlap: one feature gives way to another."""
    down, up = ([jump for jump in found if jump.up == way] for way in (False, True))
    return tuple((d, u) for d in down for u in up if d.run == u.run and max(d.start, u.start) <= min(d.end, u.end))


def drop_elsewhere(found, steps, loss) -> np.ndarray:
    """The control of `Jump.drop`: how much the losses of all other runs fall meanwhile, on average, (jumps,).

    The loss falls all the time; only what it falls beyond this has to do with the jump.
    """
    steps, loss = check.numbers("steps", steps), check.numbers("loss", loss)
    if steps.ndim != 1 or loss.ndim != 2 or loss.shape[1] != len(steps) or len(loss) < 2:
        raise ValueError(f"loss must be (runs, {len(steps)}), two runs or more, and steps (records,); got {loss.shape}")
    fall = lambda jump: loss[:, np.searchsorted(steps, jump.start)] - loss[:, np.searchsorted(steps, jump.end)]
    return np.array([np.delete(fall(jump), jump.run).mean() for jump in found])


def moves_with_loss(D, loss, *, window: int = 5, skip: int = 0) -> tuple[float, np.ndarray]:
    """Whether the loss falls faster than usual when features move more than usual.

    D: (runs, records, n). loss: (runs, records). window: records over which both are measured. skip: records at the
    start that are left out. "Usual" is the mean over all runs at the same time.
    Returns the correlation over all runs and times between how much the loss falls and Σ_i |change of D_i|; and the
    control (runs - 1,), the same with the movements of another run in place of the own.
    """
    D, loss = _records(np.arange(max(1, np.shape(loss)[-1])), D, loss)[1:]
    window, skip = check.count("window", window), check.count("skip", skip, least=0)
    if len(D) < 2 or D.shape[1] < window + skip + 2:
        raise ValueError(f"two runs and {window + skip + 2} records are needed, got {D.shape[:2]}")
    beyond = lambda a: a[:, skip:] - a[:, skip:].mean(0)
    fall = beyond(loss[:, :-window] - loss[:, window:]).ravel()
    moved = beyond(np.abs(D[:, window:] - D[:, :-window]).sum(-1))
    others = [np.roll(moved, k, axis=0).ravel() for k in range(len(D))]
    found = np.array([np.corrcoef(fall, other)[0, 1] for other in others])
    return float(found[0]), found[1:]


# ------------------------------------------------------------ the linear model, by hand


def mode_strengths(W, variances, time) -> np.ndarray:
    """How far a linear model with tied weights has learned each feature, as a function of time, from a small start.

    W: (..., m, n) small entries at the start. variances: (n,) of independent features, falling. time: (times,) of the
    gradient flow dW/dt = -∂L/∂W with all importances 1 and a bias that follows at once.
    Returns ‖W_i‖² for the first min(m, n) features, (..., times, min(m, n)): a = 1 / (1 + (1/a₀ - 1) exp(-8 V t)), a₀
    being the squared length of that part of W_i at the start that is orthogonal to the columns before it.
    Source: Saxe et al. 2014 (two layers, untied); the tied case and the orthogonal part are worked out here.
    """
    W, variances, time = (check.numbers(*a) for a in (("W", W), ("variances", variances), ("time", time)))
    if W.ndim < 2 or variances.shape != W.shape[-1:] or (np.diff(variances) > 0).any() or (variances <= 0).any():
        raise ValueError(
            f"variances must be (n,) for W (..., m, n), positive, falling; got {variances} for shape {W.shape}"
        )
    if time.ndim != 1 or np.abs(W).max() >= 0.5:
        raise ValueError(f"time must be (times,) and W small, below 0.5; got {time.shape} and {np.abs(W).max():g}")
    first = np.square(np.diagonal(np.linalg.qr(W)[1], axis1=-2, axis2=-1))
    rates = 8 * variances[: first.shape[-1]]
    return 1 / (1 + (1 / first[..., None, :] - 1) * np.exp(-rates * time[:, None]))
