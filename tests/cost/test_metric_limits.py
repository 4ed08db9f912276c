"""Metrics and simulators of plugins, as budgets, generation and priors use them."""

import math
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.budget import Budget
from nagsdk.bundle.bundle import load_bundle
from nagsdk.cli import cli
from nagsdk.cost.metric_limits import MetricLimits
from nagsdk.device.description import Device
from nagsdk.errors import BudgetError, DeviceError, InfeasibleError, UnknownNameError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.pipeline import target as workbench
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.describe import prior_warnings
from nagsdk.pipeline.loop import Deployer
from nagsdk.pipeline.models import cost_model, prior_of, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.plugin import host as plugin
from nagsdk.plugin import load
from nagsdk.plugin.metrics import check_units
from nagsdk.plugin.units import read_budget
from tests.few_images import few_images  # noqa: F401
from tests.simulated import SimulatedBackend, SimulatedSession

SOURCE = """
from nagsdk.cost.metric import HIGHER, MAXIMUM, PEAK, Metric
from nagsdk.plugin import hookimpl

nagsdk_api = 1


class Energy(Metric):
    id, title = "energy", "What an inference takes from the battery"
    units = {"uJ": 1.0, "mJ": 1000.0}
    def of_layer(self, layer, device):
        return 1e-5 * layer.macs + 1e-4 * layer.activations


class Peak(Metric):
    id, title, aggregation = "peak", "Largest activations of a layer", MAXIMUM
    units = {"kElements": 1e3}
    def of_layer(self, layer, device):
        return layer.activations


class Reuse(Metric):
    id, title, direction = "weights", "Numbers worth storing", HIGHER
    units = {"kWeights": 1e3}
    def of_layer(self, layer, device):
        return layer.weights


class Ram(Metric):
    id, title, aggregation = "numbers", "Weights, and what the largest layer reads and writes", PEAK
    measured = "ram_bytes"
    units = {"kNumbers": 4e3}
    def of_layer(self, layer, device):
        return 4.0 * layer.activations
    def kept_by_layer(self, layer, device):
        return 4.0 * layer.folded_parameters


@hookimpl
def nagsdk_register_metrics(registry):
    for metric in (Energy(), Peak(), Reuse(), Ram()):
        registry.add(metric)
"""


_LOADED = []


@pytest.fixture
def loaded(tmp_path_factory, monkeypatch):
    """What is installed, with the plugin of metrics; loaded once for all tests, since each plugin is tried first."""
    if not _LOADED:
        folder, real = tmp_path_factory.mktemp("metrics"), load.entry_points
        (folder / "metrics_plugin.py").write_text(SOURCE)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.setattr(
                load, "entry_points", lambda group: [*real(group=group), EntryPoint("metrics", "metrics_plugin", group)]
            )
            plugin.installed.cache_clear()
            _LOADED.append(plugin.host())
            plugin.installed.cache_clear()
    with plugin.using(_LOADED[0]):
        yield _LOADED[0]


def limits(loaded, name):
    bundle = load_bundle("glyphs")
    worth = lambda codes: bundle.predictor.predict(codes).mean  # noqa: E731
    return MetricLimits.of(bundle.space, loaded.metrics.get(name), Device("cpu", "", "onnxruntime"), worth)


def test_budgets_are_written_in_the_units_of_plugins(loaded):
    budget = read_budget("2.5 mJ")
    assert (budget.metric, budget.limit, str(budget)) == ("energy", 2500.0, "2500uJ")
    with pytest.raises(BudgetError, match="percentiles"):
        read_budget("2mJ@p90")
    with pytest.raises(BudgetError) as caught:
        read_budget("3 parsecs")
    assert "kElements" in caught.value.next_step


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({"MJ": 1.0}, "belongs to the metric energy"),
        ({"ms": 1.0}, "belongs to the metric latency"),
        ({"x": 0.0}, "The factor of a unit cannot be 0"),
        ({"x2": 1.0}, "cannot be a unit"),
        ({"x": "1"}, "The factor of a unit cannot be '1'"),
        ({1: 1.0}, "cannot be a unit"),
        ({}, "has no unit"),
    ],
)
def test_units_belong_to_one_metric(loaded, units, says):
    class Other(type(loaded.metrics.get("energy"))):
        id = "other"

    other = Other()
    other.units = units
    with pytest.raises(BudgetError, match=says):
        check_units(other, loaded.metrics)
    merged = plugin.Contribution(metrics=loaded.metrics)
    new = plugin.Contribution()
    new.metrics.add(other)
    with pytest.raises(BudgetError, match=says):
        merged.merge(new)
    assert "other" not in merged.metrics


