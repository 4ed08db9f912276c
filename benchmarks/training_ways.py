"""Ways to train a supernet, for benchmarks/training_options.py, whose text describes them."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.batches import DRAWS, ArrayBatches, Augmentation, Batches, prepare
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import Codes, extremes
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.initial import adopt
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recipe import TrainRecipe, kept
from nagsdk.supernet.resume import Average
from nagsdk.supernet.train import optimizer_of, sandwich, train_step

Floats = NDArray[np.float64]
BATCH, POOL, GROUPS, SLOW = 64, 64, 5, 0.9
RATE, RATE_OF_CONTINUED = 4e-3, 5e-4


class Pictures(NamedTuple):
    """Pictures, uint8, shape (n, side, side, 3), and their classes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and where it is measured."""

    space: NetworkSpace
    train: Pictures
    recalibration: Callable[[int], Tensor]
    shown: Callable[[int], Any]
    preprocessing: Preprocessing
    augmentation: Augmentation | None
    start: Supernet | None

    def fresh(self, seed: int) -> Supernet:
        """The supernet before the first step."""
        supernet = self.space.supernet()
        supernet.initialise(seed)
        if self.start is not None:
            adopt(supernet, self.start)
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return supernet

    def recipe(self, steps: int, seed: int) -> TrainRecipe:
        """The settings of `nagsdk train`; a training that is continued has no steps of the largest network alone."""
        alone, rate = (steps // 5, RATE) if self.start is None else (0, RATE_OF_CONTINUED)
        return TrainRecipe(steps, rate, largest_first=alone, seed=seed, ema=kept(steps))

    def batches(self, seed: int) -> ArrayBatches:
        """The pictures of every step."""
        return ArrayBatches(
            self.train.images, self.train.labels, BATCH, self.preprocessing, seed, augmentation=self.augmentation
        )

    def top1(self, supernet: Supernet, codes: Codes) -> Floats:
        """Measured top-1 of subnets in per cent."""
        return measure(supernet.eval(), self.space.decode(codes), self.recalibration, self.shown)


class Way:
    """One way to train: by the sandwich rule; subclasses choose other subnets or other pictures."""

    def __init__(self, task: Task, recipe: TrainRecipe) -> None:
        self.task, self.space, self.recipe = task, task.space, recipe
        self.shares: list[Tensor] = []

    def codes(self, step: int) -> Codes:
        """The subnets of a step, the largest first."""
        return sandwich(self.space, self.recipe, step)

    @cached_property
    def batches(self) -> Batches:
        """The pictures of every step."""
        return self.task.batches(self.recipe.seed)

    def learn(self, step: int, codes: Codes) -> None:
        """Learns from the outputs of the step's networks, whose softmax is in `shares`."""

    def pool(self, step: int) -> Codes:
        """Random subnets to choose from."""
        return self.space.sample(POOL, np.random.default_rng((self.recipe.seed, step)))

    def with_ends(self, random: Codes) -> Codes:
        """The largest network, some others, and the smallest."""
        smallest, largest = extremes(self.space)
        return np.vstack([largest, random, smallest])

    @property
    def apart(self) -> Floats:
        """How far the outputs of each network of the step are from those of the first one."""
        return np.array([float((share - self.shares[0]).norm(dim=1).mean()) for share in self.shares])

    def run(self, supernet: Supernet) -> Supernet:
        """Trains a supernet in place."""
        handle = supernet.register_forward_hook(lambda _, __, logits: self.shares.append(logits.detach().softmax(1)))
        optimizer, average = optimizer_of(supernet, self.recipe), Average(supernet, self.recipe.ema)
        supernet.train()
        for step in range(self.recipe.steps):
            self.step(supernet, optimizer, average, step)
        handle.remove()
        average.put_into(supernet)
        return supernet

    def step(self, supernet: Supernet, optimizer: torch.optim.Optimizer, average: Average, step: int) -> None:
        """Updates the weights once."""
        codes = self.codes(step)
        self.shares.clear()
        train_step(supernet, optimizer, self.recipe, codes, self.batches, step, Ranks(), None)
        average.update(supernet, step)
        if step >= self.recipe.largest_first:
            self.learn(step, codes)

    def trained(self) -> list[tuple[Supernet, Any]]:
        """Supernets, each with a function that says which architectures it is for."""
        return [(self.run(self.task.fresh(self.recipe.seed)), lambda codes: np.ones(len(codes), bool))]


class Uniform(Way):
    """Random subnets beside the largest one."""

    def codes(self, step: int) -> Codes:
        """See `Way.codes`."""
        if step < self.recipe.largest_first:
            return super().codes(step)
        return np.vstack([extremes(self.space)[1:], self.pool(step)[:3]])


