"""What was written for version 0.1.0, by its documentation, runs unchanged."""

import importlib
import json
import os
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import nagsdk
from nagsdk import inventory
from nagsdk.common.moved import MOVED
from nagsdk.device.backend import Backend
from nagsdk.plugin import host as plugin
from nagsdk.plugin import load

# Exactly what docs/plugins.md and the template of 0.1.0 say; not to be brought up to date.
PLUGIN = '''
"""The entry point: loaded whenever a device is asked for, so it imports nothing heavy."""

from __future__ import annotations

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.metric import MAXIMUM, Metric
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


class Energy(Metric):
    id, title = "energy", "What an inference takes from the battery"
    units = {"mJ": 1.0, "J": 1000.0}

    def of_layer(self, layer, device):
        return 1e-8 * layer.macs + 1e-7 * layer.activations


class Buffer(Metric):
    id, title, aggregation = "buffer", "Largest activations of a layer", MAXIMUM
    units = {"kElements": 1e3}

    def of_layer(self, layer, device):
        return layer.activations


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    from old_board_backend import BoardBackend

    registry.add(BoardBackend())


@hookimpl
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    registry.add(Device(id="oldboard", title="A board", backend="oldboard"))


@hookimpl
def nagsdk_register_strategies(registry: Registry[Strategy]) -> None:
    from old_board_strategy import Cheapest

    registry.add(Cheapest())


@hookimpl
def nagsdk_register_metrics(registry: Registry[Metric]) -> None:
    registry.add(Energy())
    registry.add(Buffer())


@hookimpl
def nagsdk_resolve_device(query: str) -> Device | None:
    return Device(id="oldboard-far", title="A board far away", backend="oldboard") if query == "oldboard@far" else None
'''
BACKEND = '''
"""The backend: which file the device takes, and how a session with it opens."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from nagsdk.architecture import LayerSpec
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceUnavailableError, UnsupportedLayerError
from nagsdk.events import Listener, stage
from nagsdk.finding import OK, Finding
from nagsdk.graph.ir import Graph, Pad
from nagsdk.installing import pip


class BoardBackend(Backend):
    """Exports ONNX files and runs them in a process of its own."""

    id = "oldboard"
    title = "A board"
    suffix = ".onnx"
    apart = True

    def presence(self, device: Device) -> Presence:
        if device.options:
            return Presence(False, f"The device {device.id} has options, and this backend knows none: take them away.")
        if importlib.util.find_spec("onnxruntime") is None:
            return Presence(False, f"ONNX Runtime is not installed. Install it: {pip('install', 'onnxruntime')}")
        runtime = {"runtime": "onnxruntime", "runtime_version": version("onnxruntime")}
        return Presence.of({"processor": processor(), **runtime})

    def supports(self, layer: LayerSpec, device: Device) -> bool:
        assert isinstance(layer, LayerSpec)
        return not (layer.kind == "depthwise" and layer.kernel == 5)

    def simulate(self, layer: LayerSpec, device: Device) -> float:
        return 0.001 + layer.macs / 2e6

    def diagnose(self) -> Sequence[Finding]:
        return [Finding("oldboard", OK, "It is as it was.")]

    def setup(self, source: Path | None, listener: Listener) -> Mapping[str, str]:
        with stage(listener, "Bringing the tool", 1) as advance:
            advance(1, "all of it")
        return {"tool": str(source)}

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        from nagsdk.graph.onnx import write_onnx

        if any(isinstance(node, Pad) for node in graph.nodes):
            raise UnsupportedLayerError("A board pads nothing.", "Undo the rewrite.")
        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, "`nagsdk devices` shows what is there.")
        return BoardSession({"threads": device.threads}, {"OMP_NUM_THREADS": str(device.threads)})


class BoardSession(ProcessSession):
    """The worker, and what to say where it does not start."""

    runtime = "ONNX Runtime"
    worker = "old_board_worker"
    remedy = "Try `python -c 'import onnxruntime'`, and reinstall it where that fails."
'''
STRATEGY = """
from nagsdk.events import Notice
from nagsdk.generator.strategy import Question, Strategy


class Cheapest(Strategy):
    id, title = "oldboard-cheapest", "Always the cheapest"

    def propose(self, question: Question):
        question.listener(Notice("as always"))
        return question.reserves[:, None]
"""
WORKER = '''
"""The process in which the runtime runs: a crash, a hang or a leak in it stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime

from nagsdk.device.serve import Handler, Images, serve
from nagsdk.device.worker import Worker


class BoardWorker(Worker):
    """Networks in the runtime."""

    def open(self, path: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def shape(self, network: Any) -> Sequence[int]:
        return network.get_inputs()[0].shape

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        feed = {network.get_inputs()[0].name: images}
        return lambda: network.run(None, feed)[0]


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    return {}, BoardWorker(settings["threads"]).handlers


if __name__ == "__main__":
    serve(start)
'''
# The test that the template of 0.1.0 came with asked so.
TEST = """
from nagsdk.plugin import host
from old_board_backend import BoardBackend

assert isinstance(host().backend_of(host().device("oldboard")), BoardBackend)
"""
# Names that the documentation of 0.1.0 had in modules which lie elsewhere now, or are packages now.
DOCUMENTED = {
    "nagsdk.architecture": "Architecture LayerSpec",
    "nagsdk.building": "BuildReport Outcome build",
    "nagsdk.config": "SETTINGS Setting Value config_file look_up value",
    "nagsdk.doctor": "doctor",
    "nagsdk.finding": "ABSENT Finding OK WRONG",
    "nagsdk.hookspecs": (
        "nagsdk_register_backends nagsdk_register_devices nagsdk_register_metrics nagsdk_register_strategies"
    ),
    "nagsdk.housekeeping": (
        "bundles devices export_store import_store names new_plugin plugins prune_store pull_bundle setup show_bundle"
    ),
    "nagsdk.installing": "pip",
    "nagsdk.metric": "HIGHER LOWER MAXIMUM Metric PEAK SUM",
    "nagsdk.own_data": "evaluate fit_predictor middle_budget train",
    "nagsdk.plugin": "API_VERSION GROUP Registry hookimpl host read_budget",
    "nagsdk.registry": "Registry",
    "nagsdk.reporting": "report",
    "nagsdk.training": "train_generator train_paper_generator",
    "nagsdk.verifying": "Check Verification verify",
}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The plugin, loaded as if it had been installed; told are the warnings of its authors."""
    for name, source in {"plugin": PLUGIN, "backend": BACKEND, "strategy": STRATEGY, "worker": WORKER}.items():
        (tmp_path / f"old_board_{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for name in (*MOVED, *(f"old_board_{part}" for part in ("plugin", "backend", "strategy"))):
        monkeypatch.delitem(sys.modules, name, raising=False)
    real = load.entry_points
    monkeypatch.setattr(
        load, "entry_points", lambda group: [*real(group=group), EntryPoint("oldboard", "old_board_plugin", group)]
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = plugin.load_all()
    with plugin.using(loaded):
        yield loaded, [str(w.message) for w in told if w.category is DeprecationWarning]


def test_a_plugin_of_0_1_registers_everything(old):
    loaded, told = old
    (status,) = [p for p in loaded.plugins if p.name == "oldboard"]
    assert (status.state, status.reason) == ("loaded", "")
    assert {
        "backend oldboard",
        "device oldboard",
        "strategy oldboard-cheapest",
        "metric energy",
        "metric buffer",
    } == set(status.registered)
    assert "BoardBackend.apart is deprecated: rename it to runs_elsewhere." in told
    assert {"nagsdk.metric is nagsdk.cost.metric now.", "nagsdk.installing is nagsdk.common.pip now."} <= set(told)
    assert loaded.device("oldboard@far").id == "oldboard-far"


def test_a_plugin_of_0_1_is_told_where_its_author_reads_it(old, tmp_path):
    """Python shows deprecations where the code that is to be changed runs under a test runner: in its own file."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:old_board_plugin", "-c", "import old_board_plugin"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert (
        "DeprecationWarning: nagsdk.metric is nagsdk.cost.metric now." in done.stderr
        and "old_board_plugin.py" in done.stderr
    )


