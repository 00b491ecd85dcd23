"""benchmarks/: the contenders compute what toysup computes, and a quick run measures and records."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is no part of the installed package

from benchmarks import cases, clock, jax_loop, limit, problems, report
from benchmarks.__main__ import main
from toysup.loss import batch_loss
from toysup.model import get_readout

ROOT = Path(__file__).resolve().parent.parent
N, M, BATCH = 6, 3, 40


def model(seed: int = 0):
    """W (m, n), b (n,), x (n, batch) and importance (n,), none of them symmetric."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(N, BATCH)) * (rng.uniform(size=(N, BATCH)) < 0.5)
    arrays = rng.normal(size=(M, N)), 0.2 * rng.normal(size=N), x, 0.8 ** np.arange(N)
    return [a.astype(np.float32) for a in arrays]


def of_toysup(W, b, x, importance):
    """Loss and gradients (W, b) of one model on given inputs, by the package."""
    loss = lambda W, b: batch_loss(W, b, x, importance, get_readout("relu"))
    value, slopes = jax.value_and_grad(loss, argnums=(0, 1))(W, b)
    return [np.asarray(a) for a in (value, *slopes)]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- the contenders compute the same


@pytest.fixture
def pytorch():
    pytest.importorskip("torch")
    from benchmarks import pytorch

    return pytorch


def test_recipe_is_toysup_s_loss(pytorch):
    """Its mean over features is our sum over n; its instances are the transposes of ours."""
    import torch

    W, b, x, importance = model()
    problem = problems.Problem(N, M, np.array([0.5, 0.5]), importance, BATCH)
    recipe = pytorch.Recipe(problem)
    with torch.no_grad():
        recipe.W.copy_(torch.tensor(np.stack([W.T, 2 * W.T])))
        recipe.b.copy_(torch.tensor(np.stack([b, -b])))
    loss = N * recipe.loss(torch.tensor(np.stack([x.T, x.T], axis=1)))
    loss.backward()
    one, two = of_toysup(W, b, x, importance), of_toysup(2 * W, -b, x, importance)
    assert_equal([loss.item()], [one[0] + two[0]])
    assert_equal(recipe.W.grad.mT.numpy(), np.stack([one[1], two[1]]))
    assert_equal(recipe.b.grad.numpy(), np.stack([one[2], two[2]]))
    assert_equal(recipe.weights()[0], np.stack([W, 2 * W]))


def test_good_pytorch_is_toysup_s_loss(pytorch):
    import torch

    W, b, x, importance = model()
    stack = lambda a, other: torch.tensor(np.stack([a, other]), requires_grad=True)
    parameters = stack(W, 2 * W), stack(b, -b)
    loss = pytorch.batch_loss(*parameters, torch.tensor(np.stack([x, x])), torch.tensor(importance))
    loss.sum().backward()
    one, two = of_toysup(W, b, x, importance), of_toysup(2 * W, -b, x, importance)
    found = [loss.detach(), *(p.grad for p in parameters)]
    assert_equal([a.numpy() for a in found], [np.stack(pair) for pair in zip(one, two, strict=True)])


@pytest.mark.parametrize("products", ["bmm", "sums"])
def test_best_pytorch_is_toysup_s_loss(pytorch, products):
    import torch

    W, b, x, importance = model()
    stack = lambda a, other: torch.tensor(np.stack([a, other]))
    found = pytorch.loss_and_slope(stack(W, 2 * W), stack(b, -b), stack(x, x), torch.tensor(importance), products)
    one, two = of_toysup(W, b, x, importance), of_toysup(2 * W, -b, x, importance)
    assert_equal([a.numpy() for a in found], [np.stack(pair) for pair in zip(one, two, strict=True)])


