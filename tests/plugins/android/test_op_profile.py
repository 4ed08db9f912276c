import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.device.layer_times import LayerTime
from nagsdk.errors import MeasurementError
from nagsdk_android.op_profile import parse_profile

HEAD = "[node type]\t[start]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"
NEW_HEAD = "[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"


def printed(head, rows, prefix=""):
    table = [f"{prefix}============================== Run Order ==============================", f"{prefix}\t {head}"]
    other = ["", "============================== Top by Computation Time ==============================", f"\t{head}"]
    lines = [*table, *(f"{prefix}\t {row}" for row in rows), *other, *(f"\t{row}" for row in reversed(rows)), ""]
    start = "Profiling Info for Benchmark Initialization:\n" + "\n".join(
        ["== Run Order ==", f"\t{head}", "\tModifyGraphWithDelegate" + "\t1.0" * (head.count("\t") - 1) + "\tx/0", ""]
    )
    return f"{start}\n\nOperator-wise Profiling Info for Regular Benchmark Runs:\n" + "\n".join(lines)


def test_the_profile_of_the_timed_runs_is_read_in_the_order_of_the_runs():
    rows = [
        "CONV_2D\t0.066\t87.754\t60.957\t2.066%\t2.066%\t0.000\t1\t[a/b, c/d]:0",
        "ADD\t61.033\t53.628\t4.870\t1.691%\t3.757%\t0.000\t1\t[sum]:1",
    ]
    expected = [LayerTime("[a/b, c/d]:0", "CONV_2D", 60.957), LayerTime("[sum]:1", "ADD", 4.87)]
    assert parse_profile(printed(HEAD, rows)) == expected
    assert parse_profile(printed(HEAD, rows, "INFO: ")) == expected
    new = ["Convolution (NHWC, F32) IGEMM\t0.1\t0.25\t2.1%\t2.1%\t0.000\t1\tDelegate/Convolution (NHWC, F32) IGEMM:0"]
    name = "Convolution (NHWC, F32) IGEMM"
    assert parse_profile(printed(NEW_HEAD, new)) == [LayerTime(f"Delegate/{name}:0", name, 0.25)]


@pytest.mark.parametrize("text", ["", "Operator-wise Profiling Info for Regular Benchmark Runs:\n", printed(HEAD, [])])
def test_a_tool_without_a_profile_is_an_error(text):
    with pytest.raises(MeasurementError, match="profile"):
        parse_profile(text)


@given(st.text(max_size=200), st.lists(st.text("0123456789.\t[]:aN%", max_size=40), max_size=4))
def test_whatever_is_printed_gives_times_or_an_error(text, rows):
    for content in (text, printed(HEAD, rows), printed(text, rows)):
        with contextlib.suppress(MeasurementError):
            assert all(time.ms >= 0 for time in parse_profile(content))
