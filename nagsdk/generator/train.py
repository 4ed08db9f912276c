"""Distillation: the policy learns the exact frontier by heart, by teacher forcing.

The paper trains by policy gradient. Where cost and score are additive the optimum of every budget is known
(`frontier`), so maximum likelihood on it gets nearer in seconds than policy gradient does in minutes.
Half of every batch follows the frontier of the whole space; the other half follows the frontier of a
resolution drawn at random, which makes the same policy good where the resolution is pinned or masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.events import Listener, ignore, stage
from nagsdk.generator.decode import Completions, decode, gumbel
from nagsdk.generator.frontier import Frontier, Score, frontiers, score_of
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.space.base import Codes, SearchSpace


@dataclass(frozen=True)
class Recipe:
    """How a policy is distilled.

    Attributes:
        steps: Optimiser steps.
        batch: Budgets per step.
        rate: Peak learning rate of Adam under a one-cycle schedule.
        hidden: Units of the LSTM.
        budgets: Learned budget embeddings.
    """

    steps: int = 600
    batch: int = 128
    rate: float = 2e-2
    hidden: int = 64
    budgets: int = 32

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


class Network(nn.Module):
    """The trainable twin of `Policy`: parameters of the same names and shapes."""

    def __init__(self, decisions: int, most: int, recipe: Recipe, generator: torch.Generator) -> None:
        super().__init__()
        h = recipe.hidden

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-0.1, 0.1, generator=generator))

        self.budget, self.token, self.place, self.left = (
            uniform(recipe.budgets, h),
            uniform(decisions, most, h),
            uniform(decisions, h),
            uniform(h),
        )
        self.input_weight, self.hidden_weight, self.bias = uniform(4 * h, h), uniform(4 * h, h), uniform(4 * h)
        self.head_weight, self.head_bias = uniform(decisions, most, h), uniform(decisions, most)

    def log_probabilities(self, codes: Tensor, left: Tensor, legal: Tensor) -> Tensor:
        """Log-probability of every decision of given architectures.

        Args:
            codes: Choices, int64, -1 where inactive, shape (n, D).
            left: `Completions.trace` of the codes, shape (n, D).
            legal: Choices that exist and are allowed at the architecture's resolution, shape (n, D, C).

        Returns:
            Shape (n, D); 0 where inactive.
        """
        n, decisions = codes.shape
        rows, active = torch.arange(n)[:, None], codes >= 0
        # Inactive decisions are skipped: active ones move to the front, keeping their order.
        order = torch.argsort((~active).to(torch.int8), dim=1, stable=True)
        taken = self.token[order, codes.clamp(min=0)[rows, order]]
        before = torch.cat([torch.zeros_like(taken[:, :1]), taken[:, :-1]], 1)
        condition = torch.cat([self._condition(left[:, 0])[:, None], self._condition(left[:, 1])[:, None].expand(-1, decisions - 1, -1)], 1)
        inputs = before + self.place[order] + condition + left[rows, order][..., None] * self.left
        state = inputs.new_zeros(1, n, self.left.shape[0])
        weights = [self.input_weight, self.hidden_weight, self.bias, torch.zeros_like(self.bias)]
        outputs, _, _ = torch.lstm(inputs, (state, state), weights, True, 1, 0.0, self.training, False, True)
        outputs = outputs[rows, torch.argsort(order, dim=1)]
        logits = torch.einsum("ndh,dch->ndc", outputs, self.head_weight) + self.head_bias
        chosen = torch.log_softmax(logits.masked_fill(~legal, -torch.inf), -1).gather(2, codes.clamp(min=0)[..., None])[..., 0]
        return torch.where(active, chosen, 0.0)

    def _condition(self, positions: Tensor) -> Tensor:
        scaled = positions * (len(self.budget) - 1)
        below = scaled.long().clamp(max=len(self.budget) - 2)
        weight = (scaled - below)[:, None]
        return self.budget[below] * (1 - weight) + self.budget[below + 1] * weight

    def policy(self) -> Policy:
        """The parameters as a `Policy`."""
        return Policy.from_arrays({name: p.detach().numpy().copy() for name, p in self.named_parameters()})


@dataclass(frozen=True)
class Regret:
    """How far the best of some samples stays behind `lookup` on the teacher's own score.

    Attributes:
        samples: Candidates per budget.
        budgets: Budgets, equidistant between the cheapest and the dearest frontier point.
        score_mean: Mean gap in score.
        score_max: Largest gap in score.
        top1_mean: Mean gap in points of top-1 under the score's link.
        top1_max: Largest gap in points of top-1.
    """

    samples: int
    budgets: int
    score_mean: float
    score_max: float
    top1_mean: float
    top1_max: float


def regret(
    space: SearchSpace, table: AdditiveTable, score: Score, best: Frontier, policy: Policy, samples: int, budgets: int = 101
) -> Regret:
    """Compares the best of `samples` draws of a policy with `lookup`; see `Regret`."""
    limits = np.linspace(best.cost[0], best.cost[-1], budgets)
    codes = decode(space, table, Stepper(policy), limits, gumbel(0, samples, space))
    found = score_of(score, codes.reshape(-1, codes.shape[2])).reshape(budgets, samples).max(1)
    known = best.score[best.lookup(limits)]
    gap, points = known - found, np.asarray(score.inverse(known)) - np.asarray(score.inverse(found))
    return Regret(samples, budgets, float(gap.mean()), float(gap.max()), float(points.mean()), float(points.max()))


def distil(
    space: SearchSpace, table: AdditiveTable, score: Score, recipe: Recipe | None = None, seed: int = 0, listener: Listener = ignore
) -> tuple[Policy, Regret]:
    """Trains a policy on the exact frontiers of one cost table.

    The same arguments give the same policy; torch runs on one thread meanwhile.

    Args:
        space: Any search space.
        table: The cost that budgets limit; what it masks is never learned.
        score: The score to maximise.
        recipe: Sizes and schedule.
        seed: Of the initial weights and of the budgets drawn.
        listener: Receives progress.

    Returns:
        The policy, and its regret at 16 samples.

    Raises:
        InfeasibleError: The table masks everything.
    """
    recipe = recipe or Recipe()
    parts = frontiers(space, table, score)
    best = Frontier.merged(parts)
    best.lookup(np.inf)  # refuses an empty frontier
    bounds = Completions.of(space, table)
    teacher = _Teacher(bounds, best, [part for part in parts if len(part)], np.random.default_rng(seed))
    allowed = torch.from_numpy(bounds.allowed)
    with _one_thread(), stage(listener, "Distilling the generator", recipe.steps) as advance:
        network = Network(len(space.decisions), allowed.shape[2], recipe, torch.Generator().manual_seed(seed))
        optimiser = torch.optim.Adam(network.parameters(), recipe.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps)
        for step in range(recipe.steps):
            codes, left, free = (torch.from_numpy(array) for array in teacher.batch(recipe.batch))
            each = network.log_probabilities(codes, left, allowed[codes[:, 0]])
            # Where the resolution was drawn and not chosen there is nothing to learn from it.
            loss = -(each[:, 1:].sum(1) + each[:, 0] * free).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step % 20 == 19:
                advance(step + 1, f"loss {loss.item():.2f}")
        policy = network.policy()
    return policy, regret(space, table, score, best, policy, 16)


class _Teacher:
    def __init__(self, bounds: Completions, best: Frontier, parts: Sequence[Frontier], rng: np.random.Generator) -> None:
        self.bounds, self.best, self.parts, self.rng = bounds, best, parts, rng

    def batch(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Codes, what was left of the budget at each decision, and whether the resolution was a choice."""
        whole = count // 2
        drawn = [self._draw(self.best, whole, self.bounds.least, self.bounds.most)]
        number = self.rng.integers(0, len(self.parts), count - whole)
        for n in np.unique(number):
            r = self.parts[n].codes[0, 0]
            drawn.append(self._draw(self.parts[n], int((number == n).sum()), self.bounds.floor[r], self.bounds.ceiling[r]))
        codes, limits = np.concatenate([d[0] for d in drawn]), np.concatenate([d[1] for d in drawn])
        free = np.arange(count) < whole
        left = self.bounds.trace(codes, limits)
        # Decoding with one resolution pinned sees no other: both positions are then the same.
        left[~free, 0] = left[~free, 1]
        return codes.astype(np.int64), left.astype(np.float32), free.astype(np.float32)

    def _draw(self, source: Frontier, count: int, low: float, high: float) -> tuple[Codes, Floats]:
        limits = np.maximum(self.rng.uniform(low, high, count), source.cost[0])
        return source.codes[source.lookup(limits)], limits


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
