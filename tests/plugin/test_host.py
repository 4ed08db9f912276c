import os
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from nagsdk.bundle.bundle import load_bundle
from nagsdk.cli import cli
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.device.presence import presence_of
from nagsdk.errors import BudgetError, DeviceError, UnknownNameError, UnknownUnitError
from nagsdk.generator.strategy import Question
from nagsdk.pipeline.choices import loss_of
from nagsdk.plugin import Registry, load
from nagsdk.plugin import host as plugin
from nagsdk.plugin.units import read_budget
from nagsdk.predictor.losses import all_losses
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher

WORKING = """
nagsdk_api = 1
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import hookimpl

class Mine(Backend):
    id, title, suffix = "{id}", "Mine", ".bin"
    def presence(self, device): ...
    def export(self, graph, path, device, images=None): ...
    def open(self, device): ...

@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Mine())

@hookimpl
def nagsdk_register_devices(registry):
    registry.add(Device("{id}-board", "A board", "{id}", ("{id}-alias",)))
"""
HOOK = "nagsdk_api = 1\nfrom nagsdk.plugin import hookimpl\n@hookimpl"
BROKEN = {
    "raises": "raise RuntimeError('no driver')",
    "lacks": "import a_module_that_is_not_there",
    "garbage": f"{HOOK}\ndef nagsdk_register_backends(registry): registry.add('a string')",
    "late": f"{HOOK}\ndef nagsdk_register_devices(registry): 1 / 0",
    "twice": WORKING.format(id="first"),
    "exits": "raise SystemExit(0)",
    "silent": "from nagsdk.plugin import hookimpl\n@hookimpl\ndef nagsdk_register_devices(registry): pass",
    "future": f"{HOOK}\ndef nagsdk_register_devices(registry): pass".replace("nagsdk_api = 1", "nagsdk_api = 2"),
    "misspelt": f"{HOOK}\ndef nagsdk_register_device(registry): pass",
    "unmarked": "nagsdk_api = 1\ndef nagsdk_register_devices(registry): pass",
    "empty": "nagsdk_api = 1",
    "nameless": WORKING.format(id="Two Words"),
    "numbered": WORKING.format(id="x").replace('"x-board"', "3"),
    "arguments": f"{HOOK}\ndef nagsdk_register_devices(nothing): pass",
}
SAYS = {
    "raises": "no driver",
    "lacks": "a_module_that_is_not_there",
    "garbage": "registered str as a backend",
    "late": "ZeroDivisionError",
    "twice": "Two plugins register the backend 'first'",
    "exits": "SystemExit",
    "silent": "does not say for which version",
    "future": "was written for version 2 of the plugin API; this nagsdk has version 1",
    "misspelt": "Did you mean nagsdk_register_devices?",
    "unmarked": "Mark hooks with @hookimpl",
    "empty": "Mark hooks with @hookimpl",
    "nameless": "'Two Words' cannot be the id",
    "numbered": "3 cannot be the id",
    "arguments": "nothing",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs plugins as modules behind entry points."""
    points = []

    def install(name, source):
        (tmp_path / f"plugin_{name}.py").write_text(source)
        points.append(EntryPoint(name, f"plugin_{name}", load.GROUP))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load, "entry_points", lambda group: points)
    plugin.installed.cache_clear()
    yield install
    plugin.installed.cache_clear()
    for name in [m for m in sys.modules if m.startswith("plugin_")]:
        del sys.modules[name]


def test_a_broken_plugin_breaks_no_other(installed):
    installed("a", WORKING.format(id="first"))
    for name, source in BROKEN.items():
        installed(name, source)
    installed("z", WORKING.format(id="last"))
    loaded = plugin.host()
    states = {p.name: p for p in loaded.plugins}
    assert states["a"].state == states["z"].state == "loaded"
    assert {name: states[name].state for name in BROKEN} == dict.fromkeys(BROKEN, "broken")
    assert {name: says in states[name].reason for name, says in SAYS.items()} == dict.fromkeys(BROKEN, True), states
    assert {b.id for b in loaded.backends} == {"first", "last"}
    assert loaded.backend_of(loaded.devices.get("last-alias")).id == "last"


def test_a_runtime_that_a_plugin_imports_sends_no_reports(installed, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    installed(
        "eager", f"import os\nprint('telemetry off:', os.environ['ORT_DISABLE_TELEMETRY'])\n{WORKING.format(id='x')}"
    )
    (status,) = plugin.host().plugins
    assert "telemetry off: 1" in status.reason and "ORT_DISABLE_TELEMETRY" not in os.environ


def test_plugins_can_be_disabled(installed, monkeypatch):
    installed("a", WORKING.format(id="first"))
    monkeypatch.setenv("NAGSDK_DISABLE_PLUGINS", "a, other")
    status, misspelt = plugin.host().plugins
    assert (status.name, status.state, misspelt.name, misspelt.state) == ("a", "disabled", "other", "disabled")
    assert "no installed plugin has this name" in misspelt.reason
    with pytest.raises(UnknownNameError, match="The plugin a is disabled"):
        plugin.host().backends.get("first")


def test_a_device_without_its_backend_names_the_broken_plugin(installed):
    installed("a", WORKING.format(id="first").replace("registry.add(Mine())", "raise RuntimeError('no driver')"))
    installed("b", WORKING.format(id="first").replace("registry.add(Mine())", "pass"))
    loaded = plugin.host()
    with pytest.raises(DeviceError) as caught:
        loaded.backend_of(loaded.devices.get("first-board"))
    assert "no driver" in str(caught.value)


STRATEGY = """
nagsdk_api = 1
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import hookimpl

class Cheapest(Strategy):
    id, title = "{id}", "Always the cheapest"
    def propose(self, question):
        return question.reserves[:, None]

@hookimpl
def nagsdk_register_strategies(registry):
    registry.add(Cheapest())
"""


def test_strategies_come_from_plugins_too(installed):
    installed("a", STRATEGY.format(id="cheapest"))
    installed("b", STRATEGY.format(id="nag"))
    loaded = plugin.host()
    assert {s.id for s in loaded.strategies} == {
        "nag",
        "lookup",
        "polished",
        "nsga2",
        "evolution",
        "random",
        "enumeration",
        "cheapest",
    }
    assert [p.state for p in loaded.plugins] == ["loaded", "broken"] and "Two plugins" in loaded.plugins[1].reason
    assert type(loaded.strategies.get("nag")).__module__ == "nagsdk.generator.strategies"


BY_LOSS = """
        import numpy as np
        codes = np.repeat(question.reserves[:1], 2, axis=0)
        losses = question.loss(codes)
        question.on_event(Notice(f"{losses.shape} {losses[0] == losses[1] > 0}"))
        return codes[None]
"""


def test_a_strategy_of_another_process_may_ask_for_the_loss_in_the_supernet(installed):
    cheapest, hook = STRATEGY.format(id="by-loss").split("        return question.reserves[:, None]\n")
    installed("a", "from nagsdk.events import Notice\n" + cheapest + BY_LOSS.lstrip("\n") + hook)
    space, told = staged_space(stages=1), []
    table, score = random_tables(space, 0)
    limits = table.cost(space.all_codes()).max().reshape(1, 1)
    question = Question(
        space, Teacher(score), [table], limits, list, 0, told.append, loss=lambda codes: 3.0 + codes.sum(1)
    )
    answers = plugin.host().strategies.get("by-loss").propose(question)
    assert answers.shape == (1, 2, len(space.decisions)) and [event.text for event in told] == ["(2,) True"]


SCHEME = """
    precisions = integer_precisions = ("int8",)
    def scheme(self, device):
        from nagsdk.graph.schemes import Scheme
        return Scheme(7) if dict(device.options)["told"] == "yes" else None
"""


def test_what_networks_lose_by_the_scheme_of_another_process_is_known(installed):
    installed("a", WORKING.format(id="mine").replace('"Mine", ".bin"\n', '"Mine", ".bin"' + SCHEME))
    backend, bundle = plugin.host().backends.get("mine"), load_bundle("glyphs")
    board = Device("board", "A board", "mine", precision="int8")
    told, untold = (loss_of(bundle, backend, replace(board, options=(("told", word),))) for word in ("yes", "no"))
    assert told == bundle.predictor.loss("int8", "int8-w7")
    assert untold.low == min(loss.low for loss in all_losses(bundle.predictor.card).values()) <= told.low
    assert untold.high >= told.high and untold.mean >= told.mean


def test_unknown_names_get_near_ones(installed):
    installed("a", WORKING.format(id="raspberry"))
    with pytest.raises(UnknownNameError) as caught:
        plugin.host().devices.get("rasberry-board")
    assert "Did you mean raspberry-board" in str(caught.value) and caught.value.exit_code == 2


def test_what_is_not_found_names_the_plugin_that_may_have_brought_it(installed, monkeypatch):
    installed("eager", "nagsdk_api = 1\nraise RuntimeError('no driver')")
    installed("other", WORKING.format(id="other"))
    told = "The plugin eager is broken (see nagsdk plugins). It failed: RuntimeError: no driver ("
    loaded = plugin.host()
    for registry in (loaded.backends, loaded.devices, loaded.strategies, loaded.metrics):
        with pytest.raises(UnknownNameError) as caught:
            registry.get("eager")
        assert told in caught.value.next_step and "plugin_eager.py, line 2)" in caught.value.next_step
    with pytest.raises(UnknownUnitError) as unit:
        read_budget("2mJ")
    assert told in unit.value.next_step
    with pytest.raises(BudgetError) as number:
        read_budget("2")
    assert "eager" not in str(number.value)
    shown = CliRunner().invoke(cli, ["devices"])
    assert shown.output.endswith("The plugin eager is broken; see nagsdk plugins.\n")
    monkeypatch.setenv("NAGSDK_DISABLE_PLUGINS", "eager")
    plugin.installed.cache_clear()
    with pytest.raises(UnknownNameError) as quiet:
        plugin.host().device("eager")
    assert "The plugin eager is disabled" in str(quiet.value)


def test_where_a_plugin_failed_is_in_its_own_file(installed, tmp_path):
    (tmp_path / "plugin_library.py").write_text("def read(): return {}['key']")
    installed("a", "import plugin_library\n\nplugin_library.read()")
    installed("b", BROKEN["arguments"])
    first, second = plugin.host().plugins
    assert first.reason.startswith(f"It failed: KeyError: 'key' ({tmp_path / 'plugin_a.py'}, line 3).")
    assert "line" not in second.reason  # pluggy's complaint about a signature comes from no line of the plugin


def test_a_plugin_registers_all_or_nothing(installed):
    installed("a", WORKING.format(id="first").replace("registry.add(Device", "1 / 0; registry.add(Device"))
    loaded = plugin.host()
    assert loaded.plugins[0].state == "broken" and "first" not in loaded.backends


def test_aliases_are_names_too(installed):
    installed("a", WORKING.format(id="first"))
    installed("b", WORKING.format(id="second").replace("second-alias", "first-board"))
    assert [p.state for p in plugin.host().plugins] == ["loaded", "broken"]
    assert "second" not in plugin.host().backends


def test_a_plugin_that_hangs_is_left_behind(installed, monkeypatch):
    monkeypatch.setenv("NAGSDK_PLUGIN_TIMEOUT_S", "0.2")
    installed("hanging", "import threading\nthreading.Event().wait()")
    installed("b", WORKING.format(id="first"))
    second, first = plugin.host().plugins
    assert first.state == "broken" and "within 0.2 s" in first.reason and second.state == "loaded"


def test_what_a_plugin_prints_is_held_back(installed, capsys):
    installed("a", WORKING.format(id="first") + "\nprint('hello ' * 99)")
    (status,) = plugin.host().plugins
    assert status.state == "loaded" and "'hello hello" in status.reason and len(status.reason) < 300
    assert status.registered == ("backend first", "device first-board")
    assert capsys.readouterr().out == ""


RESOLVING = """
from nagsdk.device.description import Device
from nagsdk.plugin import hookimpl
nagsdk_api = 1

@hookimpl
def nagsdk_resolve_device(query):
    {body}
"""


def test_a_plugin_may_make_a_device_of_what_the_user_wrote(installed):
    installed("a", RESOLVING.format(body="1 / 0"))
    installed("b", RESOLVING.format(body="return Device('found', 'Found', 'b') if query == 'tty:7' else None"))
    installed("c", RESOLVING.format(body="return 'no device' if query == 'tty:8' else None"))
    loaded = plugin.host()
    assert loaded.device("tty:7").title == "Found"
    assert loaded.device("CPU").id == "cpu"
    with pytest.raises(DeviceError, match="The plugin a failed: ZeroDivisionError"):
        loaded.device("tty:9")


def test_an_answer_that_is_no_device_is_refused(installed):
    installed("c", RESOLVING.format(body="return 'no device' if query == 'tty:8' else None"))
    with pytest.raises(DeviceError, match="answered str"):
        plugin.host().device("tty:8")
    with pytest.raises(UnknownNameError):
        plugin.host().device("tty:9")


ODD = {
    "return None": "answered NoneType instead of a Presence",
    "1 / 0": "ZeroDivisionError",
    "raise SystemExit": "SystemExit",
    "return Presence(True, '', {'runtime': 3})": "whose fields have the wrong types",
    "import threading; threading.Event().wait()": "within 0.2 s",
}


@pytest.mark.parametrize("body", ODD)
def test_a_backend_that_answers_oddly_is_not_there(monkeypatch, body):
    monkeypatch.setattr("nagsdk.device.presence._TIMEOUT_S", 0.2)
    scope = {"Presence": Presence}
    exec(f"def presence(self, device):\n    {body}", scope)
    backend = type("Odd", (Backend,), {"id": "odd", "presence": scope["presence"], "export": None, "open": None})()
    told = presence_of(backend, Device("odd", "Odd", "odd"))
    assert not told.available and ODD[body] in told.reason


def test_registries_hold_what_they_say():
    registry = Registry("backend", Backend)
    with pytest.raises(DeviceError, match="int as a backend"):
        registry.add(3)


def test_an_address_is_a_phone():
    plugin.installed.cache_clear()
    device = plugin.host().device("192.168.1.7:5555")
    assert device.backend == "android" and dict(device.options) == {"serial": "192.168.1.7:5555"}
    with pytest.raises(UnknownNameError):
        plugin.host().device("cpu:1")
