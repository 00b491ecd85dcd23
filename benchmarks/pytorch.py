"""PyTorch, three times: the founding paper's recipe, good PyTorch, and the fastest that we can write.

The recipe is written anew from its description. All compute the same loss; a test compares them with toysup.
"""

from __future__ import annotations

import logging

import torch

from benchmarks.problems import Problem

ADAM = {"rate": 1e-3, "decay": 0.01, "mean": 0.9, "square": 0.999, "floor": 1e-8}  # PyTorch's own defaults of AdamW


class Recipe:
    """The published recipe: models are instances of one tensor, `(batch, instance, feature)`, joined by einsum.

    Xavier's normal start on the whole tensor, ReLU output, two draws per input (is it active, how large), AdamW with
    a constant rate of 1e-3 and PyTorch's default weight decay of 0.01.
    """

    def __init__(self, problem: Problem, seed: int = 0):
        torch.manual_seed(seed)
        self.batch, shape = problem.batch, (problem.models, problem.n, problem.m)
        self.density = torch.tensor(problem.density, dtype=torch.float32)[:, None]
        self.importance = torch.tensor(problem.importance, dtype=torch.float32)
        self.W = torch.nn.Parameter(torch.nn.init.xavier_normal_(torch.empty(shape)))
        self.b = torch.nn.Parameter(torch.zeros(shape[:2]))
        self.optimiser = torch.optim.AdamW([self.W, self.b], lr=ADAM["rate"])

    def draw(self):
        """Inputs (batch, instance, feature)."""
        shape = (self.batch, *self.W.shape[:2])
        return torch.where(torch.rand(shape) <= self.density, torch.rand(shape), torch.zeros(()))

    def loss(self, x):
        """The mean over the batch and the features, summed over the instances."""
        hidden = torch.einsum("bki,kim->bkm", x, self.W)
        out = torch.relu(torch.einsum("bkm,kim->bki", hidden, self.W) + self.b)
        return (self.importance * (x - out) ** 2).mean(dim=(0, 2)).sum()

    def run(self, steps: int) -> None:
        """Train on, `steps` steps."""
        for _ in range(steps):
            self.optimiser.zero_grad(set_to_none=True)
            self.loss(self.draw()).backward()
            self.optimiser.step()

    def weights(self):
        """W (instance, m, n) and b (instance, n) in toysup's layout."""
        return self.W.detach().mT.contiguous().numpy(), self.b.detach().numpy()


def batch_loss(W, b, x, importance):
    """The mean loss over the batch, a sum over features: W (models, m, n), b (models, n), x (models, n, batch)."""
    out = torch.relu(torch.baddbmm(b[:, :, None], W.mT, torch.bmm(W, x)))
    return (importance[:, None] * (x - out) ** 2).sum((1, 2)) / x.shape[-1]


class Good:
    """Samples last and bmm, one uniform draw for mask and value and for all models, fused AdamW, a compiled loss."""

    def __init__(self, problem: Problem, compiled: bool, seed: int = 0):
        torch.manual_seed(seed)
        self.draw_shape = (problem.n, problem.batch)
        self.density = torch.tensor(problem.density, dtype=torch.float32)[:, None, None]
        self.importance = torch.tensor(problem.importance, dtype=torch.float32)
        self.W = torch.nn.Parameter(_start(problem, seed))
        self.b = torch.nn.Parameter(torch.zeros((problem.models, problem.n)))
        self.optimiser = torch.optim.AdamW([self.W, self.b], lr=ADAM["rate"], fused=True)
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def _loss(self, W, b, u):
        x = torch.where(u < self.density, u / self.density, 0.0)
        return batch_loss(W, b, x, self.importance / self.importance.shape[0]).sum()

    def run(self, steps: int) -> None:
        """Train on, `steps` steps."""
        for _ in range(steps):
            self.optimiser.zero_grad(set_to_none=True)
            self.loss(self.W, self.b, torch.rand(self.draw_shape)).backward()
            self.optimiser.step()


def _start(problem: Problem, seed: int):
    """Xavier's normal start for each model by itself, (models, m, n)."""
    spread = (2 / (problem.n + problem.m)) ** 0.5
    shape = (problem.models, problem.m, problem.n)
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loss_and_slope(W, b, x, importance, products: str):
    """The mean loss over the batch, a sum over features, and its gradient, by hand: half of what autograd redoes.

    W: (models, m, n). b: (models, n). x: (models, n, batch), samples last. products: "bmm" multiplies matrices;
    "sums" writes the same products as sums that the compiler fuses with everything else, which wins where n and m
    are tiny. Returns loss (models,), and the gradients of W and b.
    """
    into, back, outer = (_bmm, _bmm_back, _bmm_outer) if products == "bmm" else (_sum, _sum_back, _sum_outer)
    hidden = into(W, x)
    z = back(W, hidden) + b[:, :, None]
    rest = torch.relu(z) - x
    weight = importance[None, :, None] / x.shape[-1]
    slope = torch.where(z > 0, rest, 0.0) * (2 * weight)
    gradient = outer(hidden, slope) + outer(into(W, slope), x)
    return (weight * rest * rest).sum((1, 2)), gradient, slope.sum(2)


