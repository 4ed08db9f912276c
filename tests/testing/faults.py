"""Backends that each break one rule, derived from a working one."""

import shutil
import time
from dataclasses import replace

import numpy as np

from nagsdk.device.backend import Burst, Presence
from nagsdk.errors import DeviceError
from nagsdk.graph.ir import Conv, Graph
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

_OPEN = []


class Working(OnnxRuntimeBackend):
    def burst(self, burst):
        return burst

    def open(self, device):
        session = super().open(device)
        timed = session.time

        def time_(handle, warmup, runs, timeout_s):
            return self.burst(timed(handle, warmup, runs, timeout_s))

        session.time = time_
        return session


class ComputesSomethingElse(Working):
    def export(self, graph, path, device, images=None):
        first = next(n for n in graph.nodes if isinstance(n, Conv))
        nodes = tuple(replace(n, weight=n.weight * 1.01) if n is first else n for n in graph.nodes)
        super().export(Graph(graph.input_shape, nodes, graph.output), path, device, images)


class HidesItsRuntime(Working):
    def presence(self, device):
        return Presence(True, "", {"runtime": "fast"}, "x")


class FallsBackSilently(Working):
    def presence(self, device):
        return super().presence(replace(device, options=()))

    def open(self, device):
        return super().open(replace(device, options=()))


class TellsMeans(Working):
    def burst(self, burst):
        return Burst((float(np.mean(burst.wall_ms)),) * len(burst.wall_ms), burst.cpu_ms)


class Exaggerates(Working):
    def burst(self, burst):
        return Burst(tuple(1000 * t for t in burst.wall_ms))


class CountsAllThreads(Working):
    def burst(self, burst):
        return Burst(burst.wall_ms, tuple(2 * t + 1 for t in burst.wall_ms))


class CompilesWhileTimed(Working):
    def burst(self, burst):
        return Burst((burst.wall_ms[0] + 500, *burst.wall_ms[1:]), burst.cpu_ms)


class HasNoTimeOut(Working):
    def open(self, device):
        session = super().open(device)
        timed = session.time
        session.time = lambda handle, warmup, runs, timeout_s: timed(handle, warmup, min(runs, 5), 60)
        return session


class SwallowsCtrlC(Working):
    def open(self, device):
        session = super().open(device)
        timed = session.time

        def time_(handle, warmup, runs, timeout_s):
            try:
                return timed(handle, warmup, runs, timeout_s)
            except KeyboardInterrupt:
                return Burst((1.0,) * 3)

        session.time = time_
        return session


class RaisesWhatItLikes(Working):
    def open(self, device):
        session = super().open(device)
        load = session.load

        def load_(path):
            try:
                return load(path)
            except DeviceError as error:
                raise ValueError("bad file") from error

        session.load = load_
        return session


class SkipsWhatItDoesNotKnow(Working):
    def export(self, graph, path, device, images=None):
        if graph.output == "unheard":
            path.write_bytes(b"")
        else:
            super().export(graph, path, device, images)


class CompilesIntoOneFile(Working):
    def compile(self, artifact, device, folder):
        shutil.copyfile(artifact, folder / "network.onnx")
        return folder / "network.onnx"


class AnswersTheSameAlways(Working):
    def open(self, device):
        session = super().open(device)
        infer = session.infer
        session.infer = lambda handle, images: infer(handle, np.zeros_like(images))
        return session


class SharesItsSessions(Working):
    def open(self, device):
        session = super().open(device)
        _OPEN.append(session)
        close = session.close

        def close_():
            for other in _OPEN:
                type(other).close(other)
            close()

        session.close = close_
        return session


class LivesAfterClose(Working):
    def open(self, device):
        session = super().open(device)
        session.close = lambda: None
        return session


class KnowsNoLayer(Working):
    def supports(self, layer, device):
        return False


class CompilesSlowly(Working):
    """Breaks no rule."""

    def compile(self, artifact, device, folder):
        time.sleep(0.4)
        return super().compile(artifact, device, folder)


class KnowsSmallKernelsOnly(Working):
    """Breaks no rule: it refuses what it does not support."""

    def supports(self, layer, device):
        return layer.kernel < 7

    def export(self, graph, path, device, images=None):
        from nagsdk.errors import UnsupportedLayerError

        for node in graph.nodes:
            if isinstance(node, Conv) and max(node.kernel) >= 7:
                raise UnsupportedLayerError(f"{node.name} has a kernel of 7.", "Use smaller ones.")
        super().export(graph, path, device, images)
