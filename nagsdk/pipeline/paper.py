"""The generator as in the paper (Guo et al.): trained by policy gradient for one device and one range of budgets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from nagsdk import ranges
from nagsdk.budget import LATENCY
from nagsdk.common.moved import renamed
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import UsageError
from nagsdk.generator.strategies import Random
from nagsdk.pipeline.models import question, require_cost_model
from nagsdk.pipeline.target import Target, TargetSettings, target_of

_BUDGETS, _SAMPLES = 10, 64


@renamed(device="target")
@naming_os_errors
def train_paper_generator(
    target: str | Path | Target,
    *,
    metric: str = LATENCY,
    reward: str = "dominance",
    iterations: int = 10_000,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> dict[str, Any]:
    """Trains the paper's generator for one device and reports its answers to ten budgets.

    See `nagsdk.generator.paper`.

    Args:
        target: A `nagsdk.Target` whose device has a cost model, or the id of a device.
        metric: ``latency``, ``size`` or ``macs``.
        reward: ``dominance`` (the paper's), ``mnasnet`` or ``tunas``.
        iterations: Iterations of policy gradient.
        seed: Seed of all random choices.
        **settings: The other arguments of `nagsdk.Target` if `target` is the id of a device.

    Returns:
        The settings, and three answers for each budget: by inference (the most accurate of 64 samples that holds it),
        the most accurate architecture sampled during training, and the most accurate of as many random
        architectures. Top-1 is predicted, and None if nothing holds the budget.
    """
    from nagsdk.generator.paper import REWARDS, PaperRecipe, train_paper

    if reward not in REWARDS:
        raise UsageError(f"{reward!r} is not a reward.", f"Known: {', '.join(REWARDS)}.")
    ranges.check(iterations=iterations, seed=seed)
    target = target_of(target, settings)
    recipe = PaperRecipe(iterations=iterations, reward=reward)
    space, predictor = target.bundle.space, target.bundle.predictor
    table = target.costs.table(metric, require_cost_model(target) if metric == LATENCY else None)
    found = train_paper(space, predictor, [table], recipe, seed, target.on_event)
    positions = np.linspace(0, 1, _BUDGETS + 1)[1:]
    limits = (found.low + positions[:, None] * (found.high - found.low))[:, 0]
    codes = found.infer(positions, _SAMPLES, seed)
    rows = codes.reshape(-1, codes.shape[2])
    top1, cost = (
        np.asarray(values).reshape(codes.shape[:2]) for values in (predictor.predict(rows).mean, table.cost(rows))
    )
    inferred = np.where(cost <= limits[:, None], top1, -np.inf)
    sampled = found.best_sampled(positions)
    chance = Random(len(found.codes)).propose(question(target, [table], limits, seed))[:, 0]
    luck = predictor.predict(chance).mean
    return {
        "recipe": "paper",
        "device": target.device.id,
        "bundle": target.bundle.name,
        "metric": metric,
        "settings": asdict(recipe),
        "budgets": [
            {
                "limit": float(limit),
                "greedy_holds": bool(cost[i, 0] <= limit),
                "inference": _answer(target, codes[i, inferred[i].argmax()], float(inferred[i].max())),
                "best_sampled": _answer(
                    target, found.codes[sampled[i]], float(found.top1[sampled[i]]) if sampled[i] >= 0 else -np.inf
                ),
                "random": _answer(target, chance[i], float(luck[i])),
            }
            for i, limit in enumerate(limits)
        ],
    }


def _answer(target: Target, code: Any, top1: float) -> dict[str, Any]:
    if not np.isfinite(top1):
        return {"architecture": None, "predicted_top1": None}
    return {"architecture": target.bundle.space.decode(code[None])[0].text, "predicted_top1": top1}