def test_units_are_those_of_the_plugins_in_use(loaded):
    few = plugin.Host((), loaded.backends, loaded.devices)
    assert read_budget("2mJ").metric == "energy" and read_budget("20kElements").metric == "peak"
    with plugin.using(few), pytest.raises(BudgetError, match="not a unit"):
        read_budget("20kElements")
    with plugin.using(few):
        assert read_budget("2mJ").metric == "inference_energy"
    with pytest.raises(BudgetError, match="not a unit"):
        Budget.parse("2mJ")
    assert Budget.parse("2mJ", units=loaded.units) == Budget("energy", 2000.0, unit=("mJ", 1000.0))


def test_without_the_plugin_its_units_are_unknown():
    plugin.installed.cache_clear()
    with pytest.raises(BudgetError, match="not a unit"):
        read_budget("20kElements")


@pytest.mark.parametrize(("name", "text"), [("energy", "50uJ"), ("peak", "20kElements"), ("numbers", "250kNumbers")])
def test_what_is_generated_holds_the_metric_and_uses_it(loaded, name, text):
    bound = limits(loaded, name)
    (wide,) = nagsdk.generate("cpu", budget=["10MMACs"])
    (tight,) = nagsdk.generate("cpu", budget=[text])
    space, limit = load_bundle("glyphs").space, read_budget(text).limit
    assert bound.value(space.parse(tight.architecture)) <= limit < bound.value(space.parse(wide.architecture))
    assert tight.metrics == {name: bound.value(space.parse(tight.architecture))}
    assert tight.to_dict()["budget"]["metric"] == name and wide.metrics == {}


def test_results_show_metrics_in_the_unit_of_budgets(loaded):
    shown = CliRunner().invoke(cli, ["generate", "--device", "cpu", "--budget", "20kElements"])
    (line,) = [line.split() for line in shown.output.splitlines() if line.startswith("  peak")]
    assert 1 < float(line[1]) <= 20 and line[2] == "kElements"


class Failing(SimulatedBackend):
    def supports(self, layer, device):
        return layer.flavour

    layer_bytes = simulate = supports


@pytest.mark.parametrize("asked", ["of_layer", "supports", "layer_bytes", "simulate"])
def test_what_fails_over_a_layer_is_an_error_of_its_plugin(loaded, monkeypatch, asked):
    board, failing = Device("board", "A board", "simulated"), Failing()
    if asked == "of_layer":
        monkeypatch.setattr(type(loaded.metrics.get("energy")), "of_layer", Failing.supports)
    elif asked != "supports":
        monkeypatch.setattr(Failing, "supports", SimulatedBackend.supports)
    with pytest.raises(
        DeviceError, match=r"^The (metric energy of a layer|backend simulated) failed: AttributeError: .*'flavour'"
    ) as caught:
        {
            "of_layer": lambda: limits(loaded, "energy"),
            "supports": lambda: Target(board, "glyphs", backend=failing).costs.supported,
            "layer_bytes": lambda: Target(board, "glyphs", backend=failing).costs.table("size", None),
            "simulate": lambda: prior_of(Target(board, "glyphs", backend=failing)),
        }[asked]()
    assert f"({__file__}, line " in str(caught.value) and "Fix its plugin" in caught.value.next_step


def test_a_lower_limit_is_held(loaded):
    bound, space = limits(loaded, "weights"), load_bundle("glyphs").space
    (result,) = nagsdk.generate("cpu", budget=[["150kWeights", "3MMACs"]])
    assert bound.value(space.parse(result.architecture)) >= 150e3 and result.macs <= 3e6
    assert result.metrics == {"weights": bound.value(space.parse(result.architecture))}


def test_several_limits_on_a_maximum_are_answered_independently(loaded):
    bound, space = limits(loaded, "peak"), load_bundle("glyphs").space
    results = nagsdk.generate("cpu", budget=["12kElements", "20kElements", "40kElements"])
    values = [bound.value(space.parse(r.architecture)) for r in results]
    assert all(v <= b.limit for v, b in zip(values, (r.budget for r in results), strict=True))
    assert results[0].predicted.top1 < results[2].predicted.top1


