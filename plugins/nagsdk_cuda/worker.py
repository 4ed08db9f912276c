"""The worker process in which torch runs: each network has one static input, one captured CUDA graph and one output."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

from nagsdk.device.serve import Handler, Images, Message, in_batches, serve
from nagsdk_cuda.burst import Bursts
from nagsdk_cuda.nvml import Watch
from nagsdk_cuda.program import DTYPES
from nagsdk_cuda.settings import COMPILED

_CAPTURE_WARMUP = 3
_MEGA = 1e6
_SHAPE = "nagsdk.input_shape"


@dataclass
class Network:
    """A loaded program.

    Attributes:
        image: Input of the network, which is overwritten in place.
        run: Computes `output` from `image`.
        output: Returns the logits.
        module: The module that computes the logits. A captured graph reads the module's weights but does not keep them
            alive, so this reference does.
        peak_mb: Peak memory in MB that torch's allocator held on the GPU for this network, including its weights.
    """

    image: Tensor
    run: Callable[[], object]
    output: Callable[[], Tensor]
    module: object
    peak_mb: float = 0.0


class Worker:
    """Loads networks and answers requests about them.

    Args:
        torch_device: Device on which networks run.
        dtype: Number format of the networks' weights.
        captured: Whether networks are captured in CUDA graphs.
        flush_l2: Whether the L2 cache is overwritten before every timed run.
        watch: Reads the state of the GPU; None on a processor.
    """

    def __init__(
        self, torch_device: torch.device, dtype: torch.dtype, captured: bool, flush_l2: bool, watch: Watch | None
    ) -> None:
        self.torch_device, self.captured, self.watch = torch_device, captured, watch
        self.networks: dict[int, Network] = {}
        self.loaded = 0
        self.bursts = Bursts()
        if torch_device.type == "cuda":
            # All networks share one stream, because cuBLAS keeps a separate workspace for every stream that it used.
            # They also share one memory pool: a network writes its intermediate results before it reads them, so it may
            # overwrite those of another network.
            self.stream = torch.cuda.Stream(torch_device)  # type: ignore[no-untyped-call]
            self.pool = torch.cuda.graph_pool_handle()
            # This small network makes cuBLAS allocate its workspace now, so that it does not count as memory of the
            # first real network. It also keeps the pool in use, because a pool without a graph cannot be used again.
            first = (
                torch.nn.Linear(8, 8, device=torch_device, dtype=dtype),
                torch.ones(1, 8, device=torch_device, dtype=dtype),
            )
            self.first = self._captured(*first) if captured else self._eager(*first)
        self.flushed = None
        if flush_l2 and torch_device.type == "cuda":
            self.flushed = torch.empty(
                2 * torch.cuda.get_device_properties(torch_device).L2_cache_size, dtype=torch.int8, device=torch_device
            )

    def load(self, request: dict[str, Any], body: bytes) -> Message:
        """Loads a program, runs it a few times and captures it in a CUDA graph if the settings say so."""
        on_gpu = self.torch_device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if on_gpu else 0
        module: Callable[[Tensor], Tensor]
        if request["path"].endswith(COMPILED):
            # The package's own synchronisation between threads cannot be captured, so it is switched off.
            package = torch._inductor.aoti_load_package(request["path"], run_single_threaded=self.captured)
            module, shape = package, json.loads(package.loader.get_metadata()[_SHAPE])
        else:
            exported = torch.export.load(request["path"])
            module, shape = exported.module().to(self.torch_device), _input_shape(exported)
        image = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.torch_device)
        network = self._captured(module, image) if self.captured else self._eager(module, image)
        if on_gpu:
            torch.cuda.synchronize()
            network.peak_mb = (torch.cuda.max_memory_allocated() - before) / _MEGA
        self.loaded += 1
        self.networks[self.loaded] = network
        return {"handle": self.loaded}, b""

    def compile(self, request: dict[str, Any], body: bytes) -> Message:
        """Compiles a program with AOTInductor."""
        exported = torch.export.load(request["path"])
        exported.example_inputs = (torch.zeros(_input_shape(exported)),), {}
        if self.torch_device.type == "cuda":
            exported = move_to_device_pass(exported, str(self.torch_device))
        facts = {"aot_inductor.metadata": {_SHAPE: json.dumps(_input_shape(exported))}}
        torch._inductor.aoti_compile_and_package(exported, package_path=request["target"], inductor_configs=facts)
        return {}, b""

    def _eager(self, module: Callable[[Tensor], Tensor], image: Tensor) -> Network:
        results: list[Tensor] = [module(image)]

        def run() -> None:
            results[0] = module(image)

        return Network(image, run, lambda: results[0], module)

    def _captured(self, module: Callable[[Tensor], Tensor], image: Tensor) -> Network:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(_CAPTURE_WARMUP):
                module(image)
        torch.cuda.current_stream().wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            output = module(image)
        return Network(image, graph.replay, lambda: output, module)

    def unload(self, request: dict[str, Any], body: bytes) -> Message:
        """Frees a network."""
        del self.networks[request["handle"]]
        gc.collect()  # exported modules refer to themselves
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        return {}, b""

    def time(self, request: dict[str, Any], body: bytes) -> Message:
        """Times consecutive runs.

        On a GPU, runs are timed by CUDA events, and each run is waited for, so that its launch is included. On a
        processor, they are timed by the clock.
        """
        network = self.networks[request["handle"]]
        once = self._once_on_gpu if self.torch_device.type == "cuda" else self._once
        wall = self.bursts.take(lambda: once(network), request)
        state = {} if self.watch is None else {**self.watch.state(), "peak_memory_mb": network.peak_mb}
        return {"wall_ms": wall, "cpu_ms": [], "properties": state}, b""

    def _once(self, network: Network) -> float:
        start = time.perf_counter_ns()
        network.run()
        return (time.perf_counter_ns() - start) / 1e6

    def _once_on_gpu(self, network: Network) -> float:
        if self.flushed is not None:
            self.flushed.zero_()
            torch.cuda.synchronize()  # otherwise the launch would overlap with the flush and not be timed
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        network.run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def infer(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs the network on images and returns the logits."""
        network = self.networks[request["handle"]]

        def run(images: Images) -> Images:
            network.image.copy_(torch.from_numpy(images.copy()))
            network.run()
            logits: Images = network.output().cpu().numpy().astype(np.float32)
            return logits

        return in_batches(request, body, len(network.image), run)


