import dataclasses
import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import nagsdk
from nagsdk.device.backend import EXACT, Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.trace import trace
from nagsdk.manifest.manifest import read_manifest
from nagsdk.measuring.protocol import Protocol
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import settle_rewrite
from nagsdk.testing import BackendConformance, random_subnet, small_space
from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.sessions import SessionChecks
from nagsdk_litert.backend import LiteRtBackend
from nagsdk_litert.settings import LiteRtSettings
from tests.plugins.run_checks import RunChecks

CPU = Device("litert", "this machine", "litert")
needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed: pip install ai-edge-litert",
)


def with_options(threads=1, **options: str) -> Device:
    return Device("litert", "this machine", "litert", threads=threads, options=tuple(options.items()))


class OnLiteRt:
    @pytest.fixture
    def backend(self) -> Backend:
        return LiteRtBackend()

    @pytest.fixture(
        params=[
            (1, 1, "fp32", "1"),
            (2, 2, "fp32", "0"),
            (1, 1, "fp16", ""),
            (1, 1, "int8", ""),
            (1, 1, "int8-dynamic", ""),
        ],
        ids=["1-thread-split", "2-threads-batch-2-whole", "fp16", "int8", "int8-dynamic"],
    )
    def device(self, request: pytest.FixtureRequest) -> Device:
        threads, batch, precision, split = request.param
        options = (("split_depthwise", split),) if split else ()
        return dataclasses.replace(CPU, threads=threads, batch=batch, precision=precision, options=options)


@needs_runtime
@pytest.mark.nightly  # the same without starting a worker for every check
class TestConformance(OnLiteRt, BackendConformance):
    pass


@needs_runtime
class TestRuns(OnLiteRt, RunChecks):
    pass


@needs_runtime
class TestSessions(OnLiteRt, DiscoveryChecks, SessionChecks):
    @pytest.fixture
    def device(self) -> Device:
        return CPU


@needs_runtime
@pytest.mark.parametrize(
    ("precision", "tensor", "share"), [("fp16", "FLOAT16", 0.6), ("int8-dynamic", "INT8", 0.45), ("int8", "INT8", 0.65)]
)
def test_lower_precisions_make_smaller_files_that_keep_everything_else(tmp_path, precision, tensor, share, capfd):
    from nagsdk.graph.lint import lint
    from nagsdk.graph.tflite_schema import schema

    space = small_space()
    architecture = space.architecture(resolution=48, depths=(2, 3), kernels=(7, 5, 7, 3, 3), expansions=(4,) * 5)
    graph = trace(random_subnet(space, architecture), 48)
    device = dataclasses.replace(CPU, precision=precision)
    LiteRtBackend().export(graph, tmp_path / "whole.tflite", CPU)
    LiteRtBackend().export(graph, tmp_path / "n.tflite", device)
    assert (tmp_path / "n.tflite").stat().st_size < share * (tmp_path / "whole.tflite").stat().st_size
    found = lint(tmp_path / "n.tflite")
    assert found.architecture == architecture.text and found.transposes == 0
    model = schema.Model.GetRootAs((tmp_path / "n.tflite").read_bytes(), 0)
    assert model.SignatureDefs(0).SignatureKey() == b"serving_default"
    kinds = [model.Subgraphs(0).Tensors(i).Type() for i in range(model.Subgraphs(0).TensorsLength())]
    assert kinds.count(getattr(schema.TensorType, tensor)) > 10
    buffers = [model.Buffers(i)._tab for i in range(model.BuffersLength())]
    assert all(b.Vector(b.Offset(4)) % 16 == 0 for b in buffers if b.Offset(4))
    estimate = sum(LiteRtBackend().layer_bytes(layer, device) for layer in space.layers(architecture))
    assert estimate == pytest.approx((tmp_path / "n.tflite").stat().st_size, rel=0.25)
    assert capfd.readouterr().out == ""


