"""Progressive growing: networks gain one decision after the other, and a surrogate chooses which ones grow further.

Source: Dong et al., "DPP-Net: Device-aware Progressive Search for Pareto-optimal Neural Architectures" (2018).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot, top
from nagsdk_searches.pareto import fronts
from nagsdk_searches.surrogate import Surrogate

_WIDTHS = (4, 8, 16, 32)


class Dpp(Search):
    """Grows from each budget's cheapest network, decision by decision, by Pareto fronts of cost and expected top-1.

    After the last decision it starts again, with a wider beam, a surrogate that has seen more, and another order.
    """

    id: ClassVar[str] = "dpp"
    title: ClassVar[str] = "DPP-Net: progressive growing by a surrogate and the costs of the device"

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        surrogate = Surrogate(evaluator.space.one_hot_width, evaluator.rng)
        evaluator.top1(evaluator.random(evaluator.share(0.1)))
        each = evaluator.share(0.2 / len(evaluator.space.sizes), 1)
        order = np.arange(len(evaluator.space.sizes))
        for turn in range(1 << 20):
            width = _WIDTHS[min(turn, len(_WIDTHS) - 1)]
            beam = np.repeat(evaluator.question.reserves[:, None], width, axis=1)
            if turn:  # the later turns grow from what the earlier ones have found, and from elsewhere
                beam = np.concatenate([evaluator.best(width // 2)[0], evaluator.random(width // 2)], axis=1)
                order = evaluator.rng.permutation(order)
            for decision in order:
                codes, top1 = evaluator.lessons()
                surrogate.fit(one_hot(evaluator, codes), top1)
                grown = self.grown(evaluator, beam, int(decision))
                beam = self.chosen(evaluator, surrogate, grown, width)
                evaluator.top1(evaluator.promising(beam, -np.arange(width) * np.ones((evaluator.n, 1)), each))

    @staticmethod
    def grown(evaluator: Evaluator, beam: Codes, decision: int) -> Codes:
        """Every architecture of the beam with every choice of a decision, as far as it holds the limits."""
        size = int(evaluator.space.sizes[decision])
        grown = np.repeat(beam, size, axis=1)
        same = grown.copy()
        choices = np.tile(np.arange(size, dtype=np.int8), beam.shape[1])
        grown[..., decision] = np.where(grown[..., decision] >= 0, choices, grown[..., decision])
        return evaluator.question.kept(evaluator.redrawn(grown, 0.0), same)

    @staticmethod
    def chosen(evaluator: Evaluator, surrogate: Surrogate, grown: Codes, width: int) -> Codes:
        """The best fronts of cost and expected top-1; within a front the highest expected top-1 first."""
        expected = surrogate(one_hot(evaluator, grown)).reshape(grown.shape[:2])
        cost = evaluator.question.cost(grown)
        rank = np.stack([fronts(np.column_stack([c, -e])) for c, e in zip(cost, expected, strict=True)])
        scale = float(np.ptp(expected)) + 1.0
        return np.take_along_axis(grown, top(expected - scale * rank, width)[..., None], axis=1)
