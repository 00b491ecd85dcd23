"""The cases: what is measured, and what the numbers mean."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

import toysup
from benchmarks import clock, jax_loop, limit, ours, problems
from benchmarks.report import Table, Target

ROOT = Path(__file__).resolve().parent.parent
A, B, BEST = "(a) the paper's recipe", "(b) PyTorch: bmm, fused, compiled", "(b+) by hand, in chunks"
C, D, OURS = "(c) JAX, loop over models", "(d) arithmetic limit", "toysup"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How large everything is. sampled: n, m, models; (short, long) steps of (a), (b), (b+), (c), toysup."""

    rounds: int = 5
    batch: int = problems.BATCH
    sampled: tuple = (
        (5, 2, 1000, (2, 12), (2, 42), (5, 155), (20, 120), (20, 320)),
        (100, 20, 20, (5, 55), (5, 85), (5, 205), (20, 120), (20, 420)),
    )
    candidates: tuple = ((("sums", 10**6), ("sums", 250), ("bmm", 50)), (("bmm", 10**6), ("bmm", 10), ("bmm", 5)))
    compiled: bool = True
    looped: int = 10  # models of (c): its rate does not depend on how many there are
    recipe_models: int = 10
    recipe_steps: int = problems.STEPS
    starts: int = 1024
    ladder: tuple = ((5, 20), (10, 20), (10, 30), (20, 30), (30, 30), (50, 50))
    side: int = 100
    restarts: int = 8
    counts: tuple = (100, 1000, 10_000, 100_000)
    product: int = limit.SIZE


FULL = Settings()
QUICK = Settings(
    rounds=1,
    batch=64,
    sampled=(
        (5, 2, 12, (1, 3), (1, 3), (1, 3), (1, 3), (1, 201)),
        (20, 4, 4, (1, 3), (1, 3), (1, 3), (1, 3), (1, 201)),
    ),
    candidates=((("sums", 10**6), ("bmm", 5)), (("bmm", 2),)),
    compiled=False,
    looped=2,
    recipe_models=2,
    recipe_steps=10,
    starts=4,
    ladder=((10, 10),),
    side=3,
    restarts=2,
    counts=(4, 16),
    product=64,
)


def load_torch():
    """The module with both PyTorch contenders, or None where PyTorch is not installed."""
    try:
        from benchmarks import pytorch
    except ImportError:
        return None
    return pytorch


# ------------------------------------------------------------------------------------------ sampled training


def sampled(settings: Settings, torch) -> tuple[list[Table], list[Target], list[str]]:
    """Model-steps per second of training on drawn inputs."""
    tables, targets, notes = [], [], []
    for sizes, candidates in zip(settings.sampled, settings.candidates, strict=True):
        table, wanted, more = _sampled(settings, torch, sizes, candidates)
        tables, targets, notes = [*tables, table], [*targets, *wanted], [*notes, *more]
    return tables, targets, list(dict.fromkeys(notes))


def _sampled(settings, torch, sizes, candidates):
    n, m, models, *steps = sizes
    problem = problems.sampled(n, m, models, settings.batch)
    contenders, how, notes = _contenders(settings, torch, problem, steps, candidates)
    rates = clock.rates(contenders, settings.rounds)
    peaks = limit.sgemm_rates(settings.product, settings.rounds)
    rates[D] = np.max(list(peaks.values()), axis=0) / limit.flops(problem)
    rows = [(name + how.get(name, ""), clock.median(r), clock.median(rates[OURS] / r)) for name, r in rates.items()]
    done = clock.median(rates[OURS]) * limit.flops(problem)
    shares = {name: done / clock.median(rate) for name, rate in peaks.items()}
    sgemm = ", ".join(f"{name} {clock.median(rate) / 1e9:.0f}" for name, rate in peaks.items())
    title = f"Sampled training: n={n}, m={m}, {models} models, batch {settings.batch}"
    meaning = (
        "Model-steps per second: steps of training times models, in the steady state: the difference of a long and a "
        "short run, so that compilation, evaluation and set-up drop out. Medians over "
        f"{settings.rounds} rounds in which all take turns; the last column is the median of the rounds' ratios. "
        "(b) and (b+) draw as toysup does and keep samples last; (b+) has the gradient by hand, is compiled with AdamW "
        "as one body, and is the fastest of some ways to write it in a short trial. "
        f"(c) trains {min(settings.looped, models)} of the models. (d) counts the five matrix products of a step "
        f"({limit.flops(problem):,} operations for one model; not the draw, the ReLU, the optimiser) at the rate of "
        f"this machine's fastest square sgemm in the same run (GFLOP/s: {sgemm}). toysup's products run at "
        f"{done / 1e9:.0f} GFLOP/s; {1.2 * done / 1e9:.0f} where, as is usual, training is counted as three times the "
        "forward pass."
    )
    table = Table(title, {"": "", "model-steps/s": ",.0f", "toysup is faster by": ".2f"}, rows, meaning)
    return table, _sampled_targets(n, m, rates, shares), notes


