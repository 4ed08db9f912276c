import numpy as np
import pytest

from nagsdk.predictor.intervals import Judged, LeftOut, calibrated, on_front
from nagsdk.predictor.model import Interval


def group(rng, scale, count=5000):
    spread = rng.uniform(0.01, 0.2, count)
    return Judged(rng.normal(0, scale * spread), np.zeros(count), spread, rng.uniform(0, 1, count), np.arange(count))


def test_every_group_is_covered_also_the_hardest():
    rng = np.random.default_rng(0)
    easy, hard = group(rng, 1), group(rng, 3, 500)
    interval = calibrated([easy, hard])
    within = [np.mean(np.abs(g.top1) <= interval.half_width(g.spread, g.leverage)) for g in (easy, hard)]
    assert within[0] > within[1] == pytest.approx(0.9, abs=0.01)
    assert vars(interval) == pytest.approx(vars(calibrated([hard, easy])))
    assert np.corrcoef(interval.half_width(hard.spread, hard.leverage), hard.spread)[0, 1] > 0.9


def test_coverage_is_told_by_region():
    rng = np.random.default_rng(1)
    judged = group(rng, 1, 400)
    # Predictions grow with the costs, so all are on the front; those of the cheapest quarter miss by far.
    judged = Judged(judged.top1, judged.macs / 100.0, judged.spread, judged.leverage, judged.macs)
    truth = judged.predicted + np.where(judged.macs < 100, 9.0, 0.0)
    judged = Judged(truth, *list(vars(judged).values())[1:])
    left_out = LeftOut("run", judged, Interval(2.0, 0.1, 0.0), 1.0).figures()
    assert left_out["coverage_90_by_quarter_of_macs"] == [0.0, 1.0, 1.0, 1.0]
    assert left_out["coverage_90_on_front"] == left_out["coverage_90"] == 0.75
    wide = LeftOut("run", judged, Interval(2.0, 0.1, 0.0), 1000.0).figures()
    assert wide["coverage_90_on_front"] == 1.0 and wide["coverage_90"] == 0.75


@pytest.mark.parametrize("rows", [400, 12])
def test_the_front_is_a_group_of_its_own(rows):
    def run(rng, misses):
        # Every second row is on the front, and misses by more than the others.
        judged = group(rng, 1, 2 * rows)
        front = np.arange(2 * rows) % 2 == 0
        predicted = np.where(front, 100.0 + judged.macs, 0.0)
        spread = np.full(2 * rows, 1.0)
        error = rng.normal(0, 1, 2 * rows) * np.where(front, misses, 1.0)
        return Judged(predicted + error, predicted, spread, judged.leverage, judged.macs)

    rng = np.random.default_rng(2)
    parts = [run(rng, 1.0), run(rng, 3.0), run(rng, 3.0)]
    unit = Interval(1.645, 0.0, 0.0)
    factor = on_front(parts, unit)
    # Long fronts follow the hardest one; short ones are joined, so that no single row decides.
    assert factor == pytest.approx(3.0, rel=0.25)
    errors = np.concatenate([(part.predicted - part.top1)[part.front] for part in parts])
    assert np.mean(np.abs(errors) <= factor * 1.645) >= 0.9
    assert on_front([run(rng, 0.1)] * 2, unit) == 1.0


def test_the_front_is_what_nothing_beats():
    macs, predicted = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([70.0, 60.0, 69.0, 72.0, 72.0])
    nothing = np.zeros(5)
    assert Judged(nothing, predicted, nothing, nothing, macs).front.tolist() == [False, True, False, True, False]