class Alone(Way):
    """The largest network alone."""

    def codes(self, step: int) -> Codes:
        """See `Way.codes`."""
        return extremes(self.space)[1:]


class ShiftNas(Way):
    """Random subnets of groups of MACs, a group the more often the farther its subnets are from the largest."""

    def __init__(self, task: Task, recipe: TrainRecipe) -> None:
        super().__init__(task, recipe)
        sample = self.space.sample(2000, np.random.default_rng(0))
        self.edges = np.quantile(self.macs(sample), np.linspace(0, 1, GROUPS + 1)[1:-1])
        self.gaps = np.ones(GROUPS)

    def macs(self, codes: Codes) -> Floats:
        """MACs of architectures."""
        return np.array([self.space.macs(a) for a in self.space.decode(codes)], np.float64)

    def codes(self, step: int) -> Codes:
        """See `Way.codes`."""
        if step < self.recipe.largest_first:
            return super().codes(step)
        pool, rng = self.pool(step), np.random.default_rng((self.recipe.seed, step, 1))
        groups = np.searchsorted(self.edges, self.macs(pool))
        worth = self.gaps[groups] / np.bincount(groups, minlength=GROUPS)[groups]
        return self.with_ends(pool[rng.choice(len(pool), 2, replace=False, p=worth / worth.sum())])

    def learn(self, step: int, codes: Codes) -> None:
        """Updates the running gaps of the groups."""
        for group, apart in zip(np.searchsorted(self.edges, self.macs(codes[1:-1])), self.apart[1:-1], strict=True):
            self.gaps[group] = SLOW * self.gaps[group] + (1 - SLOW) * apart


