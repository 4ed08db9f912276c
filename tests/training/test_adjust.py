"""Later passes of a planned training are adjusted to how long the first one took."""

import pytest

from nagsdk.supernet.recipe import kept
from nagsdk.training.adjust import adjusted
from nagsdk.training.asked import Asked
from nagsdk.training.by_time import by_time
from nagsdk.training.schedule import Counts, Schedule
from tests.quick_train import PACE

PLAN = by_time(Asked(900, Counts(480, 60, 60), (64, 96), pretrained=True, subnets=50), PACE)


def test_the_plan_tells_how_long_each_pass_takes_and_keeps_it():
    assert len(PLAN.passes_s) == len(PLAN.recipes) == 3 and PLAN.recipes[0].largest_first
    assert sum(PLAN.passes_s) == pytest.approx(PLAN.seconds["training"], rel=0.05)
    assert Schedule.from_dict(PLAN.to_dict()) == PLAN


def _shares(made):
    return [new.steps / old.steps for new, old in zip(made.recipes[1:], PLAN.recipes[1:], strict=True)]


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.02, 1.1])
def test_the_steps_stay_where_the_machine_is_about_as_fast_as_planned(slower):
    made, told = adjusted(PLAN, slower * PLAN.passes_s[0])
    assert made.recipes == PLAN.recipes and made.passes_s == () and told == ""


@pytest.mark.parametrize("slower", [0.0, 0.3, 0.6])
def test_the_later_passes_get_the_time_that_the_first_one_did_not_need(slower):
    first, *later = PLAN.passes_s
    made, told = adjusted(PLAN, slower * first)
    assert f"{slower:.1f} times as long" in told and made.recipes[0] == PLAN.recipes[0] and made.passes_s == ()
    takes = slower * first + sum(share * each for share, each in zip(_shares(made), later, strict=True))
    assert takes == pytest.approx(sum(PLAN.passes_s), rel=0.01)
    measured = [recipe.steps // recipe.validate_every for recipe in made.recipes]
    assert measured == pytest.approx([recipe.steps // recipe.validate_every for recipe in PLAN.recipes], abs=1)


@pytest.mark.parametrize("slower", [1.3, 1.4, 1.6])
def test_so_many_steps_are_left_out_that_the_training_ends_hardly_later_than_planned(slower):
    first, *later = PLAN.passes_s
    made, told = adjusted(PLAN, slower * first)
    assert f"{slower:.1f} times as long" in told and made.passes_s == () and made.recipes[0] == PLAN.recipes[0]
    shares = _shares(made)
    assert all(0.5 <= share < 0.97 for share in shares) and all(r.ema == kept(r.steps) for r in made.recipes[1:])
    takes = slower * (first + sum(share * each for share, each in zip(shares, later, strict=True)))
    assert takes == pytest.approx(sum(PLAN.passes_s) + 0.1 * PLAN.total_s, rel=0.02)


def test_half_of_the_steps_stay_however_slow_the_machine_is():
    made, told = adjusted(PLAN, 10 * PLAN.passes_s[0])
    left = PLAN.steps - PLAN.recipes[0].steps
    assert made.steps - PLAN.recipes[0].steps == pytest.approx(left / 2, abs=1) and f"instead of {left} steps" in told