@pytest.mark.parametrize(("products", "chunk"), [("bmm", 2), ("sums", 3)])
def test_best_pytorch_steps_as_adamw(pytorch, products, chunk):
    """Its AdamW by hand is torch.optim.AdamW on the recipe's loss and the same draws."""
    import torch

    problem = problems.Problem(N, M, np.array([0.9, 0.5, 0.2]), model()[3], BATCH)
    best = pytorch.Best(problem, products, chunk, compiled=False, seed=4)
    recipe = pytorch.Recipe(problem)
    join = lambda k: torch.cat([state[k] for state in best.states]).clone()
    with torch.no_grad():
        recipe.W.copy_(join(0).mT)
    draws = torch.Generator().manual_seed(5)
    drawn = []

    def same_draw():
        u = torch.rand((N, BATCH), generator=draws)
        density = recipe.density[:, :, None]
        drawn.append(torch.where(u < density, u / density, 0.0).permute(2, 0, 1))
        return drawn[-1]

    recipe.draw = same_draw
    best.run(5)
    recipe.run(5)
    W, b = recipe.weights()
    assert len(drawn) == 5
    assert np.abs(b).max() > 1e-3
    assert_equal(join(0).numpy(), W)
    assert_equal(join(1).numpy(), b)


def test_recipe_draws_the_densities(pytorch):
    density = np.array([1.0, 0.3, 0.05])
    x = pytorch.Recipe(problems.Problem(4, 2, density, np.ones(4), 4096)).draw().numpy()
    assert x.shape == (4096, 3, 4)
    np.testing.assert_allclose((x > 0).mean((0, 2)), density, atol=0.02)
    np.testing.assert_allclose(x.mean((0, 2)), density / 2, atol=0.02)


def test_loop_in_jax_is_toysup_s_loss():
    W, b, x, importance = model()
    value, slopes = jax.value_and_grad(jax_loop.loss)((W, b), x.T, importance)
    assert_equal([value, *slopes], of_toysup(W, b, x, importance))


def test_loop_in_jax_learns():
    problem = problems.Problem(4, 4, np.array([0.5, 0.5]), np.ones(4), 64)
    x = np.eye(4, dtype=np.float32)
    losses = [[jax_loop.loss(p, x, np.ones(4)) for p in jax_loop.run(problem, steps)] for steps in (0, 300)]
    assert np.all(np.array(losses[1]) < 0.7 * np.array(losses[0]))


def test_a_missing_compiler_is_a_note(pytorch, monkeypatch):
    import torch

    def broken(body):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    problem = problems.sampled(N, M, 4, BATCH)
    best, how, notes = pytorch.fastest(problem, [("bmm", 2), ("sums", 4)], True, 1, clock.seconds)
    assert isinstance(best, pytorch.Best)
    assert how.endswith("models at a time")
    assert notes == ["torch.compile did not work here (RuntimeError), so PyTorch ran uncompiled"]
    assert pytorch.good(problem, True)[1] == notes


# ---------------------------------------------------------------- measuring


def test_rates_are_what_the_clock_says(monkeypatch):
    """A contender that takes 2 s to start and 0.5 s for a step of its 10 models does 20 model-steps per second."""
    now = [0.0]

    def run(steps):
        now[0] += 2 + 0.5 * steps

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    rates = clock.rates([clock.Contender("it", run, 10, 3, 11), clock.Contender("other", run, 5, 1, 2)], 3)
    np.testing.assert_allclose(rates["it"], [20, 20, 20])
    np.testing.assert_allclose(rates["other"], [10, 10, 10])


def test_a_round_that_says_nothing_is_left_out():
    assert clock.median([np.nan, 3.0, 1.0, 2.0]) == 2
    assert np.isnan(clock.median([np.nan]))


def test_operations_are_those_of_the_products():
    """XLA's own count of the products alone: a readout without ReLU, bias or error around them."""
    problem = problems.sampled(100, 20, 1)
    W, x = np.ones((20, 100), np.float32), np.ones((100, problem.batch), np.float32)

    def products(W, x, slope):
        hidden = W @ x
        return W.T @ hidden, hidden @ slope.T, (W @ slope) @ x.T

    counted = jax.jit(products).lower(W, x, x).compile().cost_analysis()["flops"]
    assert limit.flops(problem) == pytest.approx(counted, rel=1e-6)


