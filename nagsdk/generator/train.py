"""Training of the universal generator: imitation of exact frontiers, then policy gradient with the predictor.

The paper trains by policy gradient alone. Where cost and score are additive, the best architecture is known
(`nagsdk.generator.training_data`), so maximum likelihood on it gets nearer in minutes than policy gradient does in
hours. Policy gradient then adds what additive scores miss: all architectures sampled for one budget hold it, so by the
Pareto dominance rule the more accurate one wins, and the reward is the rank of the predicted top-1 among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.torch_scope import threads
from nagsdk.generator.decode import Trace, decode, gumbel, trace
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.policy import CHOICE, STATE, Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.training_data import Devices, lessons, problem
from nagsdk.predictor.protocol import Teacher
from nagsdk.space.space import Codes, SearchSpace

# First part of the seeds of devices that are never drawn in training.
_UNSEEN = 10**9


@dataclass(frozen=True)
class GeneratorRecipe:
    """How a policy is trained.

    Attributes:
        problems: Number of random problems (devices and limits) whose solutions are imitated; see
            `nagsdk.generator.training_data`.
        steps: Number of optimiser steps of imitation.
        batch: Number of architectures per step.
        rate: Peak learning rate of Adam under a one-cycle schedule.
        hidden: Units of the LSTM.
        gradient_steps: Number of steps of policy gradient, each on a new problem.
        gradient_rate: Learning rate of policy gradient.
        entropy: Weight of the entropy in policy gradient.
        examined: Number of random devices on which the policy is compared with exact frontiers; see `examine`.
    """

    problems: int = 1500
    steps: int = 2000
    batch: int = 256
    rate: float = 6e-3
    hidden: int = 48
    gradient_steps: int = 500
    gradient_rate: float = 1e-3
    entropy: float = 0.01
    examined: int = 20

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that the generator depends on, JSON-ready."""
        return {name: value for name, value in asdict(self).items() if name != "examined"}

    def shortened(self, length: float) -> GeneratorRecipe:
        """Returns the recipe with a share of the problems, steps and examined devices."""
        names = ("problems", "steps", "gradient_steps", "examined")
        counts = {name: max(1, round(length * getattr(self, name))) for name in names}
        return replace(self, **counts)


