"""Reads what TFLite's benchmark_model prints, in every output format that it has had since 2019."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nagsdk.errors import MeasurementError
from nagsdk_android.settings import DELEGATES

# Every repetition is bounded, because a phone may print anything: no text takes long to read.
_NUMBER = r"([0-9.]{1,30}(?:e[+-]?[0-9]{1,3})?)(?![0-9.e])"
# No time in microseconds and no memory in MB is as large as this; sums of such numbers are still finite.
_TOO_LARGE = 1e15
# Equal runs are printed once, with a remark. Tools since LiteRT 2 add percentiles.
_COUNT = re.compile(
    rf"count=([0-9]{{1,9}})(?: first={_NUMBER})? curr={_NUMBER}"
    rf"(?: min={_NUMBER} max={_NUMBER} avg={_NUMBER} std={_NUMBER})?"
    rf"(?: ?\((all same)\))?(?: p5={_NUMBER} median={_NUMBER} p95={_NUMBER})?(?: .*)?"
)
# Prefix that the log writes before a line: `INFO: `, in newer tools followed by a source line in brackets.
_PREFIX = re.compile(r"^(?:(?:INFO|WARNING|ERROR|VERBOSE): )?(?:\[[^\]]{0,200}\] )?")
_STAGE = "Running benchmark for at least"
_SUMMARIES = (
    (re.compile(rf"Inference timings in us: .{{0,400}}Inference \(avg\): {_NUMBER}"), 1.0),
    (re.compile(rf"Average inference timings in us: .{{0,400}}no stats: {_NUMBER}"), 1.0),
    (re.compile(rf"Inference \(avg\):\s{{1,40}}{_NUMBER} ms"), 1e3),
)
# In the lines of all tools, and in the block of those since LiteRT 2; the first pattern that is found counts.
_INITS = (
    (re.compile(rf"Initialized session in {_NUMBER}ms"), 1.0),
    (re.compile(rf"Inference timings in us: Init: {_NUMBER}"), 1e-3),
    (re.compile(rf"Model initialization:\s{{1,40}}{_NUMBER} ms"), 1.0),
)
_FIRSTS = (
    (re.compile(rf"Inference timings in us: .{{0,100}}First inference: {_NUMBER}"), 1e-3),
    (re.compile(rf"(?:Warmup \(first\)|First inference):\s{{1,40}}{_NUMBER} ms"), 1.0),
)
# What the tool calls MB are 2²⁰ bytes.
_MEMORY = (
    re.compile(
        r"(?:Peak memory footprint|Memory footprint delta from the start of the tool) \(MB\): "
        rf"init=\s{{0,40}}{_NUMBER} overall={_NUMBER}"
    ),
    re.compile(rf"(Overall) footprint:\s{{1,40}}{_NUMBER} MB"),
)
# What the delegates call themselves; the GPU accelerator of LiteRT 2 does not say that it is one.
_CALLED = {"xnnpack": ("xnnpack",), "gpu": ("gpu", "litert_cl", "litert_gl")}
_REPLACED = re.compile(r"Replacing ([0-9]{1,9}) out of ([0-9]{1,9}) node\(s\) with delegate \(([A-Za-z0-9_]{1,100})\)")
_FAILED = ("Benchmarking failed.", "Failed to apply", "failed to prepare", "ERROR: Failed")
# The tool prints averages with six digits, which is a relative error of at most this.
_DIGITS = 1e-5
_NEXT_STEP = (
    "Check that the tool on the phone is TFLite's benchmark_model and that it runs there when started by hand; "
    "`nagsdk android setup` replaces it."
)


@dataclass(frozen=True)
class Counts:
    """One line of statistics of the tool.

    Attributes:
        count: Number of runs.
        first: Latency of the first run in microseconds.
        last: Latency of the last run in microseconds.
        least: Shortest latency in microseconds.
        most: Longest latency in microseconds.
        mean: Mean latency in microseconds.
        p5: 5th percentile in microseconds; None if the tool did not report percentiles.
        median: Median in microseconds, likewise.
        p95: 95th percentile in microseconds, likewise.
    """

    count: int
    first: float
    last: float
    least: float
    most: float
    mean: float
    p5: float | None = None
    median: float | None = None
    p95: float | None = None

    def each(self) -> tuple[float, ...] | None:
        """The latency of every single run, which is known for up to three runs.

        Of three runs, the middle one follows from the first, the last and the mean.

        Returns:
            Microseconds in the order of the runs; None for more than three runs.
        """
        if self.least == self.most:
            return (self.last,) * self.count
        if self.count == 2:
            return (self.first, self.last)
        if self.count != 3:
            return None
        middle = round(3 * self.mean - self.first - self.last)  # the tool counts whole microseconds
        return (self.first, min(max(middle, self.least), self.most), self.last)


@dataclass(frozen=True)
class Report:
    """What the tool reported in one call.

    Attributes:
        runs: Statistics of the timed runs.
        init_ms: Milliseconds that loading took; None if the tool did not report them.
        first_ms: Milliseconds of the first inference; None if the tool did not report them.
        peak_mb: Memory that the tool used, in MB as it counts them (2²⁰ bytes); None if the tool did not report it.
        replaced: For each delegate that replaced nodes: its name in lower case, the number of nodes that it replaced
            and the number of all nodes.
        wholly: Delegates that run the whole network, according to the tool.
        partly: Delegates that run only a part of the network or nothing, according to the tool.
    """

    runs: Counts
    init_ms: float | None
    first_ms: float | None
    peak_mb: float | None
    replaced: tuple[tuple[str, int, int], ...]
    wholly: frozenset[str]
    partly: frozenset[str]

    def fallback(self, delegate: str) -> str:
        """Says why a delegate does not run the whole network; empty if it does.

        Args:
            delegate: ``xnnpack`` or ``gpu``.
        """
        if delegate in self.partly:
            return f"the {delegate} delegate runs only a part of the network, or nothing"
        taken = [(some, all_) for name, some, all_ in self.replaced if _is(name, delegate)]
        if any(some < all_ for some, all_ in taken):
            return f"the {delegate} delegate runs {' + '.join(f'{some} of {all_}' for some, all_ in taken)} operators"
        return (
            ""
            if taken or delegate in self.wholly
            else f"the tool does not say that the {delegate} delegate runs anything"
        )


def _is(name: str, delegate: str) -> bool:
    return any(called in name for called in _CALLED[delegate])


def parse(text: str) -> Report:
    """Reads the output of one call.

    Lines of the operator profile look like timings, so only what stands at the start of a line counts, and of the
    statistics only the first line after the announcement of each stage: warm-up, then the timed runs. Without
    announcements, which some tails of outputs lack, the last line before the summary counts. If the summary is missing,
    the output was cut off; if it contradicts the statistics, the output is garbled.

    Args:
        text: Everything that the tool printed, including standard error.

    Raises:
        MeasurementError: The tool failed, or the text is not a complete output of the tool.
    """
    lines = [_PREFIX.sub("", line, count=1) for line in map(str.strip, text.splitlines()) if line]
    counts: list[Counts] = []
    stages, peak = 0, None
    summaries: list[tuple[float, float]] = []
    replaced: list[tuple[str, int, int]] = []
    wholly: set[str] = set()
    partly: set[str] = set()
    for line in lines:
        if line.startswith(_STAGE):
            counts = counts if stages else []
            stages += 1
        elif not summaries and (len(counts) < stages or not stages) and (match := _COUNT.fullmatch(line)):
            counts.append(_counts(match))
        for pattern, factor in _SUMMARIES:
            if match := pattern.match(line):
                # Summaries in milliseconds have two decimals only, so they may be wrong by 5 microseconds.
                summaries.append((factor * _float(match[1]), 5.1 if factor > 1 else 0.0))
        if match := next(filter(None, (pattern.match(line) for pattern in _MEMORY)), None):
            peak = _float(match[2])
        if match := _REPLACED.search(line):
            replaced.append((match[3].lower(), int(match[1]), int(match[2])))
        for name in DELEGATES:
            if name in line.lower() and "executed by the delegate" in line:
                (wholly if "completely executed by the delegate" in line else partly).add(name)
    failures = [line for line in lines if any(mark in line for mark in _FAILED)]
    if failures and not summaries:
        raise MeasurementError(f"benchmark_model failed: {failures[0][:200]}", _NEXT_STEP)
    if not counts or not summaries or stages > len(counts):
        end = next((line for line in reversed(lines) if line), "nothing")
        raise MeasurementError(f"The output of benchmark_model is incomplete; it ends with: {end[:200]}", _NEXT_STEP)
    runs = counts[-1]
    for mean, slack in summaries:
        if abs(runs.mean - mean) > slack + 2 * _DIGITS * mean:
            raise MeasurementError(
                f"benchmark_model reports {mean:g} µs and {runs.mean:g} µs as the mean of the same runs.", _NEXT_STEP
            )
    init, first = _earliest(_INITS, lines), _earliest(_FIRSTS, lines)
    if first is None and len(counts) == stages == 2:
        first = counts[0].first / 1e3  # of the warm-up
    return Report(runs, init, first, peak, tuple(replaced), frozenset(wholly), frozenset(partly))


def _earliest(patterns: Sequence[tuple[re.Pattern[str], float]], lines: Sequence[str]) -> float | None:
    """Milliseconds by the first of some patterns that any line has; None if no line has one."""
    for pattern, factor in patterns:
        for line in lines:
            if match := pattern.match(line):
                return factor * _float(match[1])
    return None


def _counts(match: re.Match[str]) -> Counts:
    count, last = int(match[1]), _float(match[3])
    percentiles = [None if match[place] is None else _float(match[place]) for place in (9, 10, 11)]
    if match[4] is None:
        if count != 1 and match[8] is None:
            raise MeasurementError(
                f"benchmark_model printed no statistics for {count} runs: {match[0][:200]}", _NEXT_STEP
            )
        first = least = most = mean = last
    else:
        first, least, most, mean = (_float(value) for value in (match[2] or match[3], match[4], match[5], match[6]))
    near = 1 + 2 * _DIGITS
    known = [value for value in percentiles if value is not None]
    if (
        count < 1
        or not (0 < least <= first <= most and least <= last <= most)
        or not (least <= mean * near and mean <= most * near)
        or known != sorted(known)
        or any(not least <= value <= most for value in known)
    ):
        raise MeasurementError(f"benchmark_model printed impossible statistics: {match[0][:200]}", _NEXT_STEP)
    return Counts(count, first, last, least, most, mean, *percentiles)


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < _TOO_LARGE:
        raise MeasurementError(f"benchmark_model printed {text[:50]!r} where a number should be.", _NEXT_STEP)
    return value
