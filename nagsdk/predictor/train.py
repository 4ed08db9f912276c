"""Trains the ensemble: all members at once, as one batched network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import silu

from nagsdk.families.torch_scope import threads
from nagsdk.predictor.ensemble import Ensemble
from nagsdk.predictor.features import Floats


@dataclass(frozen=True)
class EnsembleRecipe:
    """Settings of the training of an ensemble.

    Attributes:
        members: Number of networks, which differ in their initial weights and in the order of the data.
        hidden: Number of units of each of the two hidden layers.
        steps: Number of steps of AdamW, with a one-cycle learning rate.
        batch: Number of architectures per step and member.
        learning_rate: Highest learning rate of the cycle.
        weight_decay: Decoupled weight decay, applied to weights but not to biases.
        threads: Number of torch threads during training. With one thread, every run gives the same result.
    """

    members: int = 8
    hidden: int = 32
    steps: int = 2000
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.3
    threads: int = 1


def train_ensemble(features: Floats, target: Floats, recipe: EnsembleRecipe, seed: int) -> Ensemble:
    """Trains an ensemble with the mean squared error.

    Args:
        features: Inputs, shape (n, inputs).
        target: Values to predict, shape (n,), in any scale.
        recipe: Settings of the training.
        seed: Seed of initial weights and order.
    """
    with threads(recipe.threads):
        return _train(features, target, recipe, seed)


def _train(features: Floats, target: Floats, recipe: EnsembleRecipe, seed: int) -> Ensemble:
    level, scale = float(target.mean()), float(target.std()) or 1.0
    x = torch.from_numpy(features.astype(np.float32))
    y = torch.from_numpy(((target - level) / scale).astype(np.float32))
    (n, inputs), m, h = x.shape, recipe.members, recipe.hidden
    generator = torch.Generator().manual_seed(seed)
    active = max(float((x**2).sum(1).mean()), 1.0)

    def weight(fan_in: float, *shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=generator) / math.sqrt(fan_in)).requires_grad_()

    first, second, last = weight(active, m, inputs, h), weight(h, m, h, h), weight(10 * h, m, h, 1)
    skip = torch.zeros(m, inputs, 1, requires_grad=True)
    biases = [torch.zeros(m, 1, width, requires_grad=True) for width in (h, h, 1)]
    groups = [
        {"params": [first, second, last, skip], "weight_decay": recipe.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    batch = min(recipe.batch, n)
    order = torch.empty(m, 0, dtype=torch.long)
    for _ in range(recipe.steps):
        if order.shape[1] < batch:
            order = torch.stack([torch.randperm(n, generator=generator) for _ in range(m)])
        rows, order = order[:, :batch], order[:, batch:]
        shown = x[rows]
        deep = silu(torch.baddbmm(biases[1], silu(torch.baddbmm(biases[0], shown, first)), second))
        error = (torch.baddbmm(biases[2], deep, last) + shown @ skip)[..., 0] - y[rows]
        optimizer.zero_grad()
        (error**2).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

    def array(
        tensor: torch.Tensor, *shape: int, factor: float = 1.0
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.ascontiguousarray(tensor.detach().numpy().reshape(shape) * factor, dtype=np.float32)

    return Ensemble(
        first=array(first.transpose(0, 1), inputs, m * h),
        first_bias=array(biases[0], m * h),
        second=array(second, m, h, h),
        second_bias=array(biases[1], m, 1, h),
        last=array(last, m, h, 1, factor=scale),
        skip=array(skip[..., 0].T, inputs, m, factor=scale),
        bias=array(biases[2], m, factor=scale) + np.float32(level),
    )
