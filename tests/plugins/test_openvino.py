import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import nagsdk_openvino
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceUnavailableError
from nagsdk.plugin.host import host
from nagsdk.testing import BackendConformance
from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.sessions import SessionChecks
from nagsdk_openvino.backend import OpenVinoBackend
from tests.plugins.run_checks import RunChecks

needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed: pip install 'nagsdk[openvino]'"
)


def device_of(**options: str) -> Device:
    return Device("openvino", "this machine", "openvino", options=tuple(options.items()))


class OnOpenVino:
    @pytest.fixture
    def backend(self) -> Backend:
        return OpenVinoBackend()

    @pytest.fixture(
        params=[(1, 1, "fp32"), (2, 2, "fp32"), (1, 2, "int8")], ids=["1-thread", "2-threads-batch-2", "int8"]
    )
    def device(self, request: pytest.FixtureRequest) -> Device:
        threads, batch, precision = request.param
        return Device("openvino", "this machine", "openvino", threads=threads, batch=batch, precision=precision)

    @pytest.fixture
    def impossible(self) -> list[Device]:
        return [device_of(target="NPU"), device_of(target="CPU.7")]


@needs_runtime
@pytest.mark.nightly  # the same without starting a worker for every check
class TestConformance(OnOpenVino, BackendConformance):
    pass


@needs_runtime
class TestRuns(OnOpenVino, RunChecks):
    pass


@needs_runtime
class TestSessions(OnOpenVino, DiscoveryChecks, SessionChecks):
    @pytest.fixture
    def device(self) -> Device:
        return device_of()


def test_the_plugin_is_as_short_as_the_tutorial_says():
    lines = [
        line for file in Path(nagsdk_openvino.__file__).parent.glob("*.py") for line in file.read_text().splitlines()
    ]
    assert len(lines) < 220


def test_nagsdk_finds_the_device():
    assert isinstance(host().backend_of(host().device("openvino")), OpenVinoBackend)


def test_a_missing_runtime_is_reported_and_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'nagsdk[openvino]'" in OpenVinoBackend().presence(device_of()).reason
    with pytest.raises(DeviceUnavailableError):
        OpenVinoBackend().open(device_of())


@needs_runtime
def test_a_missing_target_is_refused_and_the_available_ones_are_named():
    with pytest.raises(DeviceUnavailableError, match="it offers CPU") as caught:
        OpenVinoBackend().open(device_of(target="NPU"))
    assert "target" in caught.value.next_step


def test_importing_the_plugin_is_light():
    code = (
        "import sys, nagsdk_openvino.plugin, nagsdk_openvino.backend; "
        "print([m for m in ('openvino', 'torch', 'onnx') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@needs_runtime
def test_the_worker_prevents_the_telemetry_of_openvino():
    code = (
        "import sys, nagsdk_openvino.worker; print(sys.modules['openvino_telemetry'], 'multiprocessing' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "None False"
    )


@needs_runtime
def test_openvino_does_not_choose_the_core():
    code = (
        "from nagsdk_openvino.worker import OpenVinoWorker, openvino; from openvino import opset8 as ops; "
        "worker = OpenVinoWorker(1, 'CPU'); image = ops.parameter([1, 3, 8, 8]); "
        "model = openvino.Model([ops.relu(image)], [image]); "
        "print(worker.core.compile_model(model, 'CPU', worker.config).get_property('ENABLE_CPU_PINNING'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
