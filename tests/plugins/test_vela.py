import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from nagsdk.cost.table import SpaceLayers
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import DeviceError, DeviceUnavailableError, UsageError
from nagsdk.families import testing_space as small_networks
from nagsdk.graph.trace import trace
from nagsdk.testing import BackendConformance, random_subnet
from nagsdk_vela import plugin
from nagsdk_vela.backend import VelaBackend
from nagsdk_vela.layers import Estimates, graph_of
from nagsdk_vela.metrics import Cycles, Flash, Sram
from nagsdk_vela.settings import ACCELERATORS, VelaSettings

DEVICE = Device(
    "ethos-u55-128", "Vela", "vela", precision="int8", io="int8", options=(("accelerator", "ethos-u55-128"),)
)
needs_vela = pytest.mark.skipif(
    importlib.util.find_spec("ethosu") is None, reason="Vela is not installed: pip install 'nagsdk[vela]'"
)


def compiled(backend, device, folder, number=0):
    space = small_networks()
    architecture = space.decode(space.sample(4, np.random.default_rng(0)))[number]
    artifact = folder / f"network{number}.tflite"
    backend.export(trace(random_subnet(space, architecture), architecture.resolution), artifact, device)
    return space.layers(architecture), backend.compile(artifact, device, folder)


@needs_vela
@pytest.mark.nightly
class TestConformance(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return VelaBackend()

    @pytest.fixture
    def device(self) -> Device:
        return DEVICE

    @pytest.fixture
    def impossible(self) -> list[Device]:
        return [
            replace(DEVICE, options=(("accelerator", "ethos-u99"),)),
            replace(DEVICE, options=(("memory_mode", "Sram_Always"),)),
            replace(DEVICE, options=(("system_config", "Ethos_U65_High_End"),)),
        ]


@needs_vela
@pytest.mark.nightly
@pytest.mark.parametrize("accelerator", ["ethos-u65-256", "ethos-u85-512"])
def test_every_family_of_accelerators_compiles(accelerator, tmp_path):
    device = replace(DEVICE, options=(("accelerator", accelerator),))
    backend = VelaBackend()
    _, path = compiled(backend, device, tmp_path)
    with backend.open(device) as session:
        burst = session.time(session.load(path), 0, 3, 60.0)
    assert len(set(burst.wall_ms)) == 1 and burst.wall_ms[0] > 0
    assert burst.properties["npu_cycles"] > 0 and burst.properties["sram_bytes"] > 0


@needs_vela
def test_single_layers_add_up_to_the_network_and_are_compiled_once(tmp_path):
    settings = VelaSettings.of(DEVICE)
    layers, path = compiled(VelaBackend(), DEVICE, tmp_path)
    with VelaBackend().open(DEVICE) as session:
        whole = session.time(session.load(path), 0, 1, 60.0)
    kept = tmp_path / "layers.jsonl"
    first = Estimates(settings, kept)
    total = sum(first.of(layer).ms for layer in layers)
    assert total == pytest.approx(whole.wall_ms[0], rel=0.1)
    kept.write_text(kept.read_text() + '["unfinished')
    again = Estimates(settings, kept)
    again._vela = pytest.fail  # nothing is compiled again
    assert sum(again.of(layer).ms for layer in layers) == total


@needs_vela
def test_a_compiled_file_that_is_not_velas_is_refused(tmp_path):
    _, path = compiled(VelaBackend(), DEVICE, tmp_path)
    _, other = compiled(VelaBackend(), DEVICE, tmp_path, 1)
    path.write_bytes(other.read_bytes())
    with VelaBackend().open(DEVICE) as session, pytest.raises(DeviceError, match="is not what Vela makes of network0"):
        session.load(path)


@needs_vela
def test_operators_that_stay_on_the_processor_are_refused_because_nothing_estimates_them(tmp_path):
    from nagsdk_litert.backend import HOST, LiteRtBackend

    space = small_networks()
    architecture = space.decode(space.sample(1, np.random.default_rng(0)))[0]
    path = tmp_path / "network.tflite"
    graph = trace(random_subnet(space, architecture), architecture.resolution)
    LiteRtBackend().export(graph, path, replace(HOST, precision="int8", io="float"))
    with pytest.raises(DeviceError, match="leaves operators of network.tflite to the processor: Dequantize, Quantize"):
        VelaBackend().compile(path, DEVICE, tmp_path)


@pytest.mark.parametrize("metric", [Cycles(), Sram(), Flash()], ids=lambda metric: metric.id)
def test_metrics_are_refused_on_other_devices(metric):
    layer = SpaceLayers.of(small_networks()).unique[0]
    with pytest.raises(UsageError, match=f"The {metric.id} of cpu is not known"):
        metric.of_layer(layer, Device("cpu", "", "onnxruntime"))


def test_a_network_of_one_layer_has_the_shapes_of_the_layer():
    for layer in SpaceLayers.of(small_networks()).unique:
        graph = graph_of(layer)
        channels, *size = graph.shapes[graph.output][1:]
        assert (channels, size[:1]) == (layer.out_channels, [layer.out_size] if layer.kind != "linear" else [])


def test_options_are_checked_before_vela_starts():
    for options, batch in (((("accelerator", "ethos"),), 1), ((("speed", "1"),), 1), ((), 2)):
        presence = VelaBackend().presence(replace(DEVICE, options=options, batch=batch))
        assert not presence.available and presence.reason


def test_only_integers_go_in_and_out():
    with pytest.raises(UsageError, match="does not offer 'float' as input and output in int8"):
        Overrides(io="float").on(DEVICE, VelaBackend.precisions, VelaBackend.ios)
    assert Overrides().on(replace(DEVICE, io=""), VelaBackend.precisions, VelaBackend.ios).io == "int8"


def test_accelerators_are_found_by_name():
    for name in ACCELERATORS:
        device = plugin.nagsdk_resolve_device(name.upper())
        assert device is not None and VelaSettings.of(device).accelerator == name
    assert plugin.nagsdk_resolve_device("cpu") is None


def test_a_missing_compiler_is_reported_and_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'nagsdk[vela]'" in VelaBackend().presence(DEVICE).reason
    assert VelaBackend().simulate(SpaceLayers.of(small_networks()).unique[0], DEVICE) is None
    with pytest.raises(DeviceUnavailableError):
        VelaBackend().open(DEVICE)
