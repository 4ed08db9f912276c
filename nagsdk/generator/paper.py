"""The complete method of the paper: one policy for one device, trained by policy gradient alone.

Guo et al., "Pareto-aware Neural Architecture Generation for Diverse Computational Budgets" (2022): an LSTM is
conditioned on the budget by K learned embeddings, with linear interpolation between them. An evaluator
R(architecture | budget) is trained by pairwise logistic ranking under the Pareto dominance rule: of two architectures
within the budget the more accurate one wins, otherwise the cheaper one; with several limits the largest cost / limit
counts. The policy maximises R plus an entropy term over budgets drawn from the whole range. The rewards of MnasNet
(Tan et al., 2019) and TuNAS (Bender et al., 2020) can replace R. There is no mask, so sampled architectures may break
their budget.

The evaluator ranks by labels that come from the accuracy predictor and the cost tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.torch_scope import seeded, threads
from nagsdk.predictor.protocol import Predictor
from nagsdk.space.space import Codes, SearchSpace

REWARDS = ("dominance", "mnasnet", "tunas")
# Weights of the rewards of MnasNet and TuNAS, as published.
_EXPONENT, _ABSOLUTE = -0.07, -0.07
_PAIRS = 128
_MOST_SHARE = 10.0


@dataclass(frozen=True)
class PaperRecipe:
    """How the paper's generator is trained.

    Attributes:
        iterations: Number of iterations of policy gradient.
        budgets: Number of budgets drawn in every iteration.
        samples: Number of architectures sampled for each budget; their mean reward is the baseline.
        embeddings: Number K of budget embeddings, equidistant over the range.
        hidden: Units of the LSTM and of the evaluator.
        rate: Learning rate of both.
        entropy: Weight of the entropy of a decision.
        warm_up: Number of evaluator steps before the training of the policy starts.
        pool: Number of random architectures that the evaluator starts with; sampled architectures are added to them.
        reward: ``dominance``, ``mnasnet`` or ``tunas``.
    """

    iterations: int = 10_000
    budgets: int = 4
    samples: int = 8
    embeddings: int = 10
    hidden: int = 64
    rate: float = 1e-3
    entropy: float = 3e-3
    warm_up: int = 1000
    pool: int = 5000
    reward: str = "dominance"


class Embeddings(nn.Module):
    """K learned embeddings of budgets at positions 0 to 1, with linear interpolation between them."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.1 * torch.randn(count, width))

    def forward(self, positions: Tensor) -> Tensor:
        """Embeds positions, shape (n,), into vectors, shape (n, width)."""
        scaled = positions.clamp(0, 1) * (len(self.table) - 1)
        below = scaled.long().clamp(max=len(self.table) - 2)
        weight = (scaled - below)[:, None]
        return self.table[below] * (1 - weight) + self.table[below + 1] * weight


