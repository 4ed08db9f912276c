"""Compares the paper's generator with random search and with ours, by the judge of benchmarks/generator.py.

    python benchmarks/generator_paper.py --data DIR [--iterations 10000] [--rewards dominance,mnasnet,tunas]

There is one device (MACs) at 224 px. A generator is trained for each reward, which takes about five minutes on an idle
core. Every method gets 20 budgets, equidistant over the frontier. "Inference" is the most accurate of 64 samples that
holds the budget. "Best sampled" is the most accurate one of everything sampled in training, which is what the authors'
code reports; random search gets as many architectures.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from generator import RESOLUTION, halves, one_limit, trained

from nagsdk.cost.table import exact_table
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.paper import REWARDS, PaperRecipe, train_paper
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag, Random
from nagsdk.generator.strategy import Question
from nagsdk.space.space import Codes

BUDGETS = 20


def main() -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--rewards", default=",".join(REWARDS))
    options = parser.parse_args()
    space = ofa_mobilenet_v3()
    index = space.resolution_index(RESOLUTION)
    steer, judge, _, _ = halves(space, options.data, 0)
    table = exact_table(space, lambda layer: float(layer.macs)).masked(resolution=index)
    whole = one_limit(table, steer)
    limits = whole[np.linspace(5, len(whole) - 1, BUDGETS).astype(int)]
    question = Question(space, steer, [table], limits, lambda: trained(space, steer, 0))

    def show(name: str, codes: Codes, held: np.ndarray, seconds: float) -> None:
        top1 = np.where(held, judge.predict(codes).mean, np.nan)
        print(
            f"{name:34}{np.nanmean(top1):8.3f} % judged, {held.mean():5.0%} of budgets held, "
            f"better than random at {np.mean(top1 > luck):5.0%}, {seconds:6.0f} s",
            flush=True,
        )

    evaluations = options.iterations * PaperRecipe().budgets * PaperRecipe().samples
    chance = Random(evaluations).propose(question)[:, 0]
    luck, every = judge.predict(chance).mean, np.ones(BUDGETS, dtype=bool)
    show(f"random, {evaluations:,}", chance, every, 0.0)
    for strategy in (Lookup(), Nag()):
        start = time.perf_counter()
        codes = strategy.propose(question)
        show(strategy.id, codes[np.arange(BUDGETS), choose(steer, codes)[:, 0]], every, time.perf_counter() - start)
    # The paper's space has a single resolution, and the judge knows only that one.
    single = replace(space, resolution_choices=(RESOLUTION,))
    own = exact_table(single, lambda layer: float(layer.macs))

    def at_resolution(codes: Codes) -> Codes:
        return np.concatenate([np.full_like(codes[..., :1], index), codes[..., 1:]], axis=-1)

    known = SimpleNamespace(predict=lambda codes: steer.predict(at_resolution(codes)))
    for reward in options.rewards.split(","):
        start = time.perf_counter()
        found = train_paper(single, known, [own], PaperRecipe(iterations=options.iterations, reward=reward))
        seconds = time.perf_counter() - start
        positions = ((limits - found.low) / (found.high - found.low))[:, 0]
        codes = at_resolution(found.infer(positions, 64))
        cost = table.cost(codes.reshape(-1, codes.shape[2])).reshape(codes.shape[:2])
        top1 = np.where(
            cost <= limits, steer.predict(codes.reshape(-1, codes.shape[2])).mean.reshape(cost.shape), -np.inf
        )
        show(f"{reward}: likeliest", codes[:, 0], cost[:, 0] <= limits[:, 0], seconds)
        show(
            f"{reward}: inference, 64 samples",
            codes[np.arange(BUDGETS), top1.argmax(1)],
            np.isfinite(top1.max(1)),
            seconds,
        )
        rows = found.best_sampled(positions)
        show(f"{reward}: best sampled in training", at_resolution(found.codes[rows]), rows >= 0, seconds)


if __name__ == "__main__":
    main()