@needs_runtime
@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-dynamic"])
def test_files_with_large_constants_are_complete(tmp_path, precision):
    bundle, backend = nagsdk.load_bundle("glyphs"), LiteRtBackend()
    device = dataclasses.replace(CPU, precision=precision)
    architecture = bundle.architecture("mbv3:r44:d=3,2,2,1:ks=5,5,5,5,5,3,3,3:e=6,6,6,4,4,6,6,4")
    graph = trace(random_subnet(bundle.space, architecture), 44)
    images = np.random.default_rng(0).normal(size=(2, 3, 44, 44)).astype(np.float32)
    logits = {}
    for name, wanted in (("whole", CPU), ("small", device)):
        backend.export(graph, tmp_path / f"{name}.tflite", wanted, images)
        with backend.open(wanted) as session:
            logits[name] = session.infer(session.load(tmp_path / f"{name}.tflite"), images)
    assert (tmp_path / "small.tflite").stat().st_size > 100_000
    error = np.linalg.norm(logits["small"] - logits["whole"]) / np.linalg.norm(logits["whole"])
    assert 0 < error < (0.35 if "int8" in precision else backend.tolerance(device))


def test_only_int8_dynamic_is_not_split_by_default():
    split = {
        precision: LiteRtSettings.of(dataclasses.replace(CPU, precision=precision)).split_depthwise
        for precision in LiteRtBackend.precisions
    }
    assert [precision for precision, does in split.items() if not does] == ["int8-dynamic"]


@needs_runtime
def test_large_kernels_are_split_unless_the_device_says_otherwise(tmp_path):
    from nagsdk.graph.lint import lint

    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(7, 7), expansions=(2, 2))
    graph = trace(random_subnet(space, architecture), 32)
    for device, count in ((CPU, 7), (with_options(split_depthwise="1"), 7), (with_options(split_depthwise="0"), 3)):
        LiteRtBackend().export(graph, tmp_path / "n.tflite", device)
        assert lint(tmp_path / "n.tflite").operators["DEPTHWISE_CONV_2D"] == count


@needs_runtime
def test_the_size_of_a_file_is_known_roughly_before_it_is_built(tmp_path):
    backend, space = LiteRtBackend(), small_space()
    for device in (CPU, with_options(split_depthwise="0")):
        for architecture in space.decode(space.sample(5, np.random.default_rng(0))):
            backend.export(
                trace(random_subnet(space, architecture), architecture.resolution), tmp_path / "n.tflite", device
            )
            estimate = sum(backend.layer_bytes(layer, device) for layer in space.layers(architecture))
            assert estimate == pytest.approx((tmp_path / "n.tflite").stat().st_size, rel=0.08)


def test_a_missing_runtime_is_reported_and_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    presence = LiteRtBackend().presence(CPU)
    assert not presence.available
    assert (
        "ai-edge-litert is not installed" in presence.reason
        and "pip install ai-edge-litert flatbuffers" in presence.reason
    )
    with pytest.raises(DeviceUnavailableError):
        LiteRtBackend().open(CPU)


def test_the_predecessor_is_used_where_only_it_is_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "tflite_runtime" else None)
    assert LiteRtSettings.of(CPU).package == "tflite_runtime"


@pytest.mark.parametrize(("numpy", "refused"), [("2.4.6", True), ("1.26.4", False)])
def test_the_predecessor_needs_numpy_1(monkeypatch, numpy, refused):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", {"numpy": numpy, "tflite-runtime": "2.14.0"}.__getitem__)
    presence = LiteRtBackend().presence(with_options(runtime="tflite-runtime"))
    assert presence.available is not refused
    assert (f"numpy {numpy} is installed" in presence.reason) is refused


@pytest.mark.parametrize(
    "options", [{"split": "1"}, {"split_depthwise": "yes"}, {"cores": "a"}, {"runtime": "tensorflow"}]
)
def test_unknown_options_are_refused(options):
    assert not LiteRtBackend().presence(with_options(**options)).available
    with pytest.raises(DeviceError, match="options|number of a core"):
        LiteRtBackend().open(with_options(**options))


@needs_runtime
def test_the_fingerprint_tells_settings_apart():
    devices = [CPU, with_options(threads=2), with_options(split_depthwise="0"), with_options(cores="0")]
    assert len({LiteRtBackend().presence(device).fingerprint for device in devices}) == len(devices)


@needs_runtime
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_worker_stays_on_its_cores():
    core = min(os.sched_getaffinity(0))
    with LiteRtBackend().open(with_options(cores=str(core))) as session:
        assert os.sched_getaffinity(session._process.pid) == {core}