class PaperPolicy(nn.Module):
    """The LSTM, which takes the decisions of a space one by one."""

    def __init__(self, space: SearchSpace, recipe: PaperRecipe) -> None:
        super().__init__()
        self.decisions, h = space.decisions, recipe.hidden
        self.budget = Embeddings(recipe.embeddings, h)
        self.token = nn.Parameter(0.1 * torch.randn(len(space.sizes), int(space.sizes.max()) + 1, h))
        self.cell = nn.LSTMCell(h, h)
        self.heads = nn.ModuleList(nn.Linear(h, int(size)) for size in space.sizes)

    def forward(self, positions: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Samples one architecture for every budget; takes the most likely choices if `generator` is None.

        Returns:
            Codes, int64, shape (n, D); their log-probability and the summed entropy of the decisions, shape (n,) each.
        """
        n, condition = len(positions), self.budget(positions)
        state = (condition.new_zeros(n, condition.shape[1]), condition)
        inputs, codes = condition, list[Tensor]()
        logs, entropy = condition.new_zeros(n), condition.new_zeros(n)
        for d, decision in enumerate(self.decisions):
            active = torch.ones(n, dtype=torch.bool)
            if decision.active_if is not None:
                active = codes[decision.active_if[0]] >= decision.active_if[1]
            state = self.cell(inputs, state)
            options = torch.log_softmax(self.heads[d](state[0]), -1)
            picked = (
                options.argmax(1)
                if generator is None
                else torch.multinomial(options.exp(), 1, generator=generator)[:, 0]
            )
            codes.append(torch.where(active, picked, -1))
            logs = logs + active * options.gather(1, picked[:, None])[:, 0]
            entropy = entropy - active * (options.exp() * options).sum(1)
            # Inactive decisions have the code -1, so they are read as a separate, last choice.
            inputs = condition + self.token[d][codes[d]]
        return torch.stack(codes, 1), logs, entropy


class Evaluator(nn.Module):
    """The evaluator R(architecture | budget)."""

    def __init__(self, width: int, recipe: PaperRecipe) -> None:
        super().__init__()
        h = recipe.hidden
        self.budget = Embeddings(recipe.embeddings, h)
        self.layers = nn.Sequential(
            nn.Linear(width + h, 2 * h), nn.SiLU(), nn.Linear(2 * h, h), nn.SiLU(), nn.Linear(h, 1)
        )

    def forward(self, one_hot: Tensor, positions: Tensor) -> Tensor:
        """Returns R, shape (n,)."""
        return torch.as_tensor(self.layers(torch.cat([one_hot, self.budget(positions)], 1))[:, 0])


def dominates(top1: tuple[Floats, Floats], share: tuple[Floats, Floats]) -> NDArray[np.bool_]:
    """Returns whether the first of two architectures wins by the Pareto dominance rule.

    Args:
        top1: Top-1 of both, shape (n,) each.
        share: Largest cost / limit of both, shape (n,) each.
    """
    within = (share[0] <= 1) & (share[1] <= 1)
    return np.where(within, top1[0] > top1[1], share[0] < share[1])


@dataclass
class Trained:
    """Result of the training.

    Attributes:
        policy: The trained policy.
        codes: All sampled architectures, int8, shape (n, D).
        top1: Predicted top-1 of these architectures, shape (n,).
        cost: Costs of these architectures, shape (n, M).
        low: Limits at budget position 0, shape (M,).
        high: Limits at budget position 1, shape (M,).
    """

    policy: PaperPolicy
    codes: Codes
    top1: Floats
    cost: Floats
    low: Floats
    high: Floats

    def infer(self, positions: Floats, samples: int, seed: int = 0) -> Codes:
        """Infers architectures for budgets, the most likely one of each budget first, then random samples.

        Some of them may break their limits.

        Args:
            positions: Positions of the budgets, shape (n,).
            samples: Number of architectures for each budget.
            seed: Seed of the sampling.

        Returns:
            Codes, int8, shape (n, samples, D).
        """
        at = torch.from_numpy(positions.astype(np.float32))
        with torch.no_grad():
            greedy = self.policy(at, None)[0][:, None]
            others = (
                self.policy(at.repeat_interleave(samples - 1), torch.Generator().manual_seed(seed))[0]
                if samples > 1
                else greedy[:0]
            )
        result: Codes = (
            torch.cat([greedy, others.reshape(len(at), samples - 1, greedy.shape[2])], 1).numpy().astype(np.int8)
        )
        return result

    def best_sampled(self, positions: Floats) -> NDArray[np.intp]:
        """Returns the index of the most accurate sampled architecture within each budget, -1 if none, shape (n,)."""
        result = np.full(len(positions), -1)
        for i, limit in enumerate(self.low + positions[:, None] * (self.high - self.low)):
            within = np.flatnonzero(np.all(self.cost <= limit, axis=1))
            if len(within):
                result[i] = within[self.top1[within].argmax()]
        return result


def train_paper(
    space: SearchSpace,
    predictor: Predictor,
    tables: Sequence[AdditiveTable],
    recipe: PaperRecipe | None = None,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Trained:
    """Trains the paper's generator on the costs of one device.

    Args:
        space: Any search space.
        predictor: Predicts the accuracy of architectures.
        tables: Tables of the costs. A budget at position p limits each cost to the value that lies the fraction p of
            the way from the cheapest to the most expensive architecture.
        recipe: Sizes and schedule.
        seed: Seed of all random choices.
        on_event: Receives the progress.
    """
    recipe = recipe or PaperRecipe()
    bounds = [Completions.of(space, table) for table in tables]
    low, high = np.array([b.least for b in bounds]), np.array([b.most for b in bounds])
    with threads(1):
        batch = recipe.budgets * recipe.samples
        judged = _Judged(
            predictor, tables, space.sample(recipe.pool, np.random.default_rng(seed)), recipe.iterations * batch
        )
        with seeded(seed):
            policy = PaperPolicy(space, recipe)
            ranker = _Ranker(space, judged, low, high, recipe, seed)
        if recipe.reward == "dominance":
            with stage(on_event, "Training the evaluator", recipe.warm_up):
                for _ in range(recipe.warm_up):
                    ranker.step()
        reward = {"dominance": ranker.reward, "mnasnet": _mnasnet, "tunas": _tunas}[recipe.reward]
        optimiser, rng = torch.optim.Adam(policy.parameters(), recipe.rate), np.random.default_rng((seed, 1))
        generator = torch.Generator().manual_seed(seed)
        with stage(on_event, "Policy gradient", recipe.iterations) as advance:
            for iteration in range(recipe.iterations):
                positions = np.repeat(rng.random(recipe.budgets), recipe.samples)
                codes, logs, entropy = policy(torch.from_numpy(positions.astype(np.float32)), generator)
                rows = judged.add(codes.numpy().astype(np.int8))
                # A choice that the device does not support costs inf, which would make the mean infinite.
                share = np.minimum((judged.cost[rows] / (low + positions[:, None] * (high - low))).max(1), _MOST_SHARE)
                value = reward(judged.codes[rows], judged.top1[rows], share, positions).reshape(recipe.budgets, -1)
                gain = (value - value.mean(1, keepdims=True)) / (value.std() + 1e-8)
                loss = (
                    -(logs * torch.from_numpy(gain.ravel().astype(np.float32))).mean() - recipe.entropy * entropy.mean()
                )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimiser.step()
                if recipe.reward == "dominance":
                    ranker.step()
                if iteration % 100 == 99:
                    advance(iteration + 1, f"Policy gradient, reward {value.mean():.3f}")
    return Trained(
        policy, judged.codes[recipe.pool :], judged.top1[recipe.pool :], judged.cost[recipe.pool :], low, high
    )


class _Judged:
    """Architectures with predicted top-1 and costs, in preallocated arrays."""

    def __init__(self, predictor: Predictor, tables: Sequence[AdditiveTable], first: Codes, room: int) -> None:
        self.predictor, self.tables, self.count = predictor, tables, 0
        size = len(first) + room
        self.codes, self.top1, self.cost = (
            np.empty((size, first.shape[1]), np.int8),
            np.empty(size),
            np.empty((size, len(tables))),
        )
        self.add(first)

    def add(self, codes: Codes) -> slice:
        """Adds architectures with their top-1 and costs, and returns their rows."""
        rows = slice(self.count, self.count + len(codes))
        self.codes[rows], self.top1[rows] = codes, self.predictor.predict(codes).mean
        self.cost[rows] = np.stack([table.cost(codes) for table in self.tables], axis=1)
        self.count = rows.stop
        return rows


class _Ranker:
    """Trains the evaluator on pairs of the architectures that were added so far."""

    def __init__(
        self, space: SearchSpace, judged: _Judged, low: Floats, high: Floats, recipe: PaperRecipe, seed: int
    ) -> None:
        self.space, self.judged, self.low, self.high = space, judged, low, high
        self.evaluator = Evaluator(space.one_hot_width, recipe)
        self.optimiser, self.rng = (
            torch.optim.Adam(self.evaluator.parameters(), recipe.rate),
            np.random.default_rng((seed, 2)),
        )

    def step(self) -> None:
        """Takes one optimiser step on random pairs and budgets."""
        rows, positions = self.rng.integers(0, self.judged.count, (2, _PAIRS)), self.rng.random(_PAIRS)
        limits = self.low + positions[:, None] * (self.high - self.low)
        top1, share = self.judged.top1[rows], (self.judged.cost[rows] / limits).max(2)
        sign = np.where(dominates((top1[0], top1[1]), (share[0], share[1])), 1.0, -1.0).astype(np.float32)
        one, other = (self(self.judged.codes[r], positions) for r in rows)
        loss = softplus(-torch.from_numpy(sign) * (one - other)).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def __call__(self, codes: Codes, positions: Floats) -> Tensor:
        result: Tensor = self.evaluator(
            torch.from_numpy(self.space.one_hot(codes)), torch.from_numpy(positions.astype(np.float32))
        )
        return result

    def reward(self, codes: Codes, top1: Floats, share: Floats, positions: Floats) -> Floats:
        """Returns R as the reward, shape (n,)."""
        with torch.no_grad():
            return self(codes, positions).numpy().astype(np.float64)


def _mnasnet(codes: Codes, top1: Floats, share: Floats, positions: Floats) -> Floats:
    """Reward of MnasNet: accuracy · (latency / budget)^w."""
    result: Floats = top1 / 100 * share**_EXPONENT
    return result


def _tunas(codes: Codes, top1: Floats, share: Floats, positions: Floats) -> Floats:
    """Reward of TuNAS: accuracy + β · |latency / budget - 1|."""
    result: Floats = top1 / 100 + _ABSOLUTE * np.abs(share - 1)
    return result