@pytest.mark.parametrize(
    ("name", "text"), [("energy", "1uJ"), ("peak", "1kElements"), ("weights", "9000kWeights"), ("numbers", "9kNumbers")]
)
def test_what_cannot_be_held_is_said_with_what_can(loaded, name, text):
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("cpu", budget=[text])
    nearest = read_budget(caught.value.next_step.removeprefix("Ask for ").partition(",")[0])
    assert nearest.metric == name
    (result,) = nagsdk.generate("cpu", budget=[nearest])
    assert result.metrics[name] == pytest.approx(nearest.limit, rel=2e-3)


@pytest.mark.parametrize("name", ["energy", "peak", "weights"])
def test_the_table_agrees_with_the_layers(loaded, name):
    bound, space = limits(loaded, name), load_bundle("glyphs").space
    codes = space.sample(200, np.random.default_rng(0))
    values = np.array([bound.value(a) for a in space.decode(codes)])
    limit = float(np.median(values))
    table, held = bound.held(limit)
    assert np.array_equal(
        table.cost(codes) <= held * (1 + 1e-12), values >= limit if name == "weights" else values <= limit
    )
    assert [bound.share(bound.value(a), limit) <= 1 for a in space.decode(codes)] == (
        values >= limit if name == "weights" else values <= limit
    ).tolist()


def test_a_limit_on_a_peak_is_divided_so_that_holding_both_parts_holds_it(loaded):
    bound, space = limits(loaded, "numbers"), load_bundle("glyphs").space
    codes = space.sample(300, np.random.default_rng(0))
    values = np.array([bound.value(a) for a in space.decode(codes)])
    for limit in np.quantile(values, [0.1, 0.5, 0.9]):
        table, rest = bound.held(float(limit))
        held = table.cost(codes) <= rest
        assert (values[held] <= limit).all() and held.sum() > 0.3 * (values <= limit).sum()
    assert bound.held(float(values.max()), resolution=0)[1] > 0


@pytest.mark.parametrize("resolution", [None, 48])
def test_a_peak_leaves_accuracy_where_it_is_worth_most(loaded, resolution):
    bound, space = limits(loaded, "numbers"), load_bundle("glyphs").space
    budget = read_budget("300kNumbers")
    (result,) = nagsdk.generate("cpu", budget=[budget], resolution=resolution)
    codes = space.sample(3000, np.random.default_rng(7))
    if resolution is not None:
        codes[:, 0] = space.resolution_index(resolution)
    fitting = np.array([bound.value(a) <= budget.limit for a in space.decode(codes)])
    assert result.predicted.top1 > load_bundle("glyphs").predictor.predict(codes[fitting]).mean.max()


class TellingSession(SimulatedSession):
    def time(self, handle, warmup, runs, timeout_s):
        return replace(
            super().time(handle, warmup, runs, timeout_s), properties={"ram_bytes": 1.2 * self.sizes[handle]}
        )

    def load(self, compiled):
        handle = super().load(compiled)
        self.sizes = {**getattr(self, "sizes", {}), handle: compiled.stat().st_size}
        return handle


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({}, "board reports no ram_bytes"),
        ({"ram_bytes": -1.0}, "or a negative value"),
        ({"ram_bytes": math.nan}, "reported nan as ram_bytes"),
    ],
)
def test_what_is_to_be_measured_and_is_not_told_ends_the_deployment(loaded, tmp_path, monkeypatch, told, says):
    monkeypatch.setattr(workbench, "PROTOCOL", replace(workbench.PROTOCOL, spread_s=0, patience_s=0))
    real = SimulatedSession.time
    monkeypatch.setattr(SimulatedSession, "time", lambda *asked: replace(real(*asked), properties=told))
    target = Target(Device("board", "A board", "simulated"), "glyphs", backend=SimulatedBackend())
    with pytest.raises(DeviceError, match=says) as caught:
        Deployer(target, Builder(target)).run([read_budget("250kNumbers")], [None], tmp_path)
    assert "plugin" in caught.value.next_step


def test_a_metric_that_limits_nothing_says_so(loaded):
    asked = ["900000kNumbers", "250kNumbers", "900000kElements", "20kElements", "1kWeights", "150kWeights"]
    results = [nagsdk.generate("cpu", budget=[one])[0] for one in asked]
    assert [any("limits nothing" in w for w in r.warnings) for r in results] == [True, False] * 3


class Telling(SimulatedBackend):
    def open(self, device):
        return TellingSession(self.computing(device), self)


