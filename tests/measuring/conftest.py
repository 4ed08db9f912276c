"""A simulated device whose speed the test decides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.errors import DeviceError


@dataclass
class FakeSession(Session):
    """Runs networks whose files hold their latency in ms; `speed(clock)` is the factor by which the machine is slower.

    The clock counts the milliseconds of the timed runs.
    """

    speed: Callable[[float], float] = lambda clock: 1.0
    stolen: Callable[[float], float] = lambda clock: 1.0
    noise: float = 0.0
    clock: float = 0.0
    loaded: dict[int, tuple[str, float]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    most_loaded: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def load(self, compiled: Path) -> int:
        try:
            latency = float(compiled.read_text().split()[0])
        except (OSError, ValueError) as error:
            raise DeviceError(str(error), "Export it again.") from error
        handle = len(self.log) + 1
        self.log.append(f"load {compiled.stem}")
        self.loaded[handle] = (compiled.stem, latency)
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        return handle

    def unload(self, handle: int) -> None:
        del self.loaded[handle]

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        name, latency = self.loaded[handle]
        self.log.append(name)
        cpu, wall = [], []
        for _ in range(warmup + runs):
            cpu.append(latency * self.speed(self.clock) * float(np.exp(self.noise * self.rng.standard_normal())))
            wall.append(cpu[-1] * self.stolen(self.clock))
            self.clock += wall[-1]
        return Burst(tuple(wall[warmup:]), tuple(cpu[warmup:]))

    def infer(self, handle: int, images: Tensor) -> Tensor:
        return np.zeros((len(images), 1), np.float32)

    def close(self) -> None:
        self.loaded.clear()


@pytest.fixture
def networks(tmp_path) -> Callable[..., dict[str, Path]]:
    """Returns a function that writes one file for each network with its latency."""

    def make(**latencies: float) -> dict[str, Path]:
        paths = {name: tmp_path / f"{name}.net" for name in latencies}
        for name, path in paths.items():
            path.write_text(f"{latencies[name]}")
        return paths

    return make


@pytest.fixture
def fake_session() -> type[FakeSession]:
    return FakeSession