@needs_runtime
def test_the_manifest_of_an_export_describes_the_file(tmp_path):
    text = "mbv3:r32:d=1,1,1,1:ks=3,5,5,3:e=2,2,2,2"
    nagsdk.export("litert", architecture=text, output=tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest["artifact"]["path"] == "model.tflite" and manifest["parity"] < EXACT
    assert manifest["graph"]["operators"]["CONV_2D"] > 0 and manifest["graph"]["refused_by"] == {
        "xnnpack": [],
        "gpu": [],
    }


def test_importing_the_plugin_is_light():
    code = (
        "import sys, nagsdk_litert.plugin, nagsdk_litert.backend; "
        "print([m for m in ('ai_edge_litert', 'torch', 'onnx') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@needs_runtime
def test_the_rewrite_is_chosen_by_timings_on_the_device_and_kept(tmp_path):
    events = []
    target = Target("litert", "imagenet", on_event=lambda event: events.append(str(event)))
    assert target.rewrite is None
    target.protocol = Protocol(runs=3, rounds=4, width=1.0, most_rounds=4, spread_s=0, patience_s=0)
    settle_rewrite(target)
    choice = target.rewrite
    assert set(choice.p50_ms) == {"split depthwise", "none"}
    assert choice.p50_ms[choice.name] == min(choice.p50_ms.values())
    assert any(choice.told in text for text in events)
    again = Target("litert", "imagenet")
    assert again.rewrite == choice
    assert again.presence.properties["rewrite"] == choice.name
    assert Target(with_options(split_depthwise="0"), "imagenet").presence.properties["rewrite"] == "none"


@needs_runtime
def test_nothing_is_timed_where_all_rewrites_give_the_same_file():
    target = Target("litert", "glyphs")
    settle_rewrite(target)
    assert target.rewrite is None


@needs_runtime
def test_readings_of_the_former_int8_are_not_taken_for_those_of_integers():
    int8 = LiteRtBackend().presence(dataclasses.replace(CPU, precision="int8"))
    former = {name: value for name, value in int8.properties.items() if name != "arithmetic"}
    assert int8.properties["arithmetic"] == "integers"
    assert int8.fingerprint != Presence.of(former).fingerprint


@needs_runtime
def test_an_export_in_int8_is_exact_compared_with_float_and_the_same_every_time(tmp_path):
    text = "mbv3:r32:d=1,1,1,1:ks=3,5,5,3:e=2,2,2,2"
    manifests = []
    for name in ("a", "b"):
        nagsdk.export("litert", text, tmp_path / name, precision="int8")
        manifests.append(read_manifest(tmp_path / name))
    assert manifests[0]["artifact"]["sha256"] == manifests[1]["artifact"]["sha256"]
    manifest = manifests[0]
    assert manifest["parity"] < EXACT and manifest["graph"]["refused_by"]["xnnpack"] == []
    assert "HARD_SWISH" not in manifest["graph"]["operators"]
    integers = manifest["integers"]
    assert integers["weight_bits"] == 8 and integers["images"] == 128 and 0 < integers["error"] < 0.3
    assert integers["agreement"] > 93 and abs(integers["float_top1"] - manifest["measured"]["top1"]) < 1.5
    assert [check.state for check in nagsdk.verify(tmp_path / "a").checks][:2] == ["passed", "passed"]


@needs_runtime
def test_kept_statistics_give_the_same_bytes_without_images(tmp_path):
    device, backend = dataclasses.replace(CPU, precision="int8"), LiteRtBackend()
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(7, 7), expansions=(2, 2))
    graph = trace(random_subnet(space, architecture), 32)
    images = np.random.default_rng(0).normal(size=(9, 3, 32, 32)).astype(np.float32)
    backend.export(graph, tmp_path / "a.tflite", device, images)
    kept = backend.quantised(graph, device, images).ranges.to_statistics()
    backend.export(backend.quantised(graph, device, None, kept), tmp_path / "b.tflite", device)
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_the_gpu_delegate_of_phones_is_refused_for_integers():
    from nagsdk_android.settings import AndroidSettings

    phone = Device("phone", "a phone", "android", precision="int8", options=(("delegate", "gpu"),))
    with pytest.raises(DeviceError, match="no integer kernels"):
        AndroidSettings.of(phone)
    assert AndroidSettings.of(dataclasses.replace(phone, precision="fp16")).delegate == "gpu"
