"""The time that the whole of a training will still take."""

import pytest

from nagsdk.events import Advanced, Notice, Remaining
from nagsdk.training import whole as module
from nagsdk.training.asked import Asked
from nagsdk.training.by_time import by_time
from nagsdk.training.schedule import Counts, Pace
from nagsdk.training.whole import Whole

PACE = Pace(
    alone=0.01, smallest=0.003, together=0.03, update=0.02, forward=0.003, subnet=0.002, cut=0.02,
    fit={50: 10.0, 100: 20.0}, generator=120.0,
)  # fmt: skip
PLAN = by_time(Asked(600, Counts(480, 60, 60), (64, 96), pretrained=True, subnets=50), PACE)


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_the_remaining_time_is_that_of_all_parts_and_corrected_by_what_they_took(clock):
    told = []
    whole = Whole(PLAN, told.append)
    assert whole.seconds() == pytest.approx(PLAN.total_s)
    each = PLAN.seconds["training"] / PLAN.steps
    with whole.part("training"):
        for _ in range(PLAN.steps // 2):
            clock.now += each
            whole.listen(Advanced("a step", 1))
    left = PLAN.total_s - PLAN.seconds["training"] / 2
    assert whole.seconds() == pytest.approx(left, rel=0.05)
    assert [e for e in told if isinstance(e, Remaining)][-1].seconds == pytest.approx(left, rel=0.05)
    # Twice as slow as planned: what is left takes longer, too.
    with whole.part("training"):
        for _ in range(PLAN.steps // 2, PLAN.steps):
            clock.now += 3 * each
            whole.listen(Advanced("a step", 1))
    rest = PLAN.total_s - PLAN.seconds["training"]
    assert 1.2 * rest < whole.seconds() < 2.5 * rest
    for part in ("measuring", "predictor", "generator"):
        with whole.part(part):
            for _ in range(200):
                whole.listen(Advanced("something", 1))
    assert whole.seconds() == pytest.approx(0, abs=1e-6)


def test_events_are_passed_on_and_nothing_is_told_between_parts(clock):
    told = []
    whole = Whole(PLAN, told.append)
    clock.now += 50
    whole.listen(Notice("hello"))
    whole.listen(Advanced("decoding", 1))
    assert [type(event) for event in told] == [Notice, Advanced]