def test_what_a_device_tells_of_a_metric_counts(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(workbench, "PROTOCOL", replace(workbench.PROTOCOL, spread_s=0, patience_s=0))
    target = Target(Device("board", "A board", "simulated"), "glyphs", backend=Telling())
    deployer, budget = Deployer(target, Builder(target)), read_budget("250kNumbers")
    outcome = deployer.run([budget], [None], tmp_path)
    first, last = deployer.rounds[0], deployer.rounds[-1]
    assert (first.result.verdict, last.result.verdict, outcome) == ("missed", "held", last)
    for turn in deployer.rounds:
        assert turn.result.metrics == {"numbers": pytest.approx(1.2 * turn.built.path.stat().st_size)}
        assert turn.used == pytest.approx(turn.result.metrics["numbers"] / budget.limit)
    assert last.used > 0.7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("MAXIMUM\n", "'mean'\n"), "aggregation 'mean'"),
        (
            ('"Largest activations of a layer", MAXIMUM', '"Largest", MAXIMUM\n    direction = HIGHER'),
            "has the direction higher",
        ),
        (('{"kElements": 1e3}', '{"ms": 1e3}'), "belongs to the metric latency"),
        (('id, title = "energy"', 'id, title = "macs"'), "belongs to the metric"),
        (
            ('units = {"kWeights": 1e3}', 'units = {"kWeights": 1e3}; measured = "w"'),
            "has the direction higher, but is a sum and measured",
        ),
    ],
)
def test_invalid_metrics_break_their_plugin(tmp_path, monkeypatch, change, says):
    assert change[0] in SOURCE
    (tmp_path / "odd_metrics.py").write_text(SOURCE.replace(*change))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load, "entry_points", lambda group: [EntryPoint("metrics", "odd_metrics", group)])
    plugin.installed.cache_clear()
    monkeypatch.delitem(sys.modules, "odd_metrics", raising=False)
    (status,) = plugin.host().plugins
    plugin.installed.cache_clear()
    assert status.state == "broken" and says in status.reason


class WithSimulator(SimulatedBackend):
    def simulate(self, layer, device):
        return 0.001 + layer.macs / 2e6


def test_a_simulator_is_the_prior_of_its_device():
    backend = WithSimulator(present=False)
    target = Target(Device("board", "A board", "simulated"), "glyphs", backend=backend)
    model = require_cost_model(target)
    space = target.bundle.space
    codes = space.sample(100, np.random.default_rng(1))
    expected = np.array(
        [sum(backend.simulate(layer, target.device) for layer in space.layers(a)) for a in space.decode(codes)]
    )
    assert np.std(np.log(model.mean(codes) / expected)) < 0.05
    assert model.source == "prior" and "the simulator of the backend simulated" in model.facts["caveat"]
    assert any("simulator" in told for told in prior_warnings(model, "board"))
    assert (
        cost_model(Target(Device("board", "A board", "simulated"), "glyphs", backend=SimulatedBackend(present=False)))
        is None
    )


def test_a_sum_over_layers_has_a_frontier(loaded, tmp_path):
    rows = nagsdk.frontier("cpu", metric="energy", strategies=["lookup"], points=5, plot=tmp_path / "energy.svg").rows()
    energy, space = loaded.metrics.get("energy"), load_bundle("glyphs").space
    for row in rows:
        own = sum(energy.of_layer(layer, None) for layer in space.layers(space.parse(row["architecture"])))
        assert row["cost"] == pytest.approx(own) and own <= row["limit"] * (1 + 1e-9)
    assert np.all(np.diff([row["predicted_top1"] for row in rows]) > 0)
    assert (tmp_path / "energy.svg").stat().st_size > 10_000
    with pytest.raises(UsageError, match="peak has no frontier"):
        nagsdk.frontier("cpu", metric="peak")
    with pytest.raises(UnknownNameError, match="energie"):
        nagsdk.frontier("cpu", metric="energie")


@pytest.mark.slow
def test_a_deployment_holds_the_metrics_of_plugins(loaded, tmp_path, monkeypatch):
    short = replace(workbench.PROTOCOL, rounds=3, most_rounds=3, spread_s=0, patience_s=0)
    monkeypatch.setattr(workbench, "PROTOCOL", short)
    deployment = nagsdk.deploy("cpu", budget=["30uJ", "10kElements"], output=tmp_path / "model")
    values = read_manifest(tmp_path / "model")["metrics"]
    assert deployment.verdict == "held" and values == dict(deployment.result.metrics)
    assert values["energy"] <= 30 and values["peak"] <= 10e3
    with pytest.raises(InfeasibleError, match="the nearest possible value is"):
        nagsdk.deploy("cpu", budget=["30uJ", "1kElements"], output=tmp_path / "other")
