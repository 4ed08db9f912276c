"""Budgets that hold one by one but not together: each is named with the value that it alone would need."""

import re
from dataclasses import replace

import numpy as np
import pytest

import nagsdk
from nagsdk.budget import Budget
from nagsdk.errors import InfeasibleError
from nagsdk.generator.strategy import Question
from nagsdk.pipeline.together import require_together
from tests.cost.test_metric_limits import loaded  # noqa: F401 — a fixture
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

SPACE = staged_space()
TABLE, SCORE = random_tables(SPACE, 0)
TABLES = {"size": TABLE, "macs": replace(TABLE, choice=TABLE.choice[:, ::-1])}
COSTS = np.stack([table.cost(SPACE.all_codes()) for table in TABLES.values()], axis=1)


def _ask(budgets):
    limits = np.array([[budget.limit for budget in budgets]])
    return Question(SPACE, Teacher(SCORE), [TABLES[budget.metric] for budget in budgets], limits, lambda: None)


def _ease(budget, factor):
    return replace(budget, limit=budget.limit * factor)


def test_each_budget_is_named_with_the_tightest_value_that_all_hold():
    asked = [Budget(metric, 1.001 * float(least)) for metric, least in zip(TABLES, COSTS.min(0), strict=True)]
    named = []

    def ease(budget, factor):
        named.append(_ease(budget, factor))
        return named[-1]

    with pytest.raises(InfeasibleError, match="Each of .* can be held, but") as caught:
        require_together(asked, _ask, ease)
    told = re.fullmatch(r"Ask for (\S+) or (\S+), and leave the others as they are\.", caught.value.next_step)
    for number, text in enumerate(told.groups()):
        value = min((b for b in named if str(b) == text and b.metric == asked[number].metric), key=lambda b: b.limit)
        within = COSTS[:, 1 - number] <= asked[1 - number].limit
        exact = COSTS[within, number].min()
        # It is one that an architecture holds, and little more than the least one of all architectures.
        assert exact <= value.limit <= 1.15 * exact
        require_together([value if n == number else b for n, b in enumerate(asked)], _ask, _ease)


def test_where_no_budget_alone_helps_that_is_said():
    asked = [Budget("size", float(COSTS[:, 0].max())), Budget("macs", 1.001 * float(COSTS[:, 1].min()))]
    require_together(asked, _ask, _ease)
    with pytest.raises(InfeasibleError) as caught:  # easing is of no use here
        require_together([replace(asked[0], limit=1.001 * float(COSTS[:, 0].min())), asked[1]], _ask, lambda b, _: b)
    assert caught.value.next_step == "Ease several of the limits."


@pytest.mark.parametrize("deploys", [False, True])
def test_generating_and_deploying_name_values_that_work(loaded, tmp_path, deploys):  # noqa: F811
    asked = ["600kB", "170kWeights"]  # each weight takes four bytes

    def answer(budgets):
        if deploys:
            return nagsdk.deploy("cpu", budget=budgets, output=tmp_path / "out", strategy="lookup", timing_only=True)
        return nagsdk.generate("cpu", budget=[budgets], strategy="lookup")

    with pytest.raises(InfeasibleError, match="Each of 600kB and 170kWeights can be held, but") as caught:
        answer(asked)
    size, weights = re.fullmatch(r"Ask for (\S+) or (\S+), and .*", caught.value.next_step).groups()
    assert size.endswith("kB") and float(size[:-2]) > 600 and float(weights[: -len("kWeights")]) < 170
    if not deploys:
        answer([size, asked[1]])
        answer([asked[0], weights])


def test_a_miss_eases_only_the_budgets_that_were_missed(simulate, tmp_path):  # noqa: F811
    backend = simulate()
    backend.world = lambda ms: 1.6 + 0.01 * ms
    missed = nagsdk.deploy("board", budget=["1.5ms", "480kB"], output=tmp_path / "out")
    assert missed.verdict == "missed"
    (latency,) = re.findall(r"would have held is (\S+)ms and 480kB\.", missed.result.warnings[-1])
    assert 1.6 < float(latency) < 1.8
