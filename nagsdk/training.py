"""Training of generators on demand: the bundle's own for all devices, or the paper's for one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.budget import LATENCY
from nagsdk.bundle import Bundle
from nagsdk.events import Listener
from nagsdk.generator.nag import Generator
from nagsdk.generator.searches import Random
from nagsdk.workbench import Workbench

if TYPE_CHECKING:
    from nagsdk.generator.paper import PaperRecipe

_BUDGETS, _SAMPLES = 10, 64


def train_universal(bundle: Bundle, path: Path, seed: int, listener: Listener) -> dict[str, Any]:
    """Trains the generator for every device and leaves it as a file; its card is returned.

    Raises:
        OutputError: The file cannot be written.
    """
    generator = Generator.trained(bundle.space, bundle.predictor, seed=seed, listener=listener)
    generator.save(path)
    return {"recipe": "universal", "path": str(path), **asdict(generator.card)}


def train_paper(bench: Workbench, metric: str, recipe: PaperRecipe, seed: int, listener: Listener) -> dict[str, Any]:
    """Trains the paper's generator on one device and reports what it answers to ten budgets.

    Each budget is answered three times: by inference (the most accurate of 64 samples that holds it), by the
    most accurate of everything sampled in training, and by as many random architectures. Top-1 is predicted,
    null where nothing holds the budget.
    """
    from nagsdk.generator.paper import train_paper as train

    space, predictor = bench.bundle.space, bench.bundle.predictor
    table = bench.table(metric, bench.require_cost_model() if metric == LATENCY else None)
    found = train(space, predictor, [table], recipe, seed, listener)
    positions = np.linspace(0, 1, _BUDGETS + 1)[1:]
    limits = (found.low + positions[:, None] * (found.high - found.low))[:, 0]
    codes = found.infer(positions, _SAMPLES, seed)
    rows = codes.reshape(-1, codes.shape[2])
    top1, cost = (np.asarray(values).reshape(codes.shape[:2]) for values in (predictor.predict(rows).mean, table.cost(rows)))
    inferred = np.where(cost <= limits[:, None], top1, -np.inf)
    sampled = found.best_sampled(positions)
    chance = Random(len(found.codes)).propose(bench.question([table], limits, seed))[:, 0]
    luck = predictor.predict(chance).mean
    return {
        "recipe": "paper",
        "device": bench.device.id,
        "bundle": bench.bundle.name,
        "metric": metric,
        "settings": asdict(recipe),
        "budgets": [
            {
                "limit": float(limit),
                "greedy_holds": bool(cost[i, 0] <= limit),
                "inference": _answer(bench, codes[i, inferred[i].argmax()], float(inferred[i].max())),
                "best_sampled": _answer(bench, found.codes[sampled[i]], float(found.top1[sampled[i]]) if sampled[i] >= 0 else -np.inf),
                "random": _answer(bench, chance[i], float(luck[i])),
            }
            for i, limit in enumerate(limits)
        ],
    }


def _answer(bench: Workbench, code: Any, top1: float) -> dict[str, Any]:
    if not np.isfinite(top1):
        return {"architecture": None, "predicted_top1": None}
    return {"architecture": bench.bundle.space.decode(code[None])[0].text, "predicted_top1": top1}
