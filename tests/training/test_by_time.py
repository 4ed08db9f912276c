"""What a training does in a given time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import UsageError
from nagsdk.training.asked import Asked
from nagsdk.training.by_time import by_time
from nagsdk.training.schedule import Counts, Pace, Schedule

PACE = Pace(
    alone=0.01, smallest=0.003, together=0.03, update=0.02, forward=0.003, subnet=0.002, cut=0.02,
    fit={50: 10.0, 100: 20.0, 200: 40.0, 300: 60.0}, generator=120.0,
)  # fmt: skip
FEW, MANY = Counts(480, 60, 60), Counts(8000, 1000, 1000)
SIDES = (96, 128, 160, 192, 224)


def by_minutes(seconds, counts, resolutions, pace, **asked) -> Schedule:
    return by_time(Asked(seconds, counts, resolutions, **asked), pace)


def slower(times: float) -> Pace:
    return replace(
        PACE, **{name: times * getattr(PACE, name) for name in ("alone", "smallest", "together", "forward", "subnet")}
    )


@settings(max_examples=60, deadline=None)
@given(
    minutes=st.floats(2, 600), times=st.floats(0.1, 10), counts=st.sampled_from([FEW, MANY]), pretrained=st.booleans()
)
def test_a_plan_fills_its_time_with_every_part_or_is_refused(minutes, times, counts, pretrained):
    try:
        plan = by_minutes(60 * minutes, counts, SIDES, slower(times), pretrained=pretrained)
    except UsageError as error:
        assert "too short" in error.message and "--minutes" in error.next_step
        return
    assert plan.total_s <= 60 * minutes + 2
    assert plan.resolutions == tuple(side for side in SIDES if side in plan.resolutions) and plan.resolutions[0] == 96
    alone, together = plan.recipes[:2]
    first = (alone.steps, 0) if pretrained else (0, alone.steps)
    assert (alone.largest_first, alone.smallest_first) == first and together.sorts == pretrained
    assert alone.steps >= 20 <= together.steps and together.largest_first == together.smallest_first == 0
    assert plan.subnets >= 50
    assert Schedule.from_dict(plan.to_dict()) == plan


def test_more_time_gives_more_steps_and_higher_resolutions():
    plans = [by_minutes(60 * m, FEW, SIDES, slower(4), pretrained=True) for m in (8, 15, 60)]
    assert [max(p.resolutions) for p in plans] == sorted(max(p.resolutions) for p in plans)
    assert max(plans[0].resolutions) < max(plans[-1].resolutions) == 224
    work = [p.steps * max(p.resolutions) ** 2 for p in plans]
    assert work == sorted(work)


def test_with_few_images_choices_rest_on_more_than_the_validation_images_and_fewer_choices_are_open():
    few, many = (by_minutes(1800, counts, SIDES, PACE, pretrained=True) for counts in (FEW, MANY))
    assert few.held_out + FEW.val > 150 and many.held_out == 0
    assert [r.held_out for r in few.recipes] == [True, True, False] and len(many.recipes) == 2
    assert len(few.resolutions) == 3 and few.resolutions[0] == 96 and len(many.resolutions) >= len(few.resolutions)
    assert [r.ends_early for r in few.recipes] == [True, False, True]
    narrowed = by_minutes(1800, FEW, SIDES, PACE, pretrained=True, narrowed=True)
    assert narrowed.narrowed and narrowed.resolutions[0] >= 0.7 * narrowed.resolutions[-1] > 96
    assert few.subnets <= many.subnets and few.batch < many.batch


def test_a_time_for_some_steps_but_too_few_is_told():
    short, long = (by_minutes(60 * m, FEW, SIDES, slower(15), pretrained=False) for m in (10, 240))
    assert short.resolutions == (96,) and not short.enough and long.enough
    seldom = by_minutes(900, FEW, SIDES, slower(40), pretrained=True)
    # Images are mixed only where they would be learnt by heart.
    assert by_minutes(60 * 6, FEW, SIDES, slower(15), pretrained=False).recipes[0].mixup == 0 < long.recipes[0].mixup
    assert seldom.recipes[0].mixup == 0
    # A pretrained network is not spoilt by a rate for which there are too few steps.
    longer = by_minutes(9000, FEW, SIDES, slower(40), pretrained=True)
    assert seldom.recipes[0].learning_rate < longer.recipes[0].learning_rate


def test_a_generator_that_takes_too_long_is_left_to_the_first_deployment():
    short, long = (by_minutes(s, FEW, SIDES, replace(PACE, generator=600.0), pretrained=True) for s in (600, 7200))
    assert 0 < short.generator < long.generator == 1 and short.seconds["generator"] < 0.2 * 600
    none = by_minutes(600, FEW, SIDES, replace(PACE, generator=10**5), pretrained=True)
    assert none.generator == none.seconds["generator"] == 0
    assert by_minutes(600, FEW, SIDES, PACE, pretrained=True, generator=False).generator == 0


def test_what_was_asked_for_is_kept():
    plan = by_minutes(1800, FEW, SIDES, PACE, pretrained=False, batch=16, subnets=80, narrow=False, seed=7)
    assert (plan.batch, plan.subnets, plan.resolutions, plan.recipes[0].seed) == (16, 80, SIDES, 7)
    assert all(r.steps % 1 == 0 and r.ends_early and 0 < r.validate_every <= r.steps for r in plan.recipes)


def test_no_loss_in_integers_is_measured_where_networks_have_no_integer_form():
    plans = [by_minutes(3600, MANY, SIDES, PACE, pretrained=True, subnets=50, integers=i) for i in (True, False)]
    assert plans[0].losses > 0 == plans[1].losses
    assert plans[0].seconds["measuring"] > plans[1].seconds["measuring"]


def test_processes_share_the_work():
    one, two = (by_minutes(900, MANY, SIDES, PACE, pretrained=True, ranks=ranks) for ranks in (1, 2))
    assert two.batch % 2 == 0 and two.steps * max(two.resolutions) ** 2 > 1.3 * one.steps * max(one.resolutions) ** 2


@pytest.mark.parametrize("known", [None, [], {}, {"minutes": 3}, {"recipes": [{"steps": 1, "other": 2}]}])
def test_what_is_no_schedule_is_refused(known):
    with pytest.raises(ValueError, match="no schedule"):
        Schedule.from_dict(known)
