"""Verdicts on sessions whose latencies are known: the device is never timed."""

from pathlib import Path

import numpy as np
import pytest

from nagsdk.budget import Budget
from nagsdk.device.backend import Burst
from nagsdk.manifest.result import Result
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.pipeline import verdict as module
from nagsdk.pipeline.round import Built
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.verdict import Rule, judge
from nagsdk.space.architecture import Architecture
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import world  # noqa: F401 — a fixture

TEXT = "net"


def session(level: float) -> Measurement:
    """A session whose median is `level` ms and whose p90 is 1.1 times that."""
    runs = tuple(level * np.interp(np.linspace(0, 1, 11), [0, 0.5, 0.9, 1], [0.99, 1, 1.1, 1.1]))
    return Measurement(tuple(Reading(Burst(runs, runs), 5.0, 5.0) for _ in range(20)), 5.0)


@pytest.fixture
def judged(world, monkeypatch, tmp_path):  # noqa: F811
    """Judges a candidate whose sessions have these medians, the last one again and again; returns round and rounds."""

    def run(budgets, *levels):
        left, protocols = list(levels), []

        def time_artifacts(target, compiled, folder, protocol):
            protocols.append(protocol)
            return {TEXT: session(left.pop(0) if len(left) > 1 else left[0])}

        monkeypatch.setattr(module, "time_artifacts", time_artifacts)
        path = tmp_path / "model.onnx"
        path.write_bytes(b"x" * 1000)
        built = Built(Architecture(TEXT, (), 48), path, Path(path), 0.0, 0, {}, np.zeros(3, np.float32))
        result = Result(TEXT, 48, 10**6, 10**5, "glyphs", device="board")
        return judge(Target("board", "glyphs"), result, built, [Budget.parse(b) for b in budgets]), protocols

    return run


def test_a_median_far_below_its_limit_needs_one_more_session(judged):
    turn, _ = judged(["1ms"], 0.8)
    found = turn.result.measured
    assert turn.result.verdict == "held" and found.sessions == len(turn.confirming) == 1
    assert found.verify_probability >= 0.9 and found.latency_asked_low_ms < 0.8 < found.latency_limit_ms < 1


def test_a_high_percentile_needs_three_sessions_and_more_where_they_differ(judged):
    turn, _ = judged(["1ms@p90"], 0.75)
    assert turn.result.verdict == "held" and turn.result.measured.sessions == 3
    assert turn.result.measured.latency_asked_ms == pytest.approx(0.75 * 1.1, rel=1e-3)
    turn, _ = judged(["1ms@p90"], *[0.76, 0.84] * 5)
    assert turn.result.verdict == "held" and 3 < turn.result.measured.sessions <= 8


def test_what_lies_within_its_limit_but_may_not_do_so_again_is_missed_and_said(judged):
    turn, _ = judged(["1ms@p90"], *[0.80, 0.96] * 9)
    assert turn.result.verdict == "missed" and turn.used < 1 < turn.needed
    assert "lies within 1ms@p90, but sessions differ by" in turn.result.warnings[-1]
    assert turn.result.measured.verify_probability < 0.9
    turn, _ = judged(["1ms"], 0.999)
    assert turn.result.verdict == "missed" and turn.result.measured.sessions < 8  # more would not help
    assert "a verdict of held needs 95 %" in turn.result.warnings[-1]


def test_a_first_session_beyond_the_limit_ends_the_round(judged):
    turn, protocols = judged(["1ms@p95"], 1.2, 0.5)
    assert turn.result.verdict == "missed" and not turn.confirming and len(protocols) == 1
    assert turn.needed > turn.used > 1 and not turn.result.warnings
    assert turn.result.measured.verify_probability is None


def test_several_limits_hold_together(judged):
    turn, protocols = judged(["1ms", "1ms@p99"], 0.7)
    assert turn.result.verdict == "held" and turn.result.measured.sessions >= 3
    assert all(p.rounds * p.runs >= 400 for p in protocols)  # four runs of each session lie beyond the 99th percentile
    rule = Rule([Budget.parse(b) for b in ("1ms", "1ms@p99")], 0.02, protocols[0])
    alone = [Rule([b], 0.02, protocols[0]).probability(turn.confirming) for b in rule.timed]
    assert rule.probability(turn.confirming) == pytest.approx(sum(alone) - 1)
    assert rule.needed(turn.confirming)[0] > Rule(rule.timed[:1], 0.02, protocols[0]).needed(turn.confirming)[0]


def test_a_limit_of_size_alone_is_timed_but_not_repeated(judged):
    turn, _ = judged(["1MB"], 0.7)
    assert turn.result.verdict == "held" and turn.result.measured.sessions == 1
    turn, _ = judged(["0.0005MB", "1ms"], 0.7)
    assert turn.result.verdict == "missed" and not turn.confirming