def test_what_a_backend_of_0_1_says_counts(old):
    loaded, _ = old
    backend, events = loaded.backends.get("oldboard"), []
    assert backend.runs_elsewhere is True and type(backend).runs_elsewhere and not Backend.runs_elsewhere
    assert [(f.area, f.state) for f in backend.diagnose()] == [("oldboard", "ok")]
    assert inventory.setup("oldboard", "tool", on_event=events.append) == {"tool": "tool"}
    assert [type(event).__name__ for event in events] == ["Started", "Advanced", "Finished"]


def test_a_subclass_of_a_backend_of_0_1_may_say_otherwise(old):
    board = type(old[0].backends.get("oldboard"))
    assert type("Same", (board,), {}).runs_elsewhere is True
    assert type("Here", (board,), {"runs_elsewhere": False}).runs_elsewhere is False
    with pytest.warns(DeprecationWarning, match=r"Here\.apart"):
        assert type("Here", (board,), {"apart": False}).runs_elsewhere is False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_plugin_of_0_1_generates_and_exports(old, tmp_path):
    """Support and simulator decide what is generated; the file is written, loaded and compared with torch."""
    loaded, _ = old
    (result,) = nagsdk.generate("oldboard", ["20ms"])
    space = nagsdk.load_bundle("glyphs").space
    assert set(space.settings(space.parse(result.architecture)).kernels) == {3}
    (anywhere,) = nagsdk.generate("cpu", ["20MMACs"])
    assert 5 in space.settings(space.parse(anywhere.architecture)).kernels
    assert any("simulator" in warning for warning in result.warnings)
    simulated = sum(
        loaded.backends.get("oldboard").simulate(layer, None)
        for layer in space.layers(space.parse(result.architecture))
    )
    assert result.predicted.latency_ms == pytest.approx(simulated, rel=0.3)
    left = nagsdk.export("oldboard", result.architecture, tmp_path / "left")
    manifest = json.loads((tmp_path / "left" / "manifest.json").read_text())
    assert (
        manifest["parity"] < 1e-5
        and manifest["artifact"]["path"].endswith(".onnx")
        and left.folder == tmp_path / "left"
    )
    backend, device = loaded.backends.get("oldboard"), loaded.device("oldboard")
    with backend.open(device) as session:
        handle = session.load(tmp_path / "left" / manifest["artifact"]["path"])
        burst = session.time(handle, 1, 5, 60.0)
        images = np.zeros((2, 3, result.resolution, result.resolution), np.float32)
        assert len(burst.wall_ms) == 5 and np.isfinite(session.infer(handle, images)).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_metrics_and_strategies_of_0_1_work(old):
    loaded, _ = old
    space = nagsdk.load_bundle("glyphs").space
    (held,) = nagsdk.generate("oldboard", [["0.05mJ", "20kElements"]])
    energy = sum(
        loaded.metrics.get("energy").of_layer(layer, None) for layer in space.layers(space.parse(held.architecture))
    )
    assert held.metrics["energy"] == pytest.approx(energy) and energy <= 0.05 and held.metrics["buffer"] <= 20e3
    assert [str(budget) for budget in held.budgets] == ["0.05mJ", "20kElements"]
    events = []
    (cheap,) = nagsdk.generate("oldboard", ["20ms"], strategy="oldboard-cheapest", on_event=events.append)
    assert cheap.macs < held.macs and "as always" in [event.text for event in events]


