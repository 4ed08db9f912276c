"""LINAS: a loop of NSGA-II on a light predictor that is fitted anew to every validated architecture.

Source: Cummings et al., "A Hardware-Aware Framework for Accelerating Neural Architecture Search Across Modalities"
(2022; DyNAS-T). Here the accuracy predictor takes the place of validation on images.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot
from nagsdk_searches.pareto import survivors
from nagsdk_searches.surrogate import Surrogate

_POPULATION, _GENERATIONS, _MOST = 100, 12, 1000


class Linas(Search):
    """Validates some random architectures, then in turn fits, searches with the fit, and validates what it found."""

    id: ClassVar[str] = "linas"
    title: ClassVar[str] = "LINAS: NSGA-II on light predictors, fitted again to every validated architecture"
    labels: ClassVar[bool] = True

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        evaluator.top1(evaluator.random(evaluator.share(0.15)))
        batch = min(_MOST, max(evaluator.n, evaluator.most // 12))
        light = Surrogate(evaluator.space.one_hot_width, evaluator.rng)
        while True:
            codes, top1 = evaluator.lessons()
            light.fit(one_hot(evaluator, codes), top1)
            best = evaluator.best(_POPULATION // evaluator.n + 1)[0].reshape(-1, codes.shape[1])
            evaluator.top1(self._evolved(evaluator, light, best, batch))

    def _evolved(self, evaluator: Evaluator, light: Surrogate, alive: Codes, batch: int) -> Codes:
        """The best architectures that are not validated yet, by NSGA-II on the light predictor and the costs."""
        known = {row.tobytes() for row in evaluator.seen()[0]}
        fresh = np.empty((0, alive.shape[1]), np.int8)
        rng, space = evaluator.rng, evaluator.space
        largest = evaluator.question.limits.max(0)
        for _ in range(_GENERATIONS):
            one, other = (alive[rng.integers(0, len(alive), 2 * _POPULATION)] for _ in range(2))
            mixed = np.where(rng.random(one.shape) < 0.5, one, other).astype(np.int8)
            children = space.mutate(mixed, rng, 1.5 / mixed.shape[1])
            children = children[(evaluator.question.cost(children) <= largest).all(1)]
            alive = np.unique(np.concatenate([alive, children]), axis=0)
            alive = alive[survivors(self._aims(evaluator, alive, light(one_hot(evaluator, alive))), _POPULATION)]
            new = [row for row in alive if row.tobytes() not in known]
            known.update(row.tobytes() for row in new)
            fresh = np.concatenate([fresh, np.array(new, np.int8).reshape(-1, alive.shape[1])])
        if len(fresh) <= batch:
            return np.concatenate([fresh, evaluator.random(1)[:, 0]])
        return fresh[survivors(self._aims(evaluator, fresh, light(one_hot(evaluator, fresh))), batch)]

    @staticmethod
    def _aims(evaluator: Evaluator, codes: Codes, top1: Floats) -> Floats:
        """What NSGA-II minimises: every cost, and the negative top-1."""
        return np.column_stack([evaluator.question.cost(codes), -top1])
