"""Reads the profile of operators that TFLite's benchmark_model prints with --enable_op_profiling=true."""

from __future__ import annotations

import re

from nagsdk.device.layer_times import LayerTime
from nagsdk.errors import MeasurementError

_RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs"
_ORDER = re.compile(r"=+ Run Order =+")
_END = re.compile(r"=+ .{1,100} =+")
_PREFIX = re.compile(r"^(?:(?:INFO|WARNING): )?(?:\[[^\]]{0,200}\] )?(?=[\s=]|Operator)")
_TYPE, _MEAN, _NAME = "[node type]", "[avg ms]", "[Name]"
_MOST_OPERATORS = 10_000


def parse_profile(text: str) -> list[LayerTime]:
    """The operators of the timed runs, in the order in which they ran.

    Args:
        text: What the tool printed.

    Raises:
        MeasurementError: There is no complete profile in it.
    """
    _, found, part = text.partition(_RUNS)
    columns: list[str] = []
    times: list[LayerTime] = []
    inside = False
    for line in part.splitlines() if found else ():
        line = _PREFIX.sub("", line.rstrip(), count=1)
        if _ORDER.search(line):
            inside = True
        elif inside and (_END.search(line) or not line.strip()):
            if times:
                break
        elif inside and _MEAN in line:
            columns = [cell.strip() for cell in line.split("\t") if cell.strip()]
        elif inside and columns:
            cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
            known = dict(zip(columns, cells, strict=False))
            try:
                times.append(LayerTime(known.get(_NAME, ""), known[_TYPE], float(known[_MEAN])))
            except (KeyError, ValueError) as error:
                raise _incomplete(line) from error
    if not 0 < len(times) <= _MOST_OPERATORS or not all(0 <= time.ms < 1e9 for time in times):
        raise _incomplete("no operators")
    return times


def _incomplete(what: str) -> MeasurementError:
    return MeasurementError(
        f"The profile of operators that benchmark_model printed cannot be read: {what[:200]}",
        "Install a newer benchmark_model: nagsdk android setup.",
    )
