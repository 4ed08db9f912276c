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
from nagsdk.plugin.units import read_budget
from tests.cost.test_metric_limits import loaded  # noqa: F401 — a fixture
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

SPACE = staged_space()
TABLE, SCORE = random_tables(SPACE, 0)
TABLES = {"size": TABLE, "macs": replace(TABLE, choice=TABLE.choice[:, :, ::-1])}
COSTS = np.stack([table.cost(SPACE.all_codes()) for table in TABLES.values()], axis=1)


def _ask(budgets):
    limits = np.array([[budget.limit for budget in budgets]])
    return Question(SPACE, Teacher(SCORE), [TABLES[budget.metric] for budget in budgets], limits, lambda: None)


def _ease(budget, factor):
    return replace(budget, limit=budget.limit * factor)


# Each cost can be held to this multiple of its least value, but every architecture exceeds it in one of both.
FACTOR = (1 + float((COSTS / COSTS.min(0)).max(1).min())) / 2
ASKED = [Budget(metric, FACTOR * float(least)) for metric, least in zip(TABLES, COSTS.min(0), strict=True)]


def test_each_budget_is_named_with_a_value_with_which_all_hold():
    eased = []

    def ease(budget, factor):
        eased.append(_ease(budget, factor))
        return eased[-1]

    with pytest.raises(InfeasibleError, match="Each of .* can be held, but") as caught:
        require_together(ASKED, _ask, ease)
    assert caught.value.next_step.endswith(", and leave the others as they are.")
    named = re.fullmatch(r"Ask for (.+), and .*", caught.value.next_step)[1].split(" or ")
    for text in named:
        value = next(b for b in eased if str(b) == text)
        number = list(TABLES).index(value.metric)
        within = COSTS[:, 1 - number] <= ASKED[1 - number].limit
        assert ASKED[number].limit < COSTS[within, number].min() <= value.limit
        require_together([value if n == number else b for n, b in enumerate(ASKED)], _ask, _ease)


def test_where_no_budget_alone_helps_that_is_said():
    with pytest.raises(InfeasibleError) as caught:  # easing is of no use here
        require_together(ASKED, _ask, lambda budget, factor: budget)
    assert caught.value.next_step == "Ease several of the limits."


@pytest.mark.parametrize("deploys", [False, True])
def test_generating_and_deploying_name_looser_values(loaded, tmp_path, deploys):  # noqa: F811
    asked = ["600kB", "170kWeights"]  # each weight takes four bytes
    with pytest.raises(InfeasibleError, match="Each of 600kB and 170kWeights can be held, but") as caught:
        if deploys:
            nagsdk.deploy("cpu", budget=asked, output=tmp_path / "out", strategy="lookup", timing_only=True)
        else:
            nagsdk.generate("cpu", budget=[asked], strategy="lookup")
    size, weights = re.fullmatch(r"Ask for (\S+) or (\S+), and .*", caught.value.next_step).groups()
    assert read_budget(size).limit > 600e3 and read_budget(weights).limit < 170e3


def test_a_miss_eases_only_the_budgets_that_were_missed(simulate, tmp_path):  # noqa: F811
    backend = simulate()
    backend.world = lambda ms: 1.6 + 0.01 * ms
    missed = nagsdk.deploy("board", budget=["1.5ms", "480kB"], output=tmp_path / "out")
    assert missed.verdict == "missed"
    (latency,) = re.findall(r"would have held is (\S+)ms and 480kB\.", missed.result.warnings[-1])
    assert 1.6 < float(latency) < 1.8
