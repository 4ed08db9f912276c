import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import MeasurementError
from nagsdk_android.tool_output import Counts, parse


@pytest.fixture(scope="session")
def samples(shared):
    return {
        path.name[:2]: path.read_text("utf-8").partition("--- verbatim below ---\n")[2]
        for path in (shared / "samples").glob("*.txt")
    }


@pytest.mark.parametrize(
    ("sample", "count", "first", "last", "mean", "init", "first_ms", "peak", "p95"),
    [
        ("01", 50, 2990275, 2913402, 2.95034e6, 17.187, 3512.391, 46.0859, None),
        ("02", 50, 249042, 250889, 249684, 16.242, 360.262, 138.809, None),
        ("05", 50, 32891, 33978, 33209.4, 0.855, 49.06, 12.8672, None),
        ("06", 74, 14850, 13315, 13520.2, 12.75, 14.744, None, None),
        ("07", 50, 119212, 118055, 119375, 870.557, 130.565, None, None),
        ("08", 15, 66753, 66800, 66767.6, 9.933, 127.425, None, None),
        ("10", 2112, 463, 459, 464.545, 4.478, 1.03, None, 478),
    ],
)
def test_every_format_of_the_tools_output_is_read(samples, sample, count, first, last, mean, init, first_ms, peak, p95):
    report = parse(samples[sample])
    assert (report.runs.count, report.runs.first, report.runs.last, report.runs.mean) == (count, first, last, mean)
    assert (report.init_ms, report.peak_mb, report.runs.p95) == (init, peak, p95)
    assert report.first_ms == pytest.approx(first_ms)


LITERT = (Path(__file__).parents[2] / "fuzz/samples/tool_litert_2.txt").read_text("utf-8")


def test_the_block_of_litert_2_is_read():
    report = parse(LITERT)
    runs = report.runs
    assert (runs.count, runs.p5, runs.median, runs.p95) == (200, 495, 505, 560)
    assert (report.init_ms, report.first_ms, report.peak_mb) == (2.25, 0.98, 27.5)
    assert "60 of 64" in report.fallback("gpu")
    assert parse(LITERT.replace("60 out of 64", "64 out of 64")).fallback("gpu") == ""


def test_equal_runs_are_read():
    text = GOOD.format(log_line="").replace("503.333", "500")
    equal = text.replace("count=3 first=500 curr=520 min=490 max=520 avg=500 std=12", "count=3 curr=500(all same)")
    assert equal != text and parse(equal).runs.each() == (500, 500, 500)
    percentiles = equal.replace("(all same)", " (all same) p5=500 median=500 p95=500")
    assert parse(percentiles).runs.p95 == 500


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_only_the_timed_block_counts(data):
    """What looks like statistics elsewhere, such as in a profile of operators, changes nothing."""
    lines = LITERT.splitlines(keepends=True)
    strays = [
        "count=9 first=1 curr=1 min=1 max=1 avg=1 std=0\n",
        "INFO: count=1 curr=7\n",
        "count=50 curr=3(all same)\n",
    ]
    announced = next(place for place, line in enumerate(lines) if "Running benchmark" in line)
    ended = next(place for place, line in enumerate(lines) if "Inference (avg)" in line)
    for stray in data.draw(st.lists(st.sampled_from(strays), max_size=5)):
        after = [place + 1 for place, line in enumerate(lines) if "p95=" in line]
        place = data.draw(st.sampled_from([0, announced, ended + 1, len(lines), *after]))
        lines.insert(place, stray)
        announced += place <= announced
        ended += place <= ended
    assert parse("".join(lines)).runs == parse(LITERT).runs


def test_a_delegate_that_failed_is_named(samples):
    with pytest.raises(MeasurementError, match="failed") as caught:
        parse(samples["03"])
    assert "NNAPI" in caught.value.message or "prepare" in caught.value.message


@pytest.mark.parametrize("sample", ["04", "11"])
def test_a_profile_alone_and_the_output_of_another_program_are_refused(samples, sample):
    with pytest.raises(MeasurementError, match="incomplete"):
        parse(samples[sample])


def test_the_shares_of_delegates_are_read(samples):
    assert parse(samples["07"]).fallback("gpu") == ""
    assert parse(samples["10"]).fallback("xnnpack") == ""
    assert "does not say" in parse(samples["10"]).fallback("gpu")
    assert "does not say" in parse(samples["08"]).fallback("xnnpack")


GOOD = """INFO: STARTING!
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
{log_line}
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=1 curr=900

INFO: Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
INFO: count=3 first=500 curr=520 min=490 max=520 avg=503.333 std=12

INFO: Inference timings in us: Init: 21000, First inference: 900, Warmup (avg): 900, Inference (avg): 503.333
"""