def _bmm(W, x):
    return torch.bmm(W, x)


def _bmm_back(W, hidden):
    return torch.bmm(W.mT, hidden)


def _bmm_outer(hidden, x):
    return torch.bmm(hidden, x.mT)


def _sum(W, x):
    return (W[:, :, :, None] * x[:, None]).sum(2)


def _sum_back(W, hidden):
    return (W[:, :, :, None] * hidden[:, :, None]).sum(1)


def _sum_outer(hidden, x):
    return (hidden[:, :, None] * x[:, None]).sum(3)


class Best:
    """As Good, with what toysup does too: the gradient by hand, in one compiled body with AdamW, models in chunks.

    chunk: models that are trained together before the next ones start, so that their data stay in cache.
    """

    def __init__(self, problem: Problem, products: str, chunk: int, compiled: bool, seed: int = 0):
        self.draw_shape, self.seed = (problem.n, problem.batch), seed
        self.importance = torch.tensor(problem.importance, dtype=torch.float32)
        density = torch.tensor(problem.density, dtype=torch.float32)
        parts = zip(_start(problem, seed).split(chunk), density.split(chunk), strict=True)
        self.states = [_state(w, d) for w, d in parts]
        body = lambda *arguments: _step(*arguments, self.importance, products)
        self.step = torch.compile(body) if compiled else body

    @torch.no_grad()
    def run(self, steps: int) -> None:
        """Train on, `steps` steps, the same draws for every chunk."""
        self.seed += 1
        for state in self.states:
            generator = torch.Generator().manual_seed(self.seed)
            for _ in range(steps):
                self.step(*state, torch.rand(self.draw_shape, generator=generator))


def _state(W, density):
    W = W.clone()
    b = torch.zeros((W.shape[0], W.shape[2]))
    return (W, b, *(torch.zeros_like(a) for a in (W, W, b, b)), torch.zeros(()), density[:, None, None])


def _step(W, b, mean_W, square_W, mean_b, square_b, count, density, u, importance, products):
    """One step of AdamW, in place."""
    x = torch.where(u < density, u / density, 0.0)
    _, slope_W, slope_b = loss_and_slope(W, b, x, importance / importance.shape[0], products)
    count += 1
    whole_mean, whole_square = 1 - ADAM["mean"] ** count, 1 - ADAM["square"] ** count
    for p, slope, mean, square in ((W, slope_W, mean_W, square_W), (b, slope_b, mean_b, square_b)):
        mean.lerp_(slope, 1 - ADAM["mean"])
        square.lerp_(slope * slope, 1 - ADAM["square"])
        p.mul_(1 - ADAM["rate"] * ADAM["decay"])
        p.sub_(ADAM["rate"] * (mean / whole_mean) / ((square / whole_square).sqrt() + ADAM["floor"]))


def good(problem: Problem, compiled: bool):
    """A Good that has run once, and notes."""
    return _ready(lambda works: Good(problem, works), compiled)


def fastest(problem: Problem, candidates, compiled: bool, steps: int, clock):
    """The fastest of (products, chunk) candidates in a short trial: (Best, how it is written, notes)."""
    tried, notes = [], []
    for products, chunk in candidates:
        chunk = min(chunk, problem.models)
        best, more = _ready(lambda works, p=products, c=chunk: Best(problem, p, c, works), compiled)
        notes += more
        tried.append((min(clock(lambda best=best: best.run(steps)) for _ in range(3)), best, products, chunk))
    _, best, products, chunk = min(tried, key=lambda one: one[0])
    return best, f"{products}, {chunk} models at a time", list(dict.fromkeys(notes))


def _ready(make, compiled: bool):
    """make(compiled), once it has run; not compiled, with a note, where torch.compile does not work on this machine."""
    if compiled:
        logging.getLogger("torch").setLevel(logging.ERROR)
        try:
            made = make(True)
            made.run(2)
            return made, []
        except Exception as error:  # torch raises many kinds here: no compiler, no headers, an unknown system
            torch.compiler.reset()
            notes = [f"torch.compile did not work here ({type(error).__name__}), so PyTorch ran uncompiled"]
            return _ready(make, False)[0], notes
    made = make(False)
    made.run(2)
    return made, []
