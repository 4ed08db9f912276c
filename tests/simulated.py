"""A device with known latencies: real ONNX Runtime computes the outputs, a formula gives the time."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nagsdk.device.backend import Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.graph.ir import Conv
from nagsdk.pipeline import target
from nagsdk.plugin import host as plugin
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend


class InThisProcess(Session):
    """Computes without a worker process, whose start would take most of the time of a test."""

    def __init__(self):
        self.files = {}

    def load(self, compiled: Path) -> int:
        self.files[len(self.files)] = compiled
        return len(self.files) - 1

    def unload(self, handle):
        pass

    def time(self, handle, warmup, runs, timeout_s):
        raise NotImplementedError

    def infer(self, handle, images):
        from nagsdk_onnxruntime.settings import CPU
        from nagsdk_onnxruntime.worker import OnnxRuntimeWorker

        does = OnnxRuntimeWorker(1, CPU, spinning=False).handlers
        loaded, _ = does["load"]({"path": str(self.files[handle])}, b"")
        body = np.ascontiguousarray(images, np.float32).tobytes()
        answer, logits = does["infer"]({**loaded, "shape": list(images.shape)}, body)
        return np.frombuffer(logits, np.float32).reshape(answer["shape"])

    def close(self):
        self.files = None  # further calls raise


class SimulatedSession(Session):
    def __init__(self, real, backend):
        self.real, self.backend, self.times = real, backend, {}
        self.rng = np.random.default_rng(backend.sessions)

    def load(self, compiled: Path) -> int:
        handle = self.real.load(compiled)
        # A deployed file has left its formula behind: it computes, and takes next to no time.
        told = compiled.with_suffix(".ms")
        self.times[handle] = float(told.read_text()) if told.is_file() else 1e-3
        return handle

    def unload(self, handle):
        self.real.unload(handle)

    def time(self, handle, warmup, runs, timeout_s):
        self.backend.bursts += 1
        ms = self.backend.world(self.times[handle]) * np.exp(self.rng.normal(0, 0.003, runs))
        return Burst(tuple(ms.tolist()), tuple(ms.tolist()))

    def infer(self, handle, images):
        return self.real.infer(handle, images)

    def close(self):
        self.real.close()


class SimulatedBackend(OnnxRuntimeBackend):
    """Milliseconds are 0.05 + MACs of the convolutions / 2·10⁶, passed through `world`."""

    id, title = "simulated", "A device whose latencies are known"

    def __init__(self, world=lambda ms: ms, present=True):
        self.world, self.present = world, present
        self.sessions = self.bursts = 0

    def presence(self, device):
        return Presence(
            self.present, "" if self.present else "It is not plugged in.", {"runtime": "simulated"}, "simulated"
        )

    def export(self, graph, path, device, images=None):
        super().export(graph, path, device, images)
        macs = sum(n.weight.size * np.prod(graph.shapes[n.name][2:]) for n in graph.nodes if isinstance(n, Conv))
        path.with_suffix(".ms").write_text(str(0.05 + float(macs) / 2e6))

    def open(self, device):
        self.sessions += 1
        return SimulatedSession(self.computing(device), self)

    def computing(self, device):
        """Opens the session that computes the outputs."""
        assert self.present
        return InThisProcess()


def host_of(backend, set_to):
    """A host of plugins that has one device, `board`; its measurements wait for nothing.

    `set_to` sets an attribute of a module, as that of the fixture `monkeypatch` does.
    """
    backends, devices = plugin.Registry("backend", plugin.Backend), plugin.Registry("device", Device)
    backends.add(backend)
    devices.add(Device("board", "A board", "simulated"))
    for name in ("PROTOCOL", "GLANCE"):
        set_to(target, name, replace(getattr(target, name), spread_s=0, patience_s=0))
    return plugin.Host((), backends, devices)
