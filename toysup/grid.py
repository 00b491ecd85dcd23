"""What a sweep is made of: the values of its dimensions, checked, and the cut of its models into chunks.

Models lie in a fixed order: first by program (n, m, readout: what has to be compiled), then by seed, then by
everything that is traced. A chunk is a run of models of one program, about two seconds of work. The cut depends on
the settings alone, so that a chunk means the same on every machine and in every session.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import operator
import os
import platform

import jax
import jaxlib
import numpy as np
import optax

from toysup import check
from toysup import loss as losses
from toysup.features import Features
from toysup.model import get_readout
from toysup.train import polishing, schedule

TRACED = ("density", "relative_density", "relative_importance", "importance_decay")
WHOLE = ("n", "m", "seed")
DEFAULTS = {"readout": "relu", "seed": 0, **dict.fromkeys(TRACED[1:], 1.0)}
DIMENSIONS = ("n", "m", *DEFAULTS, "density")
MOST_SEED = 2**31 - 1  # what netCDF's classic format can hold
SECONDS = 2.0  # of work in a chunk, on two cores
LEAST_MODELS = 16  # in a chunk, so that all cores have work
MOST_MODELS = 2**16  # in a chunk
MOST_BYTES = 2**26  # of results and of work in a chunk


@dataclasses.dataclass(frozen=True)
class Program:
    """Models that one compiled program trains, and how they are cut.

    size: of the traced models in a chunk. seeds: in a chunk; more than 1 only where a chunk holds all traced models.
    how: "lines", "moments", "samples" or "active". first: the number of the first chunk.
    """

    n: int
    m: int
    readout: str
    how: str
    size: int
    seeds: int
    first: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep that has been checked and cut into chunks.

    values: for each of DIMENSIONS an array (size,). dimensions: the names that were sequences, in the order given.
    settings: keyword arguments of `toysup.train`. shapes: for each result what follows the axis of models.
    """

    values: dict[str, np.ndarray]
    dimensions: tuple[str, ...]
    programs: tuple[Program, ...]
    settings: dict
    feature: int
    keep: str
    shapes: dict[str, tuple[int, ...]]

    @property
    def traced(self) -> tuple[str, ...]:
        """The traced dimensions, in the order given."""
        return tuple(sorted(TRACED, key=lambda name: (name not in self.dimensions, list(self.values).index(name))))

    @property
    def order(self) -> tuple[str, ...]:
        """All dimensions in the order in which models are numbered."""
        return ("n", "m", "readout", "seed", *self.traced)

    def size(self, *names: str) -> int:
        """The number of combinations of the values of these dimensions."""
        return math.prod(len(self.values[name]) for name in names)

    @property
    def models(self) -> int:
        """The number of models."""
        return self.size(*self.order)

    @property
    def chunks(self) -> int:
        """The number of chunks."""
        last = self.programs[-1]
        return last.first + self._chunks_of(last)

    def _chunks_of(self, program: Program) -> int:
        return math.ceil(self.size("seed") / program.seeds) * math.ceil(self.size(*self.traced) / program.size)

    def dtype(self, name: str) -> np.dtype:
        """The type of a result."""
        return np.dtype(np.int32 if name in ("reached", "represented") else check.dtype())

    def place(self, models: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For numbers of models the chunk of each and its row there."""
        traced, seeds = self.size(*self.traced), self.size("seed")
        program, rest = np.divmod(models, traced * seeds)
        seed, t = np.divmod(rest, traced)
        first, size, together = (
            np.array([getattr(p, name) for p in self.programs])[program] for name in ("first", "size", "seeds")
        )
        pieces = -(-traced // size)
        return first + seed // together * pieces + t // size, seed % together * np.minimum(size, traced) + t % size

    def span(self, chunk: int) -> tuple[Program, range, range]:
        """The program of a chunk, its seeds and its traced models (ranges of places)."""
        program = next(p for p in reversed(self.programs) if p.first <= chunk)
        traced, seeds = self.size(*self.traced), self.size("seed")
        block, piece = divmod(chunk - program.first, math.ceil(traced / program.size))
        here = range(block * program.seeds, min((block + 1) * program.seeds, seeds))
        return program, here, range(piece * program.size, min((piece + 1) * program.size, traced))

    def start(self, chunk: int) -> int:
        """The number of the first model of a chunk; the models of a chunk follow each other."""
        program, seeds, models = self.span(chunk)
        traced = self.size(*self.traced)
        return (self.programs.index(program) * self.size("seed") + seeds.start) * traced + models.start


def make_plan(grid: dict, settings: dict, keep: str, feature: int, chunk: int | None) -> Plan:
    """Check everything that a sweep is given, and cut it into chunks. Nothing is compiled.

    grid: values or sequences by the name of the dimension. settings: keyword arguments of `toysup.train`.
    keep, feature, chunk: as for `toysup.sweep`.
    Errors: ValueError, TypeError or MemoryError that name the argument.
    """
    _check_names(grid)
    values = {name: _values(name, given) for name, given in ({**grid, **_left_out(grid)}).items()}
    dimensions = tuple(name for name in grid if np.ndim(grid[name]))
    settings, keep = _settings(settings), check.choice("keep", keep, ("best", "all"))
    feature = _feature(feature, values["n"])
    _check_products(values, feature)
    chunk = None if chunk is None else check.count("chunk", chunk)
    restarts = (settings["restarts"],) if keep == "all" else ()
    shapes = _shapes(int(values["n"].max()), int(values["m"].max()), restarts)
    return Plan(values, dimensions, _programs(values, settings, chunk), settings, feature, keep, shapes)


def _check_names(grid: dict) -> None:
    for name in grid:
        if name not in DIMENSIONS:
            near = difflib.get_close_matches(name, DIMENSIONS, 1)
            hint = f"did you mean {near[0]!r}? There are" if near else "there are"
            raise TypeError(f"sweep knows no {name!r}; {hint} {', '.join(DIMENSIONS)}")
    for name in ("density", "n", "m"):
        if name not in grid:
            raise TypeError(f"{name} is missing: a sweep needs density, n and m, each a value or a sequence")


def _left_out(grid: dict) -> dict:
    return {name: value for name, value in DEFAULTS.items() if name not in grid}


def _values(name: str, given) -> np.ndarray:
    """The values of one dimension, (size,), checked one by one."""
    try:
        shape = np.shape(given)
    except ValueError:
        raise ValueError(f"{name} must be a value or a flat sequence, got {given!r:.60}") from None
    if len(shape) > 1:
        raise ValueError(f"{name} must be a value or a flat sequence, got an array of shape {shape}")
    if shape == (0,):
        raise ValueError(f"{name} is empty: at least one value is needed")
    each = [given] if shape == () else list(given)
    if name == "readout":
        found = np.array([get_readout(value) and value for value in each])
    elif name in WHOLE:
        found = np.array([_whole(name, value) for value in each])
    else:
        found = _floats(name, given)
    if len(np.unique(found)) < len(found):
        again = next(v for i, v in enumerate(found.tolist()) if v in found[:i])
        raise ValueError(f"{name} holds {again!r} more than once: labels must differ")
    return found


def _whole(name: str, value) -> int:
    value = check.count(name, value, least=0 if name == "seed" else 1)
    if name == "seed" and value > MOST_SEED:
        raise ValueError(f"seed must be at most {MOST_SEED}, got {value}")
    return value


RANGES = {  # what is allowed, in words, and whether a value is
    "density": ("lie in (0, 1]", lambda x: (x > 0) & (x <= 1)),
    "relative_density": ("be above 0", lambda x: x > 0),
    "relative_importance": ("not be negative", lambda x: x >= 0),
    "importance_decay": ("be above 0", lambda x: x > 0),
}


def _floats(name: str, given) -> np.ndarray:
    x = np.atleast_1d(check.numbers(name, given))
    words, good = RANGES[name]
    if not good(x).all():
        where = int(np.argmin(good(x)))
        place = f" (entry {where})" if np.ndim(given) else ""
        raise ValueError(f"{name} must {words}, got {x[where]:g}{place}")
    return x


def _feature(feature, n: np.ndarray) -> int:
    try:
        place = operator.index(feature)
    except TypeError:
        raise TypeError(f"feature must be the number of a feature, got {feature!r:.60}") from None
    least = int(n.min())
    if isinstance(feature, bool) or not -least <= place < least:
        raise ValueError(f"feature must lie between {-least} and {least - 1} (the smallest n is {least}), got {place}")
    return place


def _check_products(values, feature: int) -> None:
    """Refuse combinations that are out of range although each value is in it."""
    density, relative = values["density"], values["relative_density"]
    high, low = density.max() * relative.max(), density.min() * min(relative.min(), 1.0)
    if high > 1 + 1e-9:
        raise ValueError(
            f"relative_density * density must be at most 1, it is {high:g} for relative_density={relative.max():g} "
            f"and density={density.max():g}"
        )
    if low < check.LEAST_DENSITY:
        raise ValueError(f"density, and relative_density * density, must be at least {check.LEAST_DENSITY:g}: {low:g}")
    ends = [[values[name].min(), values[name].max()] for name in ("importance_decay", "relative_importance")]
    decay, relative = np.array(list(itertools.product(*ends))).T
    for n in values["n"].tolist():
        for importance in importances(n, feature, decay, relative):
            check.importance(importance, n)


def densities(n: int, feature: int, density, relative) -> np.ndarray:
    """The density of each feature of each model, (models, n)."""
    each = np.repeat(density[:, None], n, 1)
    each[:, feature] *= relative
    return np.minimum(each, 1.0)  # a product of 1 that rounding has made larger


def importances(n: int, feature: int, decay, relative) -> np.ndarray:
    """The importance of each feature of each model, (models, n)."""
    with np.errstate(under="ignore", over="ignore"):
        each = decay[:, None] ** np.arange(n)
    each[:, feature] *= relative
    return each


def _settings(given: dict) -> dict:
    """The settings of `train`, checked here so that a sweep does not stop at its last program."""
    some = lambda name, **k: None if given[name] is None else check.count(name, given[name], **k)
    rate = given["learning_rate"]
    return {
        "restarts": check.count("restarts", given["restarts"]),
        "objective": check.choice("objective", given["objective"], losses.OBJECTIVES),
        "steps": some("steps"),
        "learning_rate": None if rate is None else float(check.positive("learning_rate", rate, most=10.0)),
        "polish": some("polish", least=0),
        "batch": check.count("batch", given["batch"]),
    }


def _programs(values, settings: dict, chunk: int | None) -> tuple[Program, ...]:
    traced, seeds = math.prod(len(values[name]) for name in TRACED), len(values["seed"])
    programs, first = [], 0
    for n, m, readout in itertools.product(*(values[name].tolist() for name in ("n", "m", "readout"))):
        features = Features((((1,), (0,)),), (np.zeros((n, 2)),))  # as `independent` makes them, without numbers
        how = losses.objective_of(features, readout, settings["objective"])
        polishing(how, n * (m + 1), settings["polish"])
        most = chunk or _models_in_a_chunk(features, m, how, settings)
        size = math.ceil(traced / math.ceil(traced / most))
        together = max(1, min(most // traced, seeds))
        check.memory(n, m, settings["restarts"], settings["batch"] if how in losses.DRAWN else 0, (size,))
        programs.append(Program(n, m, readout, how, size, together, first))
        first += math.ceil(traced / size) * math.ceil(seeds / together)
    return tuple(programs)


def _models_in_a_chunk(features, m: int, how: str, settings: dict) -> int:
    """About SECONDS of work, and at most MOST_BYTES."""
    n, restarts = features.n, settings["restarts"]
    polish = polishing(how, n * (m + 1), settings["polish"])
    steps = schedule(how, polish)[0] if settings["steps"] is None else settings["steps"]
    if how == "lines":
        seconds = 1e-8 * (steps + polish) * n * losses.number_of_lines(features, losses.COARSE)
    else:  # per step, input and feature; the linear readout sees two moments, worth about n inputs
        seconds = 2e-9 * steps * n * (settings["batch"] if how in losses.DRAWN else n) * (1 + m / 20)
    bytes_each = restarts * 4 * (8 * n * (m + 1) + 8 * n)
    models = max(LEAST_MODELS, min(MOST_MODELS, SECONDS / (seconds * restarts)))
    return max(1, int(min(models, MOST_BYTES / bytes_each)))


def _shapes(n: int, m: int, restarts: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """What follows the axis of models in each result."""
    each = {"W": (m, n), "b": (n,), "loss": (), "loss_error": (), "norm": (n,), "feature_dimensionality": (n,)}
    shapes = {name: (*restarts, *tail) for name, tail in each.items()}
    return shapes | {"represented": restarts, "reached": ()}


def settings_of(plan: Plan) -> dict:
    """The settings of a sweep besides its grid, of types that netCDF and JSON can hold; None is filled in."""
    given, programs = plan.settings, plan.programs
    polish = [polishing(p.how, p.n * (p.m + 1), given["polish"]) for p in programs]
    usual = [schedule(p.how, k) for p, k in zip(programs, polish, strict=True)]
    default = lambda name, place: _together(u[place] if given[name] is None else given[name] for u in usual)
    return {
        "restarts": given["restarts"],
        "keep": plan.keep,
        "feature": plan.feature,
        "objective": given["objective"],
        "trained": _together(losses.DRAWN.get(p.how, "exact") for p in programs),
        "steps": default("steps", 0),
        "learning_rate": default("learning_rate", 1),
        "polish": _together(polish),
        "batch": given["batch"],
    }


def attributes(plan: Plan, executor=None) -> dict:
    """The attributes of a Dataset: settings, versions, and what the models were trained on."""
    devices = jax.local_devices()
    here = f"{len(devices)} x {devices[0].device_kind}"
    bare = ("precision", "random_numbers", "XLA_FLAGS")
    found = {name if name in bare else f"{name}_version": text for name, text in versions().items()}
    found |= {"numpy_version": np.__version__, "python_version": platform.python_version()}
    return settings_of(plan) | found | {"devices": here if executor is None else f"those of {type(executor).__name__}"}


def _together(values):
    """One value where all programs have the same; otherwise all of them as text."""
    values = list(dict.fromkeys(values))
    return values[0] if len(values) == 1 else ", ".join(map(str, values))


def versions() -> dict[str, str]:
    """What the numbers of a chunk depend on besides its settings."""
    from toysup import __version__

    packages = {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "optax": optax.__version__}
    how = {"precision": str(check.dtype()), "random_numbers": _random_numbers(), "XLA_FLAGS": _flags()}
    return {"toysup": __version__, **packages, **how}


def _random_numbers() -> str:
    """What `jax.random.key(seed)` gives the models; the setting of threefry changes the numbers of one key."""
    split = "" if jax.config.jax_threefry_partitionable else ", not partitionable"
    return f"{jax.config.jax_default_prng_impl}{split}"


def _flags() -> str:
    """The flags of XLA that may change a last digit, in a fixed order; how many devices there are changes none."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    silent = ("--xla_force_host_platform_device_count", "--xla_dump_")
    return " ".join(sorted(flag for flag in flags if not flag.startswith(silent))) or "none"