class Drawn:
    """Pictures drawn by their scores, with weights by which the loss stays that of all pictures."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed, self.scores = task, seed, np.ones(len(task.train.labels))
        self.at, self.rows, self.share = -1, np.empty(0, int), 0.0

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        if step != self.at:
            rng, count = np.random.default_rng((self.seed, step)), len(self.scores)
            p = (1 - self.share) / count + self.share * self.scores / self.scores.sum()
            self.at, self.rows = step, np.sort(rng.choice(count, BATCH, p=p / p.sum()))
            self.weights = torch.from_numpy(1 / (count * p[self.rows])).float()
        task, images = self.task, self.task.train.images[self.rows]
        shown = prepare(images, resolution, task.preprocessing)
        if task.augmentation is not None:
            draws = np.random.default_rng((self.seed, step, 1)).random((BATCH, DRAWS))
            pixels = task.augmentation.apply(images, draws, resolution)
            mean, std = (torch.tensor(of).view(1, 3, 1, 1) for of in (task.preprocessing.mean, task.preprocessing.std))
            shown = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
        classes = torch.from_numpy(task.train.labels[self.rows]).long()
        return shown, functional.one_hot(classes, task.space.classes).float() * self.weights[:, None]


class PaDa(Way):
    """Paths and pictures by the size of their gradients; how much they decide grows over the training."""

    def __init__(self, task: Task, recipe: TrainRecipe) -> None:
        super().__init__(task, recipe)
        self.drawn = Drawn(task, recipe.seed)
        self.norms = np.ones((len(self.space.sizes), int(self.space.sizes.max())))

    @cached_property
    def batches(self) -> Batches:
        """See `Way.batches`."""
        return self.drawn

    def codes(self, step: int) -> Codes:
        """See `Way.codes`."""
        self.drawn.share = 0.5 * step / self.recipe.steps
        if step < self.recipe.largest_first:
            return super().codes(step)
        pool, rng = self.pool(step), np.random.default_rng((self.recipe.seed, step, 1))
        exists = np.arange(self.norms.shape[1]) < self.space.sizes[:, None]
        ratios = self.norms * exists / ((self.norms * exists).sum(1, keepdims=True) / self.space.sizes[:, None])
        share = 2 * self.drawn.share
        of = np.where(pool >= 0, ratios[np.arange(len(ratios)), np.maximum(pool, 0)], 1.0)
        worth = np.prod((1 - share) + share * of, axis=1)
        return self.with_ends(pool[rng.choice(len(pool), 2, replace=False, p=worth / worth.sum())])

    def learn(self, step: int, codes: Codes) -> None:
        """Updates the running norms of choices and pictures."""
        for code, apart in zip(codes[1:-1], self.apart[1:-1], strict=True):
            for d in np.flatnonzero(code >= 0):
                self.norms[d, code[d]] = SLOW * self.norms[d, code[d]] + (1 - SLOW) * apart
        labels = torch.from_numpy(self.task.train.labels[self.drawn.rows]).long()
        wrong = self.shares[0] - functional.one_hot(labels, self.space.classes)
        self.drawn.scores[self.drawn.rows] = wrong.norm(dim=1).numpy()


class FewShot(Way):
    """Two supernets from the middle of the training on."""

    part: NDArray[np.bool_]
    decision: int

    def mine(self, codes: Codes, second: bool) -> NDArray[np.bool_]:
        """Whether architectures belong to a supernet; those without the decision belong to the first one."""
        chosen = codes[:, self.decision]
        mine: NDArray[np.bool_] = (self.part[np.maximum(chosen, 0)] & (chosen >= 0)) == second
        return mine

    def codes_of(self, step: int, second: bool) -> Codes:
        """The subnets of a step of one of the two supernets."""
        pool = np.vstack([self.pool(step), self.space.sample(4 * POOL, np.random.default_rng(step))])
        mine = pool[self.mine(pool, second)]
        ends = extremes(self.space)
        for code in ends:
            if not self.mine(code[None], second)[0]:
                code[self.decision] = np.flatnonzero(self.part == second)[-1]
        smallest, largest = self.space.mutate(ends, np.random.default_rng(0), 0.0)
        return np.vstack([largest, mine[:2], smallest])

    def trained(self) -> list[tuple[Supernet, Any]]:
        """See `Way.trained`."""
        whole = self.task.fresh(self.recipe.seed)
        optimizer, average = optimizer_of(whole, self.recipe), Average(whole, self.recipe.ema)
        whole.train()
        half = self.recipe.steps // 2
        for step in range(half):
            self.step(whole, optimizer, average, step)
        self.parting(whole)
        both = []
        for second in (False, True):
            own = copy.deepcopy(whole)
            mover, mean = optimizer_of(own, self.recipe), copy.deepcopy(average)
            mover.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            for step in range(half + second, self.recipe.steps, 2):
                train_step(own, mover, self.recipe, self.codes_of(step, second), self.batches, step, Ranks(), None)
                mean.update(own, step)
            mean.put_into(own)
            both.append((own, lambda codes, second=second: self.mine(codes, second)))
        return both

    def parting(self, supernet: Supernet) -> None:
        """Finds the decision, and the two parts of its choices, between which gradients agree least."""
        bases = np.vstack([extremes(self.space)[1:], self.space.sample(2, np.random.default_rng(self.recipe.seed))])
        found = []
        for d in range(1, len(self.space.sizes)):
            gradients: list[list[Tensor]] = []
            for choice in range(self.space.sizes[d]):
                changed = bases.copy()
                switch = self.space.decisions[d].active_if
                if switch is not None:
                    changed[:, switch[0]] = np.maximum(changed[:, switch[0]], switch[1])
                changed[:, d] = choice
                codes = self.space.mutate(changed, np.random.default_rng(0), 0.0)
                gradients.append([self.gradient(supernet, code.tolist()) for code in codes])
            alike = np.array(
                [[np.mean([float(a @ b) for a, b in zip(x, y, strict=True)]) for y in gradients] for x in gradients]
            )
            for count in range(1, len(alike) // 2 + 1):
                for chosen in itertools.combinations(range(len(alike)), count):
                    part = np.isin(np.arange(len(alike)), chosen)
                    found.append((float(alike[part][:, ~part].mean()), d, part))
        _, self.decision, self.part = min(found, key=lambda one: one[0])
        print(f"parted: {self.space.decisions[self.decision].name}, {self.part.tolist()}", file=sys.stderr, flush=True)

    def gradient(self, supernet: Supernet, code: Sequence[int]) -> Tensor:
        """The direction of the gradient of the loss of one subnet."""
        images, labels = self.batches(0, self.space.resolutions[code[0]])
        supernet.zero_grad()
        torch.autograd.backward(functional.cross_entropy(supernet(images, code), labels))
        whole: Tensor = torch.cat(
            [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in supernet.parameters()]
        )
        supernet.zero_grad()
        direction: Tensor = whole / whole.norm()
        return direction


class Start(Way):
    """From a finished network: the largest one, trained alone before."""

    def trained(self) -> list[tuple[Supernet, Any]]:
        """See `Way.trained`."""
        alone = Alone(self.task, replace(self.recipe, seed=self.recipe.seed + 100))
        ((finished, _),) = alone.trained()
        own = type(self)(
            replace(self.task, start=finished), replace(self.recipe, largest_first=self.recipe.steps // 10)
        )
        return Way.trained(own)


class Twice(Way):
    """The sandwich rule, for twice the steps."""

    def __init__(self, task: Task, recipe: TrainRecipe) -> None:
        super().__init__(task, task.recipe(2 * recipe.steps, recipe.seed))


WAYS: dict[str, type[Way]] = {
    "sandwich": Way, "uniform": Uniform, "shiftnas": ShiftNas, "pada": PaDa, "few-shot": FewShot, "start": Start,
    "twice": Twice,
}  # fmt: skip