def _contenders(settings, torch, problem, steps, candidates):
    recipe_steps, good_steps, best_steps, loop_steps, our_steps = steps
    few = dataclasses.replace(problem, density=problem.density[: settings.looped])
    found = [
        clock.Contender(C, functools.partial(jax_loop.run, few), few.models, *loop_steps),
        clock.Contender(OURS, functools.partial(ours.train_sampled, problem), problem.models, *our_steps),
    ]
    if torch is None:
        return found, {}, []
    recipe = torch.Recipe(problem)
    good, notes = torch.good(problem, settings.compiled)
    best, how, more = torch.fastest(problem, candidates, settings.compiled, best_steps[0], clock.seconds)
    theirs = [
        clock.Contender(A, recipe.run, problem.models, *recipe_steps),
        clock.Contender(B, good.run, problem.models, *good_steps),
        clock.Contender(BEST, best.run, problem.models, *best_steps),
    ]
    return theirs + found, {BEST: f": {how}"}, list(dict.fromkeys(notes + more))


def _sampled_targets(n, m, rates, shares):
    ratio = lambda name: clock.median(rates[OURS] / rates[name]) if name in rates else None
    few, case = n == 5, f"sampled, n={n}, m={m}"
    targets = [
        Target(f"{case}: times (a)", 25 if few else 8, ratio(A)),
        Target(f"{case}: times (b)", 5 if few else 3.5, ratio(B)),
        Target(f"{case}: times (b+)", 5 if few else 3.5, ratio(BEST)),
    ]
    return targets + [Target(f"{case}: share of sgemm by {k}", 0.7, v) for k, v in shares.items() if not few]


# ------------------------------------------------------------------------------------------ time to solution


