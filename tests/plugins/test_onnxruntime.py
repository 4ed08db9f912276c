import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError
from nagsdk.graph.trace import trace
from nagsdk.testing import BackendConformance, random_images, random_subnet, small_space
from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.sessions import SessionChecks
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend
from tests.plugins.run_checks import RunChecks

CPU = Device("cpu", "this machine", "onnxruntime")


class OnOnnxRuntime:
    @pytest.fixture
    def backend(self) -> Backend:
        return OnnxRuntimeBackend()

    @pytest.fixture(
        params=[(1, 1, "fp32"), (2, 2, "fp32"), (1, 2, "int8")], ids=["1-thread", "2-threads-batch-2", "int8"]
    )
    def device(self, request: pytest.FixtureRequest) -> Device:
        threads, batch, precision = request.param
        return Device("cpu", "this machine", "onnxruntime", threads=threads, batch=batch, precision=precision)

    @pytest.fixture
    def impossible(self) -> list[Device]:
        return [with_options(provider="CUDAExecutionProvider")]


@pytest.mark.nightly  # the same without starting a worker for every check
class TestConformance(OnOnnxRuntime, BackendConformance):
    pass


class TestRuns(OnOnnxRuntime, RunChecks):
    pass


class TestSessions(OnOnnxRuntime, DiscoveryChecks, SessionChecks):
    @pytest.fixture
    def device(self) -> Device:
        return CPU


def with_options(**options: str) -> Device:
    return Device("cpu", "this machine", "onnxruntime", options=tuple(options.items()))


def test_a_missing_runtime_is_reported_and_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    presence = OnnxRuntimeBackend().presence(CPU)
    assert not presence.available
    assert "pip install onnxruntime" in presence.reason
    with pytest.raises(DeviceUnavailableError):
        OnnxRuntimeBackend().open(CPU)


def test_a_missing_provider_is_refused_without_a_silent_fallback():
    with pytest.raises(DeviceUnavailableError, match="no CUDAExecutionProvider") as caught:
        OnnxRuntimeBackend().open(with_options(provider="CUDAExecutionProvider"))
    assert "CPUExecutionProvider" in caught.value.message


@pytest.mark.parametrize(
    "options", [{"spin": "1"}, {"spinning": "yes"}, {"cores": "a"}, {"opset": "10"}, {"opset": "x"}]
)
def test_unknown_options_are_refused(options):
    assert not OnnxRuntimeBackend().presence(with_options(**options)).available
    with pytest.raises(DeviceError, match="options|The number of a"):
        OnnxRuntimeBackend().open(with_options(**options))


def test_the_fingerprint_tells_threads_and_providers_apart():
    devices = [
        CPU,
        Device("cpu", "", "onnxruntime", threads=2),
        with_options(spinning="0"),
        with_options(cores="0"),
        with_options(opset="12"),
    ]
    prints = [OnnxRuntimeBackend().presence(device).fingerprint for device in devices]
    assert len(set(prints)) == len(prints)
    assert prints[0] == OnnxRuntimeBackend().presence(Device("other-name", "", "onnxruntime")).fingerprint


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_worker_stays_on_its_cores():
    core = min(os.sched_getaffinity(0))
    with OnnxRuntimeBackend().open(with_options(cores=str(core))) as session:
        assert os.sched_getaffinity(session._process.pid) == {core}


def test_importing_the_plugin_is_light():
    code = (
        "import sys, nagsdk_onnxruntime.plugin, nagsdk_onnxruntime.backend; "
        "print([m for m in ('onnxruntime', 'torch', 'onnx') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_opset_is_an_option(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(0)))
    graph = trace(random_subnet(space, architecture), architecture.resolution)
    for device, opset in ((CPU, 17), (with_options(opset="12"), 12)):
        OnnxRuntimeBackend().export(graph, tmp_path / "n.onnx", device)
        assert onnx.load(tmp_path / "n.onnx").opset_import[0].version == opset
    assert (
        OnnxRuntimeBackend().presence(with_options(opset="17")).fingerprint
        == OnnxRuntimeBackend().presence(CPU).fingerprint
    )


def run_one(tmp_path: Path) -> str:
    """Code that runs a network in a session, for another process."""
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(0)))
    size = architecture.resolution
    OnnxRuntimeBackend().export(
        trace(random_subnet(space, architecture), architecture.resolution), tmp_path / "n.onnx", CPU
    )
    return (
        "from pathlib import Path; import numpy as np; from nagsdk.device.description import Device\n"
        "from nagsdk_onnxruntime.backend import OnnxRuntimeBackend\n"
        "with OnnxRuntimeBackend().open(Device('cpu', '', 'onnxruntime')) as session:\n"
        f"    handle = session.load(Path({str(tmp_path / 'n.onnx')!r}))\n"
        f"    session.infer(handle, np.zeros((1, 3, {size}, {size}), np.float32))\n"
    )


