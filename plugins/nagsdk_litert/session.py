"""A session with LiteRT in a worker process."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from nagsdk.device.meter import Meter, host_meter
from nagsdk.device.process import ProcessSession
from nagsdk_litert.settings import LiteRtSettings


class LiteRtSession(ProcessSession):
    """Runs networks with LiteRT in a worker process.

    Args:
        settings: Settings of the worker.

    Raises:
        DeviceUnavailableError: The runtime does not start.
    """

    runtime = "LiteRT"
    worker = "nagsdk_litert.worker"
    remedy = "Try `python -c 'from ai_edge_litert import interpreter'`, and reinstall ai-edge-litert if that fails."

    def __init__(self, settings: LiteRtSettings) -> None:
        super().__init__(asdict(settings), {"OMP_NUM_THREADS": str(settings.threads)})

    def load(self, compiled: Path) -> int:
        """Checks a TFLite file and loads it; without the check, the runtime would crash on an incomplete file."""
        from nagsdk.graph.lint import lint

        lint(compiled)
        return super().load(compiled)

    def meter(self) -> Meter:
        """Reads the energy counters of this machine's processor."""
        return host_meter()
