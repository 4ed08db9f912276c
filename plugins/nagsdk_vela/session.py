"""A session with Vela: its estimates in place of timings, and LiteRT for outputs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.errors import DeviceError
from nagsdk_litert.backend import HOST, LiteRtBackend
from nagsdk_vela.compiler import Figures, Vela
from nagsdk_vela.settings import VelaSettings

SUFFIX, COMPILED = ".tflite", ".vela.tflite"


class VelaSession(Session):
    """Reports what Vela estimates for networks; their outputs come from LiteRT, which runs the file before Vela.

    Args:
        settings: The accelerator and its system.
    """

    def __init__(self, settings: VelaSettings) -> None:
        self._vela = Vela(settings)
        self._litert: Session | None = None
        self._networks: dict[int, tuple[Path, Figures]] = {}
        self._runnable: dict[int, int] = {}
        self._loaded = 0

    def load(self, compiled: Path) -> int:
        """Compiles the file beside a compiled one again, because Vela reports its estimates only then."""
        source = compiled.with_name(compiled.name.removesuffix(COMPILED) + SUFFIX)
        if not compiled.name.endswith(COMPILED) or not source.is_file():
            raise DeviceError(f"There is no {source.name} beside {compiled.name}.", "Export the network again.")
        figures, content = self._vela.compile(source)
        if not compiled.is_file() or content != compiled.read_bytes():
            raise DeviceError(f"{compiled.name} is not what Vela makes of {source.name}.", "Export the network again.")
        self._loaded += 1
        self._networks[self._loaded] = source, figures
        return self._loaded

    def unload(self, handle: int) -> None:
        """Frees a network."""
        self._network(handle)
        del self._networks[handle]
        if handle in self._runnable and self._litert is not None:
            self._litert.unload(self._runnable.pop(handle))

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Returns the estimated time for every run, with the other figures as properties."""
        figures = asdict(self._network(handle)[1])
        return Burst((figures.pop("ms"),) * runs, (), figures)

    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs the file before Vela with LiteRT on this machine; both are meant to give the same integers."""
        source, _ = self._network(handle)
        if self._litert is None:
            self._litert = LiteRtBackend().open(HOST)
        if handle not in self._runnable:
            self._runnable[handle] = self._litert.load(source)
        return self._litert.infer(self._runnable[handle], images)

    def close(self) -> None:
        """Ends the worker processes."""
        self._networks.clear()
        self._vela.close()
        if self._litert is not None:
            self._litert.close()

    def _network(self, handle: int) -> tuple[Path, Figures]:
        if handle not in self._networks:
            raise DeviceError(f"There is no network with the handle {handle}.", "Load it again.")
        return self._networks[handle]
