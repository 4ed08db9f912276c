"""A small space with a predictor that is known exactly, and questions about it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from nagsdk.cost.bounds import Completions
from nagsdk.generator.counted import Counted
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.strategy import Question
from nagsdk_searches.evaluator import Evaluator
from tests.generator.spaces import random_tables, staged_space

SPACE = staged_space(resolutions=(32, 48), stages=2, blocks=3, choices=4)
TABLE, SCORE = random_tables(SPACE, 0)


class Exact:
    """An accuracy predictor that is its additive score."""

    hash, additive = "exact", SCORE

    def predict(self, codes):
        return SimpleNamespace(mean=SCORE.inverse(score_of(SCORE, codes)))


def question(evaluations=300, points=4, tables=(TABLE,), **more):
    bounds = [Completions.of(SPACE, table) for table in tables]
    limits = np.linspace([b.least for b in bounds], [b.most for b in bounds], points + 2)[1:-1]
    return Question(SPACE, Counted(Exact(), evaluations), tables, limits, no_generator, evaluations=evaluations, **more)


def no_generator():
    raise AssertionError("searches use no generator")


def evaluator(asked=None):
    asked = asked or question()
    return Evaluator(asked, asked.evaluations)


def score(codes):
    return score_of(SCORE, codes)


def best_scores(asked):
    """The highest possible score of each budget."""
    known = frontier(SPACE, asked.tables[0], SCORE)
    return known.score[known.lookup(asked.limits[:, 0])]
