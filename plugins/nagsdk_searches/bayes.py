"""Bayesian optimisation with trees instead of a Gaussian process.

Sources: Wu et al., "Stronger NAS with Weaker Predictors" (WeakNAS, 2021), whose weak predictors are fitted to ever
better parts of the space; the interface of agents and its settings are those of ArchGym (`nagsdk_searches.agents`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.agents import Agent, Memory, Setting
from nagsdk_searches.evaluator import Evaluator, one_hot
from nagsdk_searches.trees import forest

_POOL, _WINDOW = 300, 1200


class Bayes(Agent):
    """Trees of bootstrap samples give mean and doubt; candidates of the highest upper bound are evaluated next.

    The trees are fitted to the best architectures so far and to the latest ones: they need to be right only there.
    """

    id: ClassVar[str] = "bayes"
    title: ClassVar[str] = "Bayesian optimisation with trees (WeakNAS; needs nagsdk[searches])"
    settings = (
        {"first": 0.2, "doubt": 0.5, "batch": 0.08},
        {"first": 0.1, "doubt": 0.0, "batch": 0.05},
        {"first": 0.2, "doubt": 2.0, "batch": 0.08},
        {"first": 0.4, "doubt": 1.0, "batch": 0.2},
    )

    def ask(self, evaluator: Evaluator, setting: Setting, codes: Codes, values: Floats, memory: Memory) -> Codes:
        """See `Agent.ask`."""
        rng = evaluator.rng
        seen, top1 = evaluator.lessons(_WINDOW)
        trees = forest(one_hot(evaluator, seen), top1, int(rng.integers(1 << 30))).estimators_
        parents = evaluator.best(16)[0]
        near = evaluator.children(parents, _POOL // 2, 2 / parents.shape[2])
        pool = np.concatenate([near, evaluator.question.random(_POOL // 2, rng, 30)], axis=1)
        rows = one_hot(evaluator, pool)
        found = np.stack([tree.predict(rows) for tree in trees]).reshape(len(trees), *pool.shape[:2])
        bound = found.mean(0) + setting["doubt"] * found.std(0)
        return evaluator.promising(pool, bound, evaluator.share(setting["batch"], 1))