def test_a_session_leaves_no_telemetry(tmp_path):
    user = tmp_path / "user"
    user.mkdir()
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(user))
    for asked in ("", "0"):
        environment = {**os.environ, **homes, "ORT_DISABLE_TELEMETRY": asked}
        subprocess.run([sys.executable, "-c", run_one(tmp_path)], check=True, env=environment)
        assert not [path for path in user.rglob("*") if "Microsoft" in path.parts], "the database of its reports"


def write_infinite(path: Path) -> None:
    """Writes a network with an endless loop; to nagsdk, it looks like a runtime that hangs."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["again"]), helper.make_node("Identity", ["value"], ["same"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1, 3, 8, 8]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, [1, 3, 8, 8]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "true", "image"], ["logits"], body=body)],
        "hang",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor("true", TensorProto.BOOL, [], [True])],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_a_run_that_hangs_is_killed(tmp_path):
    write_infinite(tmp_path / "hang.onnx")
    onnx.checker.check_model(str(tmp_path / "hang.onnx"))
    with OnnxRuntimeBackend().open(CPU) as session:
        handle = session.load(tmp_path / "hang.onnx")
        with pytest.raises(MeasurementError, match=r"within 0\.3 s"):
            session.time(handle, 0, 1, 0.3)
        assert session._process.poll() is not None


def test_a_worker_that_crashes_is_an_error(tmp_path):
    write_infinite(tmp_path / "hang.onnx")
    with OnnxRuntimeBackend().open(CPU) as session:
        handle = session.load(tmp_path / "hang.onnx")
        os.kill(session._process.pid, signal.SIGKILL)
        with pytest.raises(MeasurementError, match="died") as caught:
            session.time(handle, 0, 1, 60.0)
    assert caught.value.next_step


def test_the_worker_dies_with_its_parent_even_during_a_run(tmp_path):
    write_infinite(tmp_path / "hang.onnx")
    code = f"""
import threading, time
from pathlib import Path
from nagsdk.device.description import Device
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend
session = OnnxRuntimeBackend().open(Device("cpu", "", "onnxruntime"))
handle = session.load(Path({str(tmp_path / "hang.onnx")!r}))
threading.Thread(target=lambda: session.time(handle, 0, 1, 60.0), daemon=True).start()
time.sleep(0.3)
print(session._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(200):
        if not Path(f"/proc/{worker}/cmdline").exists() or not Path(f"/proc/{worker}/cmdline").read_bytes():
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def test_images_of_another_size_are_refused(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(1), resolution=32))
    OnnxRuntimeBackend().export(trace(random_subnet(space, architecture), 32), tmp_path / "n.onnx", CPU)
    with OnnxRuntimeBackend().open(CPU) as session:
        handle = session.load(tmp_path / "n.onnx")
        with pytest.raises(DeviceError, match="run a network"):
            session.infer(handle, random_images(1, 48))
        assert session.infer(handle, random_images(1, 32)).shape == (1, 10)


@pytest.mark.parametrize("threads", [1, 2])
def test_cpu_time_per_run_is_reported_for_one_thread_only(tmp_path, threads):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(1)))
    OnnxRuntimeBackend().export(
        trace(random_subnet(space, architecture), architecture.resolution), tmp_path / "n.onnx", CPU
    )
    with OnnxRuntimeBackend().open(Device("cpu", "", "onnxruntime", threads=threads)) as session:
        burst = session.time(session.load(tmp_path / "n.onnx"), 1, 20, 60.0)
    if threads == 1:
        # The CPU time of a run cannot exceed the time of the run, except for the resolution of the two clocks.
        assert all(0 < cpu <= wall + 0.05 for cpu, wall in zip(burst.cpu_ms, burst.wall_ms, strict=True))
    else:
        assert burst.cpu_ms == ()
        assert burst.properties["cpu_all_threads_ms"] > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"provider": "CUDAExecutionProvider"}, "no integer kernels of CUDAExecutionProvider"),
        ({"opset": "12"}, "operators of version 12 have no int8"),
        ({"weight_bits": "4"}, "options"),
    ],
)
def test_int8_is_refused_where_nothing_computes_it(options, says):
    device = dataclasses.replace(with_options(**options), precision="int8")
    presence = OnnxRuntimeBackend().presence(device)
    assert not presence.available and says in presence.reason


def test_int8_is_measured_under_keys_of_its_own():
    devices = [CPU, dataclasses.replace(CPU, precision="int8")]
    devices.append(dataclasses.replace(with_options(weight_bits="8"), precision="int8"))
    assert len({OnnxRuntimeBackend().presence(device).fingerprint for device in devices}) == len(devices)
