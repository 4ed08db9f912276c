"""A classifier of Pareto dominance in the place of surrogates of accuracy and cost.

Source: Ma and Li, "Pareto-wise ranking classifier for multi-objective evolutionary neural architecture search" (2021).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot
from nagsdk_searches.pareto import fronts
from nagsdk_searches.surrogate import Surrogate

_MOST_SORTED, _TRIED = 800, 20


class ParetoClassifier(Search):
    """Evolution that evaluates only children of which a classifier believes that no reference dominates them."""

    id: ClassVar[str] = "pareto-classifier"
    title: ClassVar[str] = "evolution that a classifier of Pareto dominance steers, with adaptive references"

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        evaluator.top1(evaluator.random(evaluator.share(0.15)))
        classifier = Surrogate(evaluator.space.one_hot_width, evaluator.rng)
        each = evaluator.share(0.04, 1)
        while True:
            codes, good = self.labelled(evaluator)
            classifier.fit(one_hot(evaluator, codes), np.where(good, 1.0, -1.0))
            parents = evaluator.best(8)[0]
            tried = evaluator.children(parents, _TRIED * each, 2 / parents.shape[2])
            believed = classifier(one_hot(evaluator, tried)).reshape(tried.shape[:2])
            evaluator.top1(evaluator.promising(tried, believed, each))

    @staticmethod
    def labelled(evaluator: Evaluator) -> tuple[Codes, NDArray[np.bool_]]:
        """Evaluated architectures, and whether they are good.

        The references are the last of the fronts that together hold half of the architectures: while there are few good
        ones, they are easy to reach, and they move on with the search, so that both classes stay equally large.
        """
        codes, top1 = evaluator.lessons(_MOST_SORTED)
        front = fronts(np.column_stack([evaluator.question.cost(codes), -top1]))
        return codes, front <= np.median(front)