def _input_shape(exported: torch.export.ExportedProgram) -> list[int]:
    (shape,) = [
        node.meta["val"].shape for node in exported.graph.nodes if node.name in exported.graph_signature.user_inputs
    ]
    return list(shape)


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker; refuses to start if torch cannot use the GPU, or if the driver names another GPU."""
    watch = None
    torch_device = torch.device(settings["accelerator"])
    if torch_device.type == "cuda":
        if not torch.cuda.is_available() or torch.cuda.device_count() <= settings["index"]:
            return {
                "refused": f"torch {torch.__version__} cannot use GPU {settings['index']}: "
                f"the number of GPUs that it sees is {torch.cuda.device_count()}.",
                "next_step": "Check that CUDA_VISIBLE_DEVICES does not hide the GPU, and that driver and torch are "
                "compatible.",
            }, {}
        torch_device = torch.device("cuda", settings["index"])
        torch.cuda.set_device(torch_device)
        uuid = str(torch.cuda.get_device_properties(torch_device).uuid)
        if settings["uuid"] and uuid not in settings["uuid"]:
            return {
                "refused": f"GPU {settings['index']} is {uuid} for torch but {settings['uuid']} for the driver.",
                "next_step": "Unset CUDA_VISIBLE_DEVICES, and choose the GPU with the device option `index`.",
            }, {}
        allow = settings["precision"] == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow
        # cuDNN shall choose the same algorithms each time; with a search by timing it might choose others in the next
        # process.
        torch.backends.cudnn.benchmark = False
        watch = Watch(settings["index"])
    torch.set_grad_enabled(False)
    torch.set_num_threads(settings["threads"])
    worker = Worker(
        torch_device, DTYPES[settings["precision"]], settings["runtime"] == "cuda-graph", settings["flush_l2"], watch
    )
    return {}, {
        "load": worker.load,
        "unload": worker.unload,
        "time": worker.time,
        "infer": worker.infer,
        "compile": worker.compile,
    }


if __name__ == "__main__":
    serve(start)
