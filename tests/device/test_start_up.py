"""What a network costs before it runs quickly."""

import subprocess
import sys
import time

import pytest

from nagsdk.device.description import Device
from nagsdk.device.start_up import START_UP, StartUp
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space
from nagsdk_litert.backend import LiteRtBackend
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend
from nagsdk_openvino.backend import OpenVinoBackend

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of memory")

# In a process of its own, as in a worker: what a training before it left free and resident would be used again.
TWO_NETWORKS = """
import numpy as np
from nagsdk.device.start_up import StartUp

for _ in range(4):  # what one network gave back must not hide what the next one needs
    start, other = StartUp(), StartUp()
    weights = start.load(lambda: np.ones(4_000_000))
    other.load(lambda: np.ones(8_000_000))  # another network is loaded meanwhile
    start.first(lambda: weights * 2)
    print(start.figures["memory_mb"])
"""


def test_loading_and_the_first_run_are_timed_apart():
    start = StartUp()
    assert start.load(lambda: time.sleep(0.02) or "network") == "network" and set(start.figures) == {"init_ms"}
    for seconds in (0.04, 0.5):
        start.first(lambda seconds=seconds: time.sleep(seconds))
    assert start.figures["init_ms"] >= 20 and start.figures["first_inference_ms"] >= 40
    assert start.figures["first_inference_ms"] < 500


@ON_LINUX
def test_memory_counts_at_its_peak_and_again_for_the_next_network():
    done = subprocess.run([sys.executable, "-c", TWO_NETWORKS], capture_output=True, text=True, check=True, timeout=120)
    assert all(60 < float(memory_mb) < 90 for memory_mb in done.stdout.split())


def test_a_network_that_has_run_otherwise_has_no_first_run():
    start = StartUp()
    start.load(lambda: 1)
    start.ran()
    start.first(lambda: 1 / 0)
    assert set(start.figures) == {"init_ms"}


@ON_LINUX
@pytest.mark.parametrize("backend", [OnnxRuntimeBackend(), LiteRtBackend(), OpenVinoBackend()], ids=lambda b: b.id)
def test_every_runtime_on_this_machine_tells_them(backend, tmp_path):
    device = Device("here", "This machine", backend.id)
    if not backend.presence(device).available:
        pytest.skip(backend.presence(device).reason)
    space, path = small_space(), tmp_path / f"network{backend.suffix}"
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(3, 3), expansions=(2, 2))
    backend.export(trace(random_subnet(space, architecture), 32), path, device)
    with backend.open(device) as session:
        handles = [session.load(path), session.load(path)]
        bursts = [session.time(handle, 0, 2, 60) for handle in handles]
    for burst in bursts:
        assert all(burst.properties[name] > 0 for name in START_UP[:2]) and 0 <= burst.properties[START_UP[2]] < 1000