@pytest.mark.parametrize(
    ("log_line", "delegate", "wrong"),
    [
        (
            "Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.",
            "xnnpack",
            "",
        ),
        (
            "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.",
            "gpu",
            "only a part",
        ),
        (
            "Though GPU delegate is explicitly applied, the model graph will be only partially executed by the "
            "delegate w/ 2 delegate kernels.",
            "gpu",
            "only a part",
        ),
        (
            "INFO: Replacing 60 out of 108 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions.",
            "gpu",
            "60 of 108",
        ),
        (
            "VERBOSE: Replacing 108 out of 108 node(s) with delegate (TfLiteXNNPackDelegate) node, "
            "yielding 1 partitions.",
            "xnnpack",
            "",
        ),
        ("", "gpu", "does not say"),
    ],
)
def test_a_silent_fallback_is_noticed(log_line, delegate, wrong):
    report = parse(GOOD.format(log_line=log_line))
    assert wrong in report.fallback(delegate) and bool(report.fallback(delegate)) == bool(wrong)


def test_up_to_three_runs_are_known_individually():
    assert parse(GOOD.format(log_line="")).runs.each() == (500, 490, 520)
    assert Counts(2, 7, 9, 7, 9, 8).each() == (7, 9)
    assert Counts(1, 7, 7, 7, 7, 7).each() == (7,)
    assert Counts(4, 7, 9, 7, 9, 8).each() is None


@given(st.lists(st.integers(1, 10**8), min_size=3, max_size=3))
def test_the_middle_run_follows_from_the_mean(times):
    mean = float(f"{sum(times) / 3:.6g}")
    first, middle, last = Counts(3, times[0], times[2], min(times), max(times), mean).each()
    assert (first, last) == (times[0], times[2])
    assert middle == pytest.approx(times[1], abs=0.5 + 2e-5 * sum(times))
    assert min(times) <= middle <= max(times)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("INFO: Inference timings", "INFO: Interference"),
        ("Inference (avg): 503.333", "Inference (avg): 703.333"),
        ("min=490", "min=510"),
        ("avg=503.333", "avg=1e999"),
        ("avg=503.333", "avg=5.0.3"),
        ("avg=503.333", "avg=nan"),
        ("avg=503.333", "avg=inf"),
        ("avg=503.333", f"avg={'5' * 5000}"),
        ("first=500 curr=520 min=490 max=520 avg=503.333", "first=1e300 curr=1e300 min=1e300 max=1e300 avg=1e300"),
        ("Inference (avg): 503.333", f"Inference (avg): 503.333{'0' * 5000}"),
        ("count=3", f"count={'3' * 5000}"),
        ("first=500", "first=-500"),
        ("INFO: count=3 first=500 curr=520 min=490 max=520 avg=503.333 std=12\n", ""),
        ("count=3 first=500 curr=520 min=490 max=520 avg=503.333 std=12", "count=3 curr=520"),
        ("INFO: count=3", "\tTimings (microseconds): count=3"),
    ],
)
def test_an_incomplete_or_garbled_output_is_refused(old, new):
    text = GOOD.format(log_line="")
    assert old in text
    with pytest.raises(MeasurementError) as caught:
        parse(text.replace(old, new))
    assert caught.value.next_step


@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        " ",
        "[",
        "1",
        "Inference (avg): ",
        "no stats: 1",
        "Replacing 1 out of 1 node(s) with delegate (a",
        "count=1 curr=1\n",
        "xnnpack executed by the delegate\n",
    ],
)
@pytest.mark.parametrize(
    "start", ["", "Inference timings in us: ", "Average inference timings in us: ", "count=1 curr="]
)
def test_no_output_takes_long_to_read(start, piece):
    """With patterns that take quadratic time, these would take minutes."""
    with pytest.raises(MeasurementError):
        parse(start + piece * (10**6 // len(piece)))


@pytest.mark.parametrize("end", range(0, len(GOOD), 37))
def test_an_output_that_is_cut_off_anywhere_is_refused(end):
    text = GOOD.format(log_line="")
    cut = text[: min(end, text.index("Inference (avg): ") + 10)]
    with pytest.raises(MeasurementError):
        parse(cut)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_garbage_gives_an_error_or_a_sane_reading(data):
    pieces = [
        *GOOD.splitlines(keepends=True),
        "count=",
        "avg=1e308 ",
        "INFO: ",
        "\x00",
        "Inference (avg): 9 ms\n",
        "curr=0.0.0\n",
        "²",
        "count=99999999999 curr=1\n",
    ]
    text = "".join(data.draw(st.lists(st.one_of(st.sampled_from(pieces), st.text(max_size=20)), max_size=25)))
    try:
        runs = parse(text).runs
    except MeasurementError as error:
        assert error.message and error.next_step
        return
    assert runs.count >= 1 and all(
        math.isfinite(v) and v > 0 for v in (runs.first, runs.last, runs.least, runs.most, runs.mean)
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_digit_gives_an_error_or_a_consistent_reading(data):
    """A changed digit either contradicts the rest and is an error, or the reading stays consistent with itself."""
    text = GOOD.format(log_line="")
    places = [m.start() for m in re.finditer(r"\d", text)]
    place = data.draw(st.sampled_from(places))
    changed = text[:place] + data.draw(st.sampled_from("0123456789.-e")) + text[place + 1 :]
    try:
        runs = parse(changed).runs
    except MeasurementError:
        return
    assert runs.least <= runs.first <= runs.most and runs.least <= runs.last <= runs.most
    assert all(runs.least <= t <= runs.most for t in runs.each() or ())
