"""A GPU emulated on the processor, for workers that find this folder first on their path.

It tests the Python code for GPUs on machines without one: tensors that are sent to the GPU stay on the processor, a
captured graph is the list of operations that ran during the capture, and replaying it runs them again into the same
memory. It does not show what a GPU computes or how fast it is.
"""

import contextlib
import gc
import time
import weakref
from types import SimpleNamespace

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

UUID = "01234567-89ab-cdef-0123-456789abcdef"
NVML = {
    "nvmlInit": lambda: None,
    "nvmlDeviceGetHandleByIndex": lambda index: index,
    "nvmlDeviceGetCount": lambda: 1,
    "nvmlSystemGetDriverVersion": lambda: "580.1",
    "nvmlDeviceGetName": lambda handle: "Emulated GPU",
    "nvmlDeviceGetUUID": lambda handle: f"GPU-{UUID}",
    "nvmlDeviceGetMigMode": lambda handle: [0, 0],
    "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=8_000_000_000),
    "nvmlDeviceGetNumGpuCores": lambda handle: 1280,
    "nvmlDeviceGetCudaComputeCapability": lambda handle: [9, 0],
    "nvmlDeviceGetPowerManagementLimit": lambda handle: 70_000,
    "nvmlDeviceGetMaxClockInfo": lambda handle, clock: 1980,
    "nvmlDeviceGetClockInfo": lambda handle, clock: 1700,
    "nvmlDeviceGetTemperature": lambda handle, sensor: 40,
    "nvmlDeviceGetPowerUsage": lambda handle: 50_000,
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0,
}


class OnProcessor(TorchFunctionMode):
    """Keeps on the processor what is sent to a GPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        kwargs = {name: self.on_processor(value) for name, value in (kwargs or {}).items()}
        return func(*map(self.on_processor, args), **kwargs)

    @staticmethod
    def on_processor(value):
        return torch.device("cpu") if isinstance(value, torch.device) else value


class Lost(RuntimeError):
    """A graph reads memory that was freed."""


class Recorder(TorchDispatchMode):
    """Records the operations that run; like a CUDA graph, it keeps no tensor alive that was created before."""

    def __init__(self, operations):
        super().__init__()
        self.operations, self.own = operations, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, tree_map(self.reference, args), tree_map(self.reference, kwargs or {}), result))
        tree_map(lambda tensor: self.own.add(id(tensor)), result)
        return result

    def reference(self, value):
        return weakref.ref(value) if isinstance(value, torch.Tensor) and id(value) not in self.own else value


def alive(value):
    if isinstance(value, weakref.ref):
        value = value()
        if value is None:
            raise Lost("The graph's weights or images were freed.")
    return value


class CUDAGraph:
    def __init__(self):
        self.operations, self.fresh = [], True

    def replay(self):
        if self.fresh:
            gc.collect()  # tensors that only a reference cycle keeps alive may be freed at any time
        self.fresh = False
        with torch.no_grad():
            for func, args, kwargs, kept in self.operations:
                result = func(*tree_map(alive, args), **tree_map(alive, kwargs))
                if isinstance(kept, torch.Tensor) and result.data_ptr() != kept.data_ptr():
                    kept.copy_(result)


class Stream:
    """A stream without effect: operations run one after the other on all streams."""

    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        assert isinstance(other, Stream)


@contextlib.contextmanager
def graph(captured, pool=None, stream=None):
    with Recorder(captured.operations):
        yield


class Event:
    def __init__(self, enable_timing=False):
        assert enable_timing
        self.recorded, self.waited_for = 0, False

    def record(self):
        self.recorded = time.perf_counter_ns()

    def synchronize(self):
        self.waited_for = True

    def elapsed_time(self, end):
        assert end.waited_for
        return (end.recorded - self.recorded) / 1e6


CUDA = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "set_device": lambda device: None,
    "get_device_properties": lambda device: SimpleNamespace(uuid=UUID, L2_cache_size=1 << 20),
    "synchronize": lambda: None,
    "empty_cache": lambda: None,
    "reset_peak_memory_stats": lambda: None,
    "memory_allocated": lambda: 1_000_000,
    "max_memory_allocated": lambda: 3_000_000,
    "graph_pool_handle": lambda: (0, 1),
    "current_stream": Stream,
    "stream": contextlib.nullcontext,
    "graph": graph,
    "CUDAGraph": CUDAGraph,
    "Stream": Stream,
    "Event": Event,
}

if __name__ == "sitecustomize":
    import pynvml

    for module, emulated in ((pynvml, NVML), (torch.cuda, CUDA)):
        for name, function in emulated.items():
            assert hasattr(module, name), name
            setattr(module, name, function)
    OnProcessor().__enter__()
