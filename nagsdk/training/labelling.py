"""Subnets to measure that a strategy chooses, in rounds, by what the measured ones have taught it."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import exact_table
from nagsdk.errors import UnknownNameError, UsageError
from nagsdk.generator.counted import Counted
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.predictor.additive import AdditiveScore
from nagsdk.space.space import Codes, SearchSpace

# Subnets all over the space first, then near the frontier; see `nagsdk.training.subnets`.
FRONTIER = "frontier"
_BUDGETS, _SAMPLE = 10, 1000
Measured = Callable[[Codes], NDArray[np.float64]]


def labelling(recipe: str) -> Strategy | None:
    """The strategy that chooses the subnets; None for the recipe ``frontier``, which needs none.

    Raises:
        UnknownNameError: No installed strategy of this name chooses subnets.
    """
    if recipe == FRONTIER:
        return None
    # Found by its name: the plugins are beside the trainings, and `frontier` needs none.
    strategies: Any = resolve_name("nagsdk.plugin.host:host")().strategies
    known: dict[str, Strategy] = {strategy.id: strategy for strategy in strategies if strategy.labels}
    if recipe in known:
        return known[recipe]
    raise UnknownNameError.among("recipe for an accuracy predictor", recipe, [FRONTIER, *known], strategies.note)


class _Measuring:
    """Stands in for an accuracy predictor: what a strategy asks it about is measured, and so becomes a label."""

    hash = "measured"

    def __init__(self, space: SearchSpace, measured: Measured) -> None:
        # Nothing is known about the choices yet; larger ones usually are better.
        table = np.tile(np.arange(float(space.sizes.max())), (len(space.sizes), 1))
        self.measured, self.additive = measured, AdditiveScore(0.0, table, 100.0)

    def predict(self, codes: Codes) -> SimpleNamespace:
        """The measured top-1 in per cent, as `mean`."""
        return SimpleNamespace(mean=self.measured(codes))


def label(strategy: Strategy, space: SearchSpace, measured: Measured, count: int, seed: int) -> None:
    """Lets a strategy choose subnets for budgets of MACs, between which lie equally many random architectures.

    Args:
        strategy: The strategy.
        space: Search space of the supernet.
        measured: Measures the top-1 of architectures in per cent, and keeps it.
        count: Number of subnets that may be measured.
        seed: Seed of the choice.
    """
    macs = exact_table(space, lambda layer: float(layer.macs))
    usual = macs.cost(space.sample(_SAMPLE, np.random.default_rng(seed)))
    limits = np.quantile(usual, np.linspace(0, 1, _BUDGETS + 1)[1:])[:, None]
    limits[-1] = Completions.of(space, macs).most
    counted = Counted(_Measuring(space, measured), count)
    strategy.propose(Question(space, counted, [macs], limits, _no_generator, seed, evaluations=count))


def _no_generator() -> Any:
    raise UsageError("This strategy needs a generator, which needs a predictor first.", "Use --recipe frontier.")
