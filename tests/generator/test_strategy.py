from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from nagsdk.cost.bounds import Completions
from nagsdk.errors import UsageError
from nagsdk.generator.strategy import Question, Strategy, WithOptions
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher

SPACE = staged_space(stages=1)
TABLE, SCORE = random_tables(SPACE, 0)


class Asked(Strategy):
    id, title = "asked", "Keeps the question"
    options: ClassVar = {"form": ("round", "square"), "size": ("1", "2")}

    def propose(self, question):
        self.question = question
        return question.reserves[:, None]


def ask(*shares):
    bounds = Completions.of(SPACE, TABLE)
    limits = np.array([[bounds.least + share * (bounds.most - bounds.least)] for share in shares])
    return Question(SPACE, Teacher(SCORE), [TABLE], limits, lambda: None)


def test_random_architectures_are_those_of_the_space_that_hold_the_limits():
    question = ask(0.1, 0.6)
    codes = question.random(4000, np.random.default_rng(0))
    assert question.within(codes).all()
    drawn = SPACE.sample(20_000, np.random.default_rng(1))
    cost = TABLE.cost(drawn)
    for limit, own in zip(question.limits[:, 0], codes, strict=True):
        held = drawn[cost <= limit]
        assert {row.tobytes() for row in own} >= {row.tobytes() for row in held[:20]}
        share, expected = ((rows[..., None] == np.arange(4)).mean(0) for rows in (own, held))
        assert np.abs(share - expected).max() < 0.06


def test_what_breaks_a_limit_is_replaced():
    question = ask(0.1, 1.01)
    codes = np.repeat(SPACE.validate(SPACE.sizes[None] - 1)[None], 2, axis=0)
    kept = question.kept(codes, question.reserves[:, None])
    assert np.array_equal(kept[0, 0], question.reserves[0]) and np.array_equal(kept[1], codes[1])


def test_options_reach_the_strategy_and_have_defaults():
    strategy = Asked()
    chosen = WithOptions(strategy, "form=square,evaluations=70")
    chosen.propose(ask(0.5))
    assert chosen.id == "asked:form=square,evaluations=70" and strategy.question.evaluations == 70
    assert [strategy.option(strategy.question, name) for name in ("form", "size")] == ["square", "1"]
    chosen.propose(replace(ask(0.5), evaluations=30))
    assert strategy.question.evaluations == 30
    WithOptions(strategy, "size=2").propose(replace(ask(0.5), evaluations=30))
    assert strategy.question.evaluations == 30 and strategy.question.options == {"size": "2"}


@pytest.mark.parametrize("text", ["form=oval", "colour=red", "form", "", "form=square,"])
def test_unknown_options_are_refused_with_the_legal_ones(text):
    with pytest.raises(UsageError, match=r"form=round\|square, size=1\|2, evaluations=NUMBER"):
        WithOptions(Asked(), text)


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "many", ""])
def test_the_number_of_evaluations_is_checked(number):
    with pytest.raises(UsageError, match="number of evaluations"):
        WithOptions(Asked(), f"evaluations={number}")
