"""A session with ONNX Runtime in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter, host_meter
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceError
from nagsdk_onnxruntime.settings import CPU, OnnxRuntimeSettings


class OnnxRuntimeSession(ProcessSession):
    """Runs networks with ONNX Runtime in a worker process.

    Args:
        settings: Settings of the worker.

    Raises:
        DeviceUnavailableError: The runtime does not start, or does not offer the provider.
    """

    runtime = "ONNX Runtime"
    worker = "nagsdk_onnxruntime.worker"
    remedy = "Try `python -c 'import onnxruntime'`, and reinstall ONNX Runtime if that fails."

    def __init__(self, settings: OnnxRuntimeSettings) -> None:
        self._provider = settings.provider
        super().__init__(asdict(settings), {"OMP_NUM_THREADS": str(settings.threads)})

    def load(self, compiled: Path) -> int:
        """Loads an ONNX file; if ONNX Runtime falls back to another provider, that is an error."""
        answer = self._load(compiled)
        if answer["providers"][0] != self._provider:
            raise DeviceError(
                f"ONNX Runtime fell back from {self._provider} to {answer['providers'][0]}.",
                "Install the libraries that this provider needs, or choose another provider for the device.",
            )
        return int(answer["handle"])

    def meter(self) -> Meter:
        """Reads the energy counters of this machine's processor; other providers have meters that are not known."""
        return host_meter() if self._provider == CPU else super().meter()

    def layer_times(self, compiled: Path, runs: int, timeout_s: float) -> Sequence[LayerTime]:
        """Profiles a file in the worker."""
        return self._operators(compiled, runs, timeout_s)
