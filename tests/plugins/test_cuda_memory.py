import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nagsdk.budget import Budget
from nagsdk.cost.metric_limits import value_of
from nagsdk.device.description import Device
from nagsdk.errors import UsageError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph.trace import trace
from nagsdk.plugin.host import host
from nagsdk.plugin.units import read_budget
from nagsdk.space.layer import LayerSpec
from nagsdk_cuda.memory import Memory
from nagsdk_cuda.program import write_program

METRIC = Memory()


class Allocations(TorchDispatchMode):
    """Counts the bytes of tensors that are alive at the same time, without those that existed before."""

    def __init__(self, before):
        super().__init__()
        self.before = {tensor.untyped_storage()._cdata for tensor in before}
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        storage = result.untyped_storage()
        if storage._cdata in self.before:
            return result
        count, size = self.alive.get(storage._cdata, (0, storage.nbytes()))
        self.alive[storage._cdata] = count + 1, size
        weakref.finalize(result, self.free, storage._cdata)
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result

    def free(self, storage):
        count, size = self.alive.pop(storage)
        if count > 1:
            self.alive[storage] = count - 1, size


@pytest.mark.parametrize(("batch", "seed"), [(1, 0), (3, 1)])
def test_the_estimate_from_layers_is_the_memory_that_a_program_holds(tmp_path, batch, seed):
    space, device = ofa_mobilenet_v3(), Device("cuda", "", "cuda", batch=batch, precision="fp32")
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(seed)))
    path = tmp_path / "network.pt2"
    write_program(trace(space.build(architecture).eval(), architecture.resolution, batch), path, "fp32")
    module = torch.export.load(path).module()
    images = torch.zeros(batch, 3, architecture.resolution, architecture.resolution)
    before = [images, *module.buffers()]
    with torch.no_grad(), Allocations(before) as allocations:
        module(images)
    held = allocations.peak + sum(tensor.nbytes for tensor in before)
    assert value_of(METRIC, space.layers(architecture), device) == pytest.approx(held / 1e6, rel=0.01)


def test_half_precision_takes_half():
    layer = LayerSpec("x", "pointwise", 16, 96, 1, 1, 112, "relu")
    fp32, fp16 = (METRIC.of_layer(layer, Device("cuda", "", "cuda", precision=p)) for p in ("fp32", "fp16"))
    assert fp32 == 2 * fp16 == pytest.approx(2 * 96 * 112**2 * 4 / 1e6)


def test_memory_is_known_of_gpus_only():
    for device in (Device("cpu", "", "onnxruntime"), Device("cpu", "", "cuda", options=(("accelerator", "cpu"),))):
        with pytest.raises(UsageError, match="memory of cpu is not known") as caught:
            METRIC.of_layer(LayerSpec("x", "pool", 16, 16, 1, 1, 7), device)
        assert "backend cuda" in caught.value.next_step


def test_budgets_limit_it_in_mebibytes():
    assert host().metrics.get("memory").measured == "peak_memory_mb"
    budget = read_budget("30MiB")
    assert (budget.metric, str(budget)) == ("memory", "30MiB")
    assert budget.limit == pytest.approx(30 * 2**20 / 1e6)
    assert Budget.parse("30MB").metric == "size"