class Network(nn.Module):
    """The trainable counterpart of `Policy`, with parameters of the same names and shapes."""

    def __init__(self, decisions: int, most: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()

        def uniform(*shape: int, within: float = 0.1) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-within, within, generator=generator))

        h = hidden
        self.token, self.place, self.state = uniform(decisions, most, h), uniform(decisions, h), uniform(STATE, h)
        self.input_weight, self.hidden_weight, self.bias = uniform(4 * h, h), uniform(4 * h, h), uniform(4 * h)
        self.head_weight, self.head_bias = uniform(decisions, most, h), uniform(decisions, most)
        self.worth_weight, self.worth_bias = uniform(CHOICE, h), uniform(decisions, CHOICE)

    def log_probabilities(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns log-probability and entropy of every decision, shape (n, D) each; both are 0 if it is inactive."""
        codes, active = batch.codes, batch.codes >= 0
        rows = torch.arange(len(codes))[:, None]
        # Inactive decisions are skipped: the active ones move to the front and keep their order.
        order = torch.argsort((~active).to(torch.int8), dim=1, stable=True)
        taken = self.token[order, codes.clamp(min=0)[rows, order]]
        before = torch.cat([torch.zeros_like(taken[:, :1]), taken[:, :-1]], 1)
        inputs = before + self.place[order] + batch.state[rows, order] @ self.state
        start = inputs.new_zeros(1, len(codes), self.place.shape[1])
        weights = [self.input_weight, self.hidden_weight, self.bias, torch.zeros_like(self.bias)]
        outputs, _, _ = torch.lstm(inputs, (start, start), weights, True, 1, 0.0, self.training, False, True)
        outputs = outputs[rows, torch.argsort(order, dim=1)]
        logits = torch.einsum("ndh,dch->ndc", outputs, self.head_weight) + self.head_bias
        worth = outputs @ self.worth_weight.T + self.worth_bias
        logits = logits + torch.einsum("ndck,ndk->ndc", batch.choices, worth)
        # An inactive decision has no allowed choice; all are allowed here, because the softmax would be undefined.
        logs = torch.log_softmax(logits.masked_fill(~(batch.allowed | ~active[..., None]), -torch.inf), -1)
        chosen = logs.gather(2, codes.clamp(min=0)[..., None])[..., 0]
        entropy = -(logs.exp() * logs.clamp(min=-50)).sum(-1)
        return torch.where(active, chosen, 0.0), torch.where(active, entropy, 0.0)

    def policy(self) -> Policy:
        """Returns the parameters as a `Policy`."""
        return Policy.from_arrays({name: p.detach().numpy().copy() for name, p in self.named_parameters()})


@dataclass(frozen=True)
class Batch:
    """A `Trace` as tensors, with the codes as int64."""

    codes: Tensor
    state: Tensor
    choices: Tensor
    allowed: Tensor

    @classmethod
    def of(cls, found: Trace, rows: NDArray[np.intp] | slice = slice(None)) -> Batch:
        """Returns some rows of a trace."""
        parts = (found.codes[rows].astype(np.int64), found.state[rows], found.choices[rows], found.allowed[rows])
        return cls(*(torch.from_numpy(part) for part in parts))


def train(
    space: SearchSpace,
    predictor: Teacher,
    recipe: GeneratorRecipe | None = None,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Policy:
    """Trains a policy for every device and every limit.

    The same arguments give the same policy; torch runs on one thread during the training.

    Args:
        space: A search space whose choices add layers.
        predictor: Accuracy predictor to maximise.
        recipe: Sizes and schedule.
        seed: Seed of all random choices.
        on_event: Receives the progress.
    """
    recipe = recipe or GeneratorRecipe()
    with stage(on_event, "Drawing devices and their frontiers", recipe.problems) as advance:
        known = lessons(
            space,
            predictor.additive,
            recipe.problems,
            seed,
            lambda n: advance(n, f"Drawing device {n} of {recipe.problems}") if n % 10 == 0 else None,
        )
    network = Network(len(space.decisions), int(space.sizes.max()), recipe.hidden, torch.Generator().manual_seed(seed))
    with threads(1):  # results are repeatable, and more threads do not help small tensors
        imitate(network, known, recipe, seed, on_event)
        if recipe.gradient_steps:
            improve(network, space, predictor, recipe, seed, on_event)
    return network.policy()


def imitate(network: Network, known: Trace, recipe: GeneratorRecipe, seed: int, on_event: Listener = ignore) -> None:
    """Maximises the likelihood of the known best architectures."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), recipe.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps)
    with stage(on_event, "Imitating the frontiers", recipe.steps) as advance:
        for step in range(recipe.steps):
            logs, _ = network.log_probabilities(Batch.of(known, rng.integers(0, len(known.codes), recipe.batch)))
            loss = -logs.sum(1).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step % 50 == 49:
                advance(step + 1, f"Imitating the frontiers, loss {loss.item():.2f}")


def improve(
    network: Network,
    space: SearchSpace,
    predictor: Teacher,
    recipe: GeneratorRecipe,
    seed: int,
    on_event: Listener = ignore,
) -> None:
    """Improves the policy by policy gradient: samples that the predictor ranks high within a budget get more likely."""
    devices, optimiser = Devices(space), torch.optim.Adam(network.parameters(), recipe.gradient_rate)
    budgets, samples = 16, 16
    with stage(on_event, "Improving on the accuracy predictor", recipe.gradient_steps) as advance:
        for step in range(recipe.gradient_steps):
            rng = np.random.default_rng((seed, 1, step))
            drawn = problem(space, predictor.additive, devices, budgets, rng)
            noise = rng.gumbel(size=(samples, len(space.sizes), int(space.sizes.max()))).astype(np.float32)
            try:
                stepper = Stepper(network.policy())
                codes = decode(space, drawn.tables, drawn.paths, stepper, drawn.limits, noise)
                codes = codes.reshape(-1, len(space.sizes))
            except InfeasibleError:
                continue  # the limits are so tight that no architecture was found: there is nothing to learn
            top1 = np.asarray(predictor.predict(codes).mean).reshape(budgets, samples)
            rank = (top1[:, :, None] > top1[:, None]).mean(2) - (top1[:, :, None] < top1[:, None]).mean(2)
            followed = trace(space, drawn.paths, codes, np.repeat(drawn.limits, samples, axis=0))
            logs, entropy = network.log_probabilities(Batch.of(followed))
            advantage = torch.from_numpy(rank.reshape(-1).astype(np.float32))
            loss = -(logs.sum(1) * advantage).mean() - recipe.entropy * entropy.sum(1).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            if step % 10 == 9:
                advance(step + 1, f"Improving, entropy {entropy.sum(1).mean().item():.2f}")


@dataclass(frozen=True)
class Regret:
    """Gap between `lookup` and the best of some samples, with one limit, on random devices that were not trained on.

    Gaps are in percentage points of top-1; a negative gap means that the generator is better.

    Attributes:
        devices: Number of random devices.
        budgets: Number of budgets per device, equidistant between the cheapest and the most expensive point of the
            frontier.
        samples: Number of candidates per budget.
        mean: Mean gap under the additive score, for which lookup is optimal.
        worst_device: Largest mean gap of a device under the additive score.
        predicted_mean: Mean gap under the accuracy predictor, which ranks the samples.
        predicted_worst_device: Largest mean gap of a device under the accuracy predictor.
    """

    devices: int
    budgets: int
    samples: int
    mean: float
    worst_device: float
    predicted_mean: float
    predicted_worst_device: float


def examine(
    space: SearchSpace, predictor: Teacher, policy: Policy, devices: int = 20, budgets: int = 101, samples: int = 64
) -> Regret:
    """Compares a policy with exact frontiers of the additive score; see `Regret`."""
    drawn, stepper, score, gaps = Devices(space), Stepper(policy), predictor.additive, []
    for number in range(devices):
        table = drawn.latency(np.random.default_rng((_UNSEEN, number)))
        best = frontier(space, table, score)
        limits = np.linspace(best.cost[0], best.cost[-1], budgets)
        known = best.codes[best.lookup(limits)]
        paths = Paths.of(space, [table], score)
        found = decode(space, [table], paths, stepper, limits[:, None], gumbel(0, samples, space)).reshape(
            -1, len(space.sizes)
        )

        def gap(top1: Callable[[Codes], Floats], known: Codes = known, found: Codes = found) -> float:
            return float(np.mean(top1(known) - top1(found).reshape(budgets, samples).max(1)))

        gaps.append((gap(lambda c: score.inverse(score_of(score, c))), gap(lambda c: predictor.predict(c).mean)))
    mean, worst = np.mean(gaps, axis=0), np.max(gaps, axis=0)
    return Regret(devices, budgets, samples, float(mean[0]), float(worst[0]), float(mean[1]), float(worst[1]))
