from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.paper import REWARDS, Embeddings, PaperRecipe, dominates, train_paper
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher

SHORT = PaperRecipe(iterations=120, hidden=16, rate=1e-2, embeddings=5, warm_up=100, pool=500, entropy=1e-3)


def test_the_rule_of_dominance():
    top1 = (np.array([70.0, 70.0, 75.0, 60.0]), np.array([69.0, 71.0, 70.0, 70.0]))
    # Both within the budget; both within; the first exceeds it; both exceed it, the first less.
    share = (np.array([0.9, 0.9, 1.1, 1.2]), np.array([0.5, 0.9, 0.8, 1.3]))
    assert dominates(top1, share).tolist() == [True, False, False, True]


def test_embeddings_are_interpolated():
    table = Embeddings(3, 4)
    at = table(torch.tensor([0.0, 0.25, 0.5, 1.0, 2.0]))
    assert torch.allclose(at[0], table.table[0]) and torch.allclose(at[2], table.table[1])
    assert torch.allclose(at[1], (table.table[0] + table.table[1]) / 2)
    assert torch.allclose(at[3], table.table[2]) and torch.allclose(at[4], table.table[2])


@pytest.mark.parametrize("reward", REWARDS)
def test_learns_to_spend_budgets_well(reward):
    space = staged_space()
    table, score = random_tables(space, 0)
    trained = train_paper(space, Teacher(score), [table], replace(SHORT, reward=reward))
    assert trained.codes.shape == (120 * 32, len(space.sizes)) and np.array_equal(
        space.validate(trained.codes), trained.codes
    )
    assert np.array_equal(trained.cost[:, 0], table.cost(trained.codes))
    positions = np.linspace(0.2, 1, 9)
    limits = (trained.low + positions[:, None] * (trained.high - trained.low))[:, 0]
    best = frontier(space, table, score)
    known = best.score[best.lookup(limits)]
    rows = trained.best_sampled(positions)
    assert (rows >= 0).all() and (trained.cost[rows, 0] <= limits).all()
    lost = known - score_of(score, trained.codes[rows])
    assert (lost >= -1e-9).all() and lost.mean() < 0.15 * (best.score[-1] - best.score[0])
    codes = trained.infer(positions, 4)
    assert codes.shape == (9, 4, len(space.sizes))
    if reward == "dominance":
        # By inference alone, larger budgets get more expensive architectures, and few break their limit.
        cost = table.cost(codes[:, 0])
        assert cost[-1] > cost[0] and (cost / limits < 1.15).all()
    assert trained.best_sampled(np.array([-1.0])).tolist() == [-1]


def test_several_limits_count_by_the_largest_share_and_runs_repeat():
    space = staged_space()
    table, score = random_tables(space, 0)
    other = replace(table, choice=table.choice[:, :, ::-1])
    runs = [
        train_paper(space, Teacher(score), [table, other], replace(SHORT, iterations=20, warm_up=20), seed=s)
        for s in (3, 3, 4)
    ]
    assert np.array_equal(runs[0].codes, runs[1].codes) and not np.array_equal(runs[0].codes, runs[2].codes)
    rows = runs[0].best_sampled(np.array([0.6]))
    assert (runs[0].cost[rows] <= runs[0].low + 0.6 * (runs[0].high - runs[0].low)).all()
