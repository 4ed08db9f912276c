"""What phones print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nagsdk.device.description import Device
from nagsdk_android.transport import Transport
from tests.fuzz import mutate
from tests.fuzz.formats import Formats, written

SAMPLES = Path(__file__).parent / "samples"
FORMATS = Formats()


def _use_tool_output(content: bytes, folder: Path) -> None:
    from nagsdk_android.tool_output import parse

    report = parse(content.decode("utf-8", "replace"))
    for delegate in ("xnnpack", "gpu"):
        report.fallback(delegate)
    json.dumps(
        [report.runs.each(), report.runs.mean, report.init_ms, report.first_ms, report.peak_mb, report.runs.p95],
        allow_nan=False,
    )


for _file in sorted(SAMPLES.glob("tool_*.txt")):
    FORMATS.add(f"phone: {_file.stem}", _file.read_bytes, mutate.damaged_bytes)(_use_tool_output)


@FORMATS.add("phone: state", (SAMPLES / "state.txt").read_bytes, mutate.damaged_bytes)
def _use_state(content: bytes, folder: Path) -> None:
    from nagsdk_android.state import Steadiness, parse

    state = parse(content.decode("utf-8", "replace"))
    _ = state.hot, state.throttled, state.capped(), Steadiness(state).ceiling(state)
    json.dumps(dict(state.to_properties()), allow_nan=False)


class _Scripted(Transport):
    """A phone that prints a text; ``@`` stands for the random word that the reader expects between values."""

    title = "a phone"

    def __init__(self, said: bytes) -> None:
        self.said = said

    def connect(self) -> None:
        pass

    def shell(self, command: str, silence_s: float) -> Iterator[bytes]:
        inner = re.search(r"echo ([0-9a-f]{24});", command)
        (end,) = re.findall(r"echo ([0-9a-f]{24}):", command)
        yield self.said.replace(b"@", inner[1].encode() if inner else b"")
        yield f"\n{end}:0\n".encode()

    def push(self, source: Path, target: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


@FORMATS.add(
    "phone: properties",
    lambda: b"@\nM1\n@\nMaker\n@\narm64-v8a\n@\n14\n@\na/b/c\n@\n123\n@\nSM1\n@\nboard\n@\nqcom\n@\n",
    mutate.damaged_bytes,
)
def _use_properties(content: bytes, folder: Path) -> None:
    from nagsdk_android.discovery import describe
    from nagsdk_android.settings import AndroidSettings

    facts = describe(_Scripted(content))
    json.dumps(facts)
    AndroidSettings.of(Device("phone", "", "android", options=(("model", "M1|Pixel*"),))).fits(facts["model"])


@FORMATS.add("phone: refusal", lambda: b"error: device 'X' not found (no permissions; see udev)", mutate.damaged_bytes)
def _use_refusal(content: bytes, folder: Path) -> None:
    from nagsdk_android.refusals import refusal

    error = refusal("a phone", content.decode("utf-8", "replace"))
    assert error.message and error.next_step


@FORMATS.add("phone: program", lambda: b"\x7fELF\2\1\1" + bytes(11) + b"\xb7\0" + bytes(40), mutate.damaged_bytes)
def _use_program(content: bytes, folder: Path) -> None:
    from nagsdk_android.tool import abi_of

    abi_of(written(folder, "benchmark_model", content))
