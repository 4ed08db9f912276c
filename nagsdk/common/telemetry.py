"""Reports about its use that a runtime would send to its makers, and how they are switched off."""

from __future__ import annotations

import os

# ONNX Runtime, from 1.31 on, reports to Microsoft in every process that imports it, and stores an id of the device. It
# reads this variable once, when it is imported; calling `onnxruntime.disable_telemetry_events` is too late for its
# first report.
OFF = {"ORT_DISABLE_TELEMETRY": "1"}


def switch_off() -> None:
    """Switches the reports off in this process, where the user has not decided otherwise, and in its subprocesses."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