def test_a_strategy_of_0_1_is_told_the_new_name(old):
    with pytest.warns(DeprecationWarning, match=r"Question\.listener is deprecated: use Question\.on_event"):
        nagsdk.generate("oldboard", ["20ms"], strategy="oldboard-cheapest")


def test_the_tests_of_a_plugin_of_0_1_find_their_device(old):
    with pytest.warns(
        DeprecationWarning, match=r"nagsdk\.plugin\.host is a module now: call nagsdk\.plugin\.host\.host"
    ):
        exec(TEST, {})


@pytest.mark.parametrize("name", MOVED)
def test_a_module_that_moved_still_imports(monkeypatch, name):
    monkeypatch.delitem(sys.modules, name, raising=False)
    places = MOVED[name]
    with pytest.warns(DeprecationWarning, match=rf"^{name} is {places[0]} now\.$"):
        module = importlib.import_module(name)
    for place in places:
        real = importlib.import_module(place)
        public = [
            n for n, value in vars(real).items() if not n.startswith("_") and getattr(value, "__module__", "") == place
        ]
        assert public and all(getattr(module, n) is getattr(real, n) for n in public)
    with pytest.raises(AttributeError, match=f"^{name} is {' and '.join(places)} now; there is no 'nothing' there"):
        module.nothing  # noqa: B018 — asking is the test


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_was_documented_is_where_it_was(name):
    module = importlib.import_module(name)
    assert [n for n in DOCUMENTED[name].split() if not hasattr(module, n)] == []


def test_what_never_was_is_not_there():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nagsdk.nothing")


def test_calls_with_the_keywords_of_0_1_are_understood():
    """As docs/python.md of 0.1.0 wrote them."""
    with pytest.warns(
        DeprecationWarning, match="generate: the argument (device is called target|budgets is called budget)"
    ):
        (best,) = nagsdk.generate(device="cpu", budgets=["2MMACs"])
    with pytest.warns(DeprecationWarning, match="predict: the argument device is called target"):
        assert nagsdk.predict(architectures=[best.architecture], device="cpu")[0].macs == best.macs
    assert nagsdk.generate("cpu", "2MMACs") == [best]


def test_an_old_keyword_and_the_present_one_are_not_both_taken():
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="got device and target"):
        nagsdk.generate(target="litert", budget="2MMACs", device="cpu")