@pytest.mark.parametrize(
    ("got", "least", "met"), [(5.0, True, True), (4.0, True, False), (4.0, False, True), (None, True, None)]
)
def test_targets(got, least, met):
    assert report.Target("speed", 5.0, got, least).met is met
    assert report.Target("speed", 5.0, float("nan"), least).met is None


def test_a_busy_machine_is_told(monkeypatch):
    monkeypatch.setattr(report.runtime, "cores", lambda: 8)
    assert report.busy([2.5, 0.0, 0.0])
    assert not report.busy([1.5, 9.0, 9.0])
    assert not report.busy(None)


# ---------------------------------------------------------------- a whole run


def check_run(result, out, path):
    """Everything that was printed is in the file, and nothing in it is about this machine's name or folders."""
    assert json.loads(path.read_text(encoding="utf-8")) == result
    titles = [table["title"] for table in result["tables"]]
    assert all(f"== {title} ==" in out for title in titles)
    assert "say nothing about speed" in out
    numbers = [v for t in result["tables"] for r in t["rows"] for v in r.values() if isinstance(v, float)]
    assert len(numbers) > 10
    assert all(v >= 0 for v in numbers)
    assert str(Path.home()) not in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_quick_run_without_torch(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "benchmarks.pytorch", raising=False)
    monkeypatch.delattr("benchmarks.pytorch", raising=False)
    result = main(["--quick", "--output", str(tmp_path / "quick.json")])
    out = capsys.readouterr().out
    check_run(result, out, tmp_path / "quick.json")
    assert "Note: without PyTorch" in out
    assert cases.A not in out
    assert next(t for t in result["targets"] if t["what"].startswith("time to solution"))["met"] is None


def test_quick_run_with_torch(pytorch, capsys, tmp_path):
    result = main(["--quick", "--only", "sampled", "solution", "--output", str(tmp_path / "quick.json")])
    out = capsys.readouterr().out
    check_run(result, out, tmp_path / "quick.json")
    assert "without PyTorch" not in out
    assert cases.A in out
    assert cases.B in out
    assert cases.BEST in out


def test_second_process_compiles_nothing(monkeypatch):
    """The first process compiles; the second finds its programs on disk."""
    counts, first_calls = [], cases._first_calls

    def spy(*arguments):
        counts.append(first_calls(*arguments))
        return counts[-1]

    monkeypatch.setattr(cases, "_first_calls", spy)
    tables, targets, _ = cases.compilation(["n=2, m=1, exact"])
    first, second = (found["n=2, m=1, exact"][1] for found in counts)
    assert first >= 1
    assert second == 0
    assert [t.met for t in targets if "anew" in t.what] == [True]
    assert len(tables[0].rows) == 1


def test_make_bench_goes_on_without_pytorch(monkeypatch, capsys):
    """Where pip cannot fetch PyTorch, one sentence says so, and the benchmarks run all the same."""
    make, commands = load_make(), []

    def no_network(*arguments, **_):
        raise make.Stop("pip could not reach the package index.")

    def spy(command, **_):
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(make, "setup", lambda *_: None)
    monkeypatch.setattr(make, "has_torch", lambda: False)
    monkeypatch.setattr(make, "pip", no_network)
    monkeypatch.setattr(make.subprocess, "run", spy)
    assert make.main(["bench", "--quick"]) == 0
    assert "pip could not reach the package index. The benchmarks run without PyTorch." in capsys.readouterr().out
    assert make.main(["bench", "--no-torch"]) == 0
    assert "package index" not in capsys.readouterr().out
    assert commands == [["-m", "benchmarks", "--quick"], ["-m", "benchmarks", "--no-torch"]]


def load_make():
    spec = importlib.util.spec_from_file_location("tools_make", ROOT / "tools" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_says_what_it_can_do():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout
    assert "--only" in done.stdout
