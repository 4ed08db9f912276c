import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from nagsdk.device.backend import EXACT, Backend
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import DeviceError, DeviceUnavailableError, UsageError
from nagsdk.graph import parity
from nagsdk.graph.trace import trace
from nagsdk.testing import BackendConformance, random_images, random_subnet, small_space
from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.export import ExportChecks
from nagsdk.testing.measuring import MeasurementChecks
from nagsdk.testing.sessions import SessionChecks
from nagsdk_cuda import backend as module
from nagsdk_cuda import worker
from nagsdk_cuda.backend import CudaBackend
from nagsdk_cuda.program import DTYPES, write_program
from nagsdk_cuda.settings import CudaSettings
from tests.conftest import REPOSITORY
from tests.plugins.emulated_gpu.sitecustomize import NVML
from tests.plugins.run_checks import RunChecks

GPU = Device("cuda", "a GPU", "cuda")
needs_gpu = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch finds no NVIDIA GPU on this machine: `nagsdk doctor` says why"
    ),
]
WITHOUT_PACKAGES = """
import sys

ABSENT = {"pydantic", "platformdirs", "httpx", "adb_shell", "adbutils", "ai_edge_litert", "matplotlib"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
SPACE = small_space()
ARCHITECTURE = SPACE.decode(SPACE.sample(1, np.random.default_rng(5)))[0]


def with_options(device: Device = GPU, **options: str) -> Device:
    return dataclasses.replace(device, options=tuple(options.items()))


ON_CPU = with_options(Device("torch-cpu", "torch on the processor", "cuda", precision="fp32"), accelerator="cpu")


class OnTheProcessor:
    @pytest.fixture
    def backend(self) -> Backend:
        return CudaBackend()

    @pytest.fixture
    def device(self) -> Device:
        return dataclasses.replace(ON_CPU, batch=2)


class TestOnTheProcessor(OnTheProcessor, DiscoveryChecks):
    pass


# TestOnAnEmulatedGpu checks the same code, and tests of other runtimes check how sessions end, which is the same code.
@pytest.mark.nightly
class TestRunsOnTheProcessor(OnTheProcessor, ExportChecks, SessionChecks, MeasurementChecks):
    pass


@pytest.fixture
def emulated_gpu(monkeypatch):
    """A GPU that is emulated on the processor: see the folder emulated_gpu."""
    nvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: pip install 'nagsdk[cuda]'")
    monkeypatch.setattr(module, "_torch", lambda: (torch.__version__, "13.0"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "emulated_gpu"))
    for name, function in NVML.items():
        monkeypatch.setattr(nvml, name, function)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a real GPU")
class TestOnAnEmulatedGpu(RunChecks):
    @pytest.fixture
    def backend(self, emulated_gpu) -> Backend:
        return CudaBackend()

    @pytest.fixture
    def device(self) -> Device:
        return dataclasses.replace(GPU, precision="fp32", batch=2)


class TestOnTheGpu(BackendConformance):
    pytestmark = needs_gpu

    @pytest.fixture
    def backend(self) -> Backend:
        return CudaBackend()

    @pytest.fixture
    def device(self) -> Device:
        return dataclasses.replace(GPU, precision="fp16")


@pytest.mark.nightly
def test_a_compiled_program_computes_the_same(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("AOTInductor needs a C++ compiler")
    device = with_options(ON_CPU, accelerator="cpu", compiler="inductor")
    smallest = SPACE.parse("mbv3:r31:d=1,1:ks=3,3:e=2,2")
    subnet, path = random_subnet(SPACE, smallest), tmp_path / "network.pt2"
    CudaBackend().export(trace(subnet, 31, 2), path, device)
    compiled = CudaBackend().compile(path, device, tmp_path)
    assert compiled.name == "network.compiled.pt2"
    images = random_images(3, 31)
    with torch.no_grad(), CudaBackend().open(device) as session:
        handle = session.load(compiled)
        parity.check(subnet(torch.from_numpy(images)).numpy(), session.infer(handle, images), EXACT)
        assert len(session.time(handle, 1, 3, 60).wall_ms) == 3


@pytest.mark.parametrize("precision", list(DTYPES))
def test_a_program_computes_the_network_in_its_precision(tmp_path, precision):
    subnet = random_subnet(SPACE, ARCHITECTURE)
    path = tmp_path / "network.pt2"
    write_program(trace(subnet, ARCHITECTURE.resolution, 3), path, precision)
    images = torch.from_numpy(random_images(3, ARCHITECTURE.resolution))
    with torch.no_grad():
        expected, actual = subnet(images), torch.export.load(path).module()(images)
    assert actual.dtype == torch.float32
    tolerance = CudaBackend().tolerance(dataclasses.replace(GPU, precision=precision))
    error = parity.check(expected.numpy(), actual.numpy(), tolerance)
    assert (error > EXACT) == (precision in ("fp16", "bf16"))


def test_a_program_holds_its_weights_in_its_precision_and_channels_last(tmp_path):
    path = tmp_path / "network.pt2"
    write_program(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution), path, "fp16")
    weights = [w for w in torch.export.load(path).module().buffers() if w.dim() == 4]
    assert weights
    assert all(w.dtype == torch.float16 and w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize("precision", list(DTYPES))
def test_a_program_moves_to_a_gpu(tmp_path, precision):
    path = tmp_path / "network.pt2"
    write_program(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution, 2), path, precision)
    module = torch.export.load(path).module()
    # Fake tensors have a device but no content; they refuse the same operations as tensors on a GPU.
    with FakeTensorMode(), torch.no_grad():
        for name, weight in list(module.named_buffers()):
            setattr(
                module, name, torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device="cuda:0")
            )
        logits = module(torch.empty(2, 3, ARCHITECTURE.resolution, ARCHITECTURE.resolution, device="cuda:0"))
    assert (logits.device.type, logits.dtype, logits.shape) == ("cuda", torch.float32, (2, SPACE.classes))


def test_a_program_is_no_larger_for_a_larger_batch_and_as_large_as_estimated(tmp_path):
    sizes = []
    for batch in (1, 64):
        path = tmp_path / f"{batch}.pt2"
        write_program(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution, batch), path, "fp16")
        sizes.append(path.stat().st_size)
    estimate = sum(CudaBackend().layer_bytes(layer, GPU) for layer in SPACE.layers(ARCHITECTURE))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02) == pytest.approx(estimate, rel=0.1)


def test_a_program_names_its_architecture(tmp_path):
    path = tmp_path / "network.pt2"
    write_program(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution), path, "fp32")
    extra = {"nagsdk.architecture": ""}
    torch.export.load(path, extra_files=extra)
    assert extra["nagsdk.architecture"] == ARCHITECTURE.text


@pytest.mark.parametrize(
    "options",
    [
        {"accelerator": "tpu"},
        {"runtime": "fast"},
        {"index": "first"},
        {"flush_l2": "yes"},
        {"l2": "1"},
        {"compiler": "gcc"},
        {"accelerator": "cpu", "runtime": "cuda-graph"},
    ],
)
def test_unknown_options_are_refused(options):
    assert not CudaBackend().presence(with_options(**options)).available
    with pytest.raises(DeviceError, match="options|The number of a"):
        CudaSettings.of(with_options(**options))


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        Overrides(precision="int4").on(GPU, CudaBackend.precisions)
    assert "fp16 or fp32 or tf32 or bf16" in caught.value.next_step
    assert Overrides().on(GPU, CudaBackend.precisions).precision == "fp16"


def test_a_torch_without_cuda_is_reported_and_refused(monkeypatch):
    monkeypatch.setattr(module, "_torch", lambda: ("2.13.0", None))
    presence = CudaBackend().presence(GPU)
    assert "built without CUDA" in presence.reason
    with pytest.raises(DeviceUnavailableError) as caught:
        CudaBackend().open(GPU)
    assert "pip install 'nagsdk[cuda]'" in caught.value.next_step


def test_absent_packages_are_named(monkeypatch):
    monkeypatch.setattr(module, "_torch", lambda: ("2.13.0", "13.0"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py is not installed" in CudaBackend().presence(GPU).reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a driver")
def test_without_a_gpu_a_file_is_checked_on_the_processor(tmp_path):
    path, images = tmp_path / "network.pt2", random_images(3, ARCHITECTURE.resolution)
    subnet = random_subnet(SPACE, ARCHITECTURE)
    write_program(trace(subnet, ARCHITECTURE.resolution, 2), path, "fp16")
    logits = CudaBackend().emulate(path, dataclasses.replace(GPU, batch=2), images)
    with torch.no_grad():
        parity.check(subnet(torch.from_numpy(images)).numpy(), logits, CudaBackend().tolerance(GPU))


def test_a_missing_driver_is_reported(monkeypatch):
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: pip install 'nagsdk[cuda]'")
    monkeypatch.setattr(module, "_torch", lambda: ("2.13.0", "13.0"))
    assert "has no NVIDIA driver" in CudaBackend().presence(GPU).reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use a GPU of this machine")
def test_the_worker_never_falls_back_to_the_processor():
    settings = dataclasses.asdict(CudaSettings.of(GPU))
    greeting, handlers = worker.start({**settings, "uuid": "GPU-1"})
    assert "cannot use GPU 0" in greeting["refused"]
    assert greeting["next_step"]
    assert handlers == {}


def test_the_gpu_is_described_as_far_as_it_answers(emulated_gpu, monkeypatch):
    import pynvml

    known = CudaBackend().presence(GPU).properties
    assert (known["gpu"], known["multiprocessors"], known["memory_mb"], known["power_limit_w"]) == (
        "Emulated GPU",
        "10",
        "8000",
        "70",
    )

    def silent(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    for question in ("PowerManagementLimit", "MemoryInfo", "NumGpuCores", "MigMode"):
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{question}", silent)
    assert known.keys() - CudaBackend().presence(GPU).properties.keys() == {
        "multiprocessors",
        "memory_mb",
        "power_limit_w",
    }


def test_a_gpu_that_mig_splits_is_refused(emulated_gpu, monkeypatch):
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda handle: [1, 1])
    presence = CudaBackend().presence(GPU)
    assert "MIG splits GPU 0" in presence.reason and "whole GPU" in presence.reason


def test_a_burst_on_the_gpu_contains_its_state(emulated_gpu, tmp_path):
    device = with_options(flush_l2="1")
    path = tmp_path / "network.pt2"
    CudaBackend().export(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution), path, device)
    with CudaBackend().open(device) as session:
        handle = session.load(path)
        burst = session.time(handle, 1, 3, 60)
        session.unload(handle)
        assert session.infer(session.load(path), random_images(1, ARCHITECTURE.resolution)).shape == (1, SPACE.classes)
    assert burst.properties == {
        "sm_clock_mhz": 1700,
        "memory_clock_mhz": 1700,
        "temperature_c": 40,
        "power_w": 50,
        "throttled": 0,
        "peak_memory_mb": 2,
    }


@pytest.mark.parametrize("script", ["-m pytest -m cuda --collect-only -q -p no:cacheprovider", "benchmarks/cuda.py"])
def test_tests_and_benchmark_of_a_gpu_need_few_packages(script, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PACKAGES)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    for name in ("NAGSDK_CONFIG", "NAGSDK_CACHE_DIR", "NAGSDK_DATA_DIR"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *script.split()], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    if script == "benchmarks/cuda.py" and not torch.cuda.is_available():
        assert "No GPU to measure on" in done.stderr, done.stderr
    else:
        assert done.returncode == 0 and "TestMeasuringOnTheGpu" in done.stdout, done.stdout + done.stderr


def test_the_fingerprint_tells_settings_apart():
    devices = [ON_CPU, dataclasses.replace(ON_CPU, precision="bf16"), dataclasses.replace(ON_CPU, threads=2)]
    assert len({CudaBackend().presence(device).fingerprint for device in devices}) == 3


class TestMeasuringOnTheGpu:
    pytestmark = needs_gpu

    @pytest.mark.parametrize(("precision", "batch"), [("fp32", 2), ("tf32", 1), ("bf16", 8)])
    def test_every_precision_computes_the_network(self, network, precision, batch):
        device = dataclasses.replace(GPU, precision=precision, batch=batch)
        images = random_images(2 * batch + 1, ARCHITECTURE.resolution)
        with torch.no_grad(), CudaBackend().open(device) as session:
            actual = session.infer(session.load(network(device)), images)
            parity.check(
                random_subnet(SPACE, ARCHITECTURE)(torch.from_numpy(images)).numpy(),
                actual,
                CudaBackend().tolerance(device),
            )

    @pytest.fixture
    def network(self, tmp_path):
        def make(device: Device):
            path = tmp_path / "network.pt2"
            CudaBackend().export(
                trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution, device.batch), path, device
            )
            return path

        return make

    def test_presence_describes_the_gpu(self):
        properties = CudaBackend().presence(GPU).properties
        assert {"gpu", "uuid", "memory_mb", "driver", "precision", "cuda"} <= set(properties)

    def test_a_missing_gpu_is_refused_with_the_number_of_gpus(self):
        presence = CudaBackend().presence(with_options(index="99"))
        assert "no GPU with the number 99" in presence.reason

    def test_a_burst_contains_the_state_of_the_gpu(self, network):
        with CudaBackend().open(GPU) as session:
            burst = session.time(session.load(network(GPU)), 2, 5, 60)
        assert burst.properties["peak_memory_mb"] > 0
        assert burst.properties["sm_clock_mhz"] > 0
        assert 0 < burst.properties["temperature_c"] < 120

    def test_a_captured_graph_is_faster_than_one_launch_after_the_other(self, network):
        median = {}
        for runtime in ("cuda-graph", "eager"):
            device = with_options(runtime=runtime)
            with CudaBackend().open(device) as session:
                median[runtime] = np.median(session.time(session.load(network(device)), 10, 50, 60).wall_ms)
        assert median["cuda-graph"] < median["eager"]