def solution(settings: Settings, torch) -> tuple[list[Table], list[Target], list[str]]:
    """How long it takes to a model as good as the recipe's own."""
    if torch is None:
        return [], [Target("time to solution, n=5, m=2, p=0.05: times (a)", 1000, None)], []
    problem = problems.pentagon(settings.recipe_models, settings.batch)
    features = toysup.independent(0.05, 5)
    recipe, parts = torch.Recipe(problem), []
    recipe.run(1)
    train = lambda *steps: ours.train_exact(features, 2, 1.0, settings.starts, *steps)
    train()
    per_part = max(1, settings.recipe_steps // settings.rounds)
    defaults = []
    for _ in range(settings.rounds):
        parts.append(clock.seconds(lambda: recipe.run(per_part)))
        defaults.append(clock.seconds(train))
    theirs = np.asarray(toysup.expected_loss(*recipe.weights(), features))
    cost = sum(parts) / settings.recipe_models
    wide = _recipe_of_many(settings, torch)
    rows = [_theirs(f"{A}, {settings.recipe_models} models at once, all steps run", cost, theirs, cost)]
    rows += [(f"{A}, {settings.sampled[0][2]} models at once, extrapolated", wide * 1e3, None, None, None, cost / wide)]
    rows += [_ours("toysup, its defaults", settings, defaults, train(), theirs, cost)]
    short, taken = _shortest(settings, train, theirs)
    rows += [_ours(f"toysup, steps={short[0]}, polish={short[1]}", settings, taken, train(*short), theirs, cost)]
    columns = {"": "", "ms per start": ",.3f", "best loss": ".6f", "median loss": ".6f",
               "starts as good": ".0%", "faster than (a), per success": ",.0f"}  # fmt: skip
    meaning = (
        f"n=5, m=2, density 0.05, importance 1. The recipe's {settings.recipe_models} models take "
        f"{settings.recipe_steps:,} steps of {settings.batch} inputs; all losses are exact (toysup.expected_loss). "
        "'As good' means a loss at or below the median of the recipe's own. toysup trains "
        f"{settings.starts} random starts at once; its time per start holds training and the final evaluation. A "
        "restart that ends higher is not free: a success costs the time per start divided by the share of starts as "
        "good; the recipe is counted as if each of its models were one. Extrapolated: its steady rate with many "
        "models at once times the number of steps; 'steps' and 'polish' in the last row are the cheapest per success "
        "of a short list, compilation not counted anywhere."
    )
    got = min(cost, wide) * 1e3 / min(_per_success(row) for row in rows[2:])
    target = Target("time to solution, n=5, m=2, p=0.05: times (a)", 1000, got)
    return [Table("Time to solution", columns, rows, meaning)], [target], []


def _recipe_of_many(settings, torch) -> float:
    """Seconds for one model of many, from its steady rate."""
    _, _, models, (short, long), *_ = settings.sampled[0]
    recipe = torch.Recipe(problems.pentagon(models, settings.batch))
    rates = clock.rates([clock.Contender(A, recipe.run, models, short, long)], settings.rounds)
    return settings.recipe_steps / clock.median(rates[A])


def _shortest(settings, train, theirs):
    """The (steps, polish) of the ladder that is cheapest per success, and its times."""
    works = {rung: functools.partial(train, *rung) for rung in settings.ladder}
    taken = clock.take_turns(works, settings.rounds)
    good = {rung: np.mean(np.asarray(works[rung]().loss) <= np.median(theirs)) for rung in works}
    best = min(works, key=lambda rung: clock.median(taken[rung]) / max(good[rung], 1e-9))
    return best, taken[best]


def _theirs(name, cost, losses, against):
    return name, cost * 1e3, losses.min(), np.median(losses), None, against / cost


def _ours(name, settings, taken, fit, theirs, against):
    losses = np.asarray(fit.loss)
    good, cost = np.mean(losses <= np.median(theirs)), clock.median(taken) / settings.starts
    return name, cost * 1e3, losses.min(), np.median(losses), good, against / cost * good


def _per_success(row) -> float:
    return row[1] / max(row[4], 1e-9)


# ------------------------------------------------------------------------------------------ exact sweeps


def diagrams(settings: Settings) -> tuple[list[Table], list[Target], list[str]]:
    """Phase diagrams from the exact loss."""
    shapes = ((2, 1, 8.0), (3, 2, 20.0))
    works = {(n, m): functools.partial(_diagram, settings, n, m) for n, m, _ in shapes}
    taken = {shape: clock.median(t) for shape, t in clock.take_turns(works, max(1, settings.rounds // 2)).items()}
    cells = settings.side**2
    rows = [(f"n={n}, m={m}", t, t / (cells * settings.restarts) * 1e6) for (n, m), t in taken.items()]
    title = f"Phase diagrams: {settings.side} x {settings.side} cells x {settings.restarts} restarts, exact loss"
    columns = {"": "", "seconds": ".2f", "microseconds per start": ".1f"}
    meaning = (
        "One call of toysup.train with its defaults, evaluation included, compiled before. Density runs from 1 to "
        "0.01, the importance of the last feature from 0.1 to 10."
    )
    targets = [Target(f"phase diagram n={n}, m={m}: seconds", most, taken[n, m], False) for n, m, most in shapes]
    return [Table(title, columns, rows, meaning)], targets, []


def _diagram(settings, n, m):
    features, importance = problems.diagram(n, settings.side)
    return ours.train_exact(features, m, importance, settings.restarts)


def many(settings: Settings) -> tuple[list[Table], list[Target], list[str]]:
    """What one model costs when there are more of them."""
    works = {}
    for count in settings.counts:
        features, importance = problems.cells(count)
        works[count] = functools.partial(ours.train_exact, features, 1, importance, 1)
    taken = clock.take_turns(works, max(3, settings.rounds))
    each = {count: clock.median(t) / count for count, t in taken.items()}
    rows = [(f"{count:,} models", each[count] * count, each[count] * 1e6) for count in settings.counts]
    columns = {"": "", "seconds": ".3f", "microseconds per model": ".1f"}
    meaning = "n=2, m=1, exact, one start for each model, defaults, evaluation included, compiled before."
    spread = max(each.values()) / min(each.values()) - 1
    target = Target(f"cost per model, {settings.counts[0]} to {settings.counts[-1]:,}: spread", 0.25, spread, False)
    return [Table("Cost per model", columns, rows, meaning)], [target], []


# ------------------------------------------------------------------------------------------ compilation


def compilation(names=()) -> tuple[list[Table], list[Target], list[str]]:
    """What the first call costs beyond the second: in a new process, and in another one after that."""
    with tempfile.TemporaryDirectory(prefix="toysup-bench-") as folder:
        first, second = (_first_calls(folder, names) for _ in range(2))
    rows = [(name, first[name][0], second[name][0], second[name][1]) for name in first]
    columns = {"": "", "first process, s": ".2f", "second process, s": ".2f", "compiled anew": "d"}
    meaning = (
        "Seconds by which the first call of toysup.train in a process is longer than the second: tracing, compiling "
        "and building the tables. The second process finds the compiled programs in the cache on disk; the last "
        "column counts the programs that it had to compile all the same."
    )
    targets = [
        Target("first call, slowest: seconds", 2.0, max(row[1] for row in rows), False),
        Target("second process: programs compiled anew", 0, max(row[3] for row in rows), False),
    ]
    return [Table("Compilation", columns, rows, meaning)], targets, []


def _first_calls(folder: str, names) -> dict:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | {
        "JAX_PLATFORMS": jax.default_backend(),
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "benchmarks.first_call", *names]
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: (float(taken), int(missed)) for name, taken, missed in lines}
