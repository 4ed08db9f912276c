"""The target: said once, used by every verb."""

import numpy as np
import pytest

import nagsdk
from nagsdk.device.description import Device, read_device
from nagsdk.errors import ArchitectureError, BudgetError, DeviceUnavailableError, UnknownNameError, UsageError
from nagsdk.events import Notice
from nagsdk.pipeline.models import card_file
from nagsdk.pipeline.target import Target, target_of
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures
from tests.simulated import SimulatedBackend


def test_a_target_holds_what_verbs_share():
    target = nagsdk.Target("x86", threads=2, batch=4)
    assert (target.device.id, target.device.threads, target.device.batch) == ("cpu", 2, 4)
    assert repr(target) == "Target('cpu', bundle='glyphs', threads=2, batch=4, precision='fp32')"
    assert target_of(target, {}) is target


def test_the_short_form_makes_the_same_target():
    given = {"bundle": "imagenet", "threads": 2}
    assert repr(target_of("cpu", given)) == repr(nagsdk.Target("cpu", "imagenet", threads=2))


def test_settings_belong_to_the_target_and_are_not_said_twice():
    with pytest.raises(UsageError, match="together with bundle, threads"):
        nagsdk.generate(nagsdk.Target("cpu"), "2MMACs", bundle="imagenet", threads=2)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"device": "cpv"}, UnknownNameError),
        ({"device": "cpu", "bundle": "glyph"}, UnknownNameError),
        ({"device": "cpu", "precision": "int3"}, UsageError),
        ({"device": "cpu", "threads": 0}, UsageError),
        ({"device": "cpu", "threads": "4"}, UsageError),
        ({"device": "cpu", "batch": -1}, UsageError),
        ({"device": None}, UsageError),
        ({"device": 3}, UsageError),
        ({"device": "cpu", "bundle": None}, UsageError),
    ],
)
def test_what_is_not_known_is_refused_when_it_is_said(arguments, error):
    with pytest.raises(error) as caught:
        nagsdk.Target(**arguments)
    assert caught.value.next_step


def test_a_description_is_a_path_a_text_or_a_device(tmp_path):
    path = tmp_path / "desk.toml"
    path.write_text('id = "desk"\ntitle = "A desk"\nbackend = "onnxruntime"\n')
    for device in (path, str(path), read_device(path)):
        assert nagsdk.Target(device).device.id == "desk"
        assert [r.device for r in nagsdk.generate(device, "2MMACs")] == ["desk"]


@pytest.mark.parametrize("budget", [20, None, 2.5, [20], [None], [["2MMACs", 3]]])
def test_what_is_no_budget_is_refused(budget):
    for verb in (nagsdk.generate, nagsdk.deploy):
        with pytest.raises(BudgetError, match="is not a budget"):
            verb("cpu", budget)


def test_what_a_verb_finds_out_is_kept_for_the_next():
    target, made = Target(Device("board", "A board", "simulated"), backend=SimulatedBackend()), []
    for _ in range(2):
        assert target.keep("costly", lambda: made.append(1) or "found") == "found"
    assert made == [1]
    target.forget("costly")
    assert target.keep("costly", lambda: "again") == "again"


def test_verbs_take_the_target_and_the_targets_of_several_devices(simulate):  # noqa: F811
    simulate()
    target = nagsdk.Target("board")
    (one,) = nagsdk.generate(target, "1.2ms")
    assert one == nagsdk.generate("board", "1.2ms")[0] == nagsdk.generate("board", ["1.2ms"])[0]
    (both,) = nagsdk.generate(target, [["1.2ms", "600kB"]])
    assert [b.metric for b in both.budgets] == ["latency", "size"]
    assert len(nagsdk.generate([target, nagsdk.Target("board", threads=2)], "2MMACs")) == 2
    (predicted,) = nagsdk.predict(target, one.architecture)
    assert predicted.predicted.latency_ms == one.predicted.latency_ms
    assert nagsdk.predict(architectures=[one.architecture])[0].predicted.latency_ms is None
    with pytest.raises(UsageError, match="different bundles"):
        nagsdk.generate([target, nagsdk.Target("board", "imagenet")], "2MMACs")
    with pytest.raises(UsageError, match="No device"):
        nagsdk.generate([], "2MMACs")


def test_a_target_notices_that_its_device_went_away_and_came_back(simulate):  # noqa: F811
    backend = simulate()
    target = nagsdk.Target("board")
    (one,) = nagsdk.generate(target, "2MMACs")
    backend.present = False
    with pytest.raises(DeviceUnavailableError, match="board is not available"):
        nagsdk.profile(target, one.architecture)
    backend.present = True
    (measured,) = nagsdk.profile(target, one.architecture)
    assert measured.measured.latency_p50_ms is not None


def test_architectures_of_another_space_are_refused():
    imagenet = nagsdk.load_bundle("imagenet").space
    (foreign,) = imagenet.decode(imagenet.sample(1, np.random.default_rng(0)))
    for one, message in ((foreign, "5 depths"), (foreign.text, "5 depths"), (3, "3 is not an architecture")):
        with pytest.raises(ArchitectureError, match=message):
            nagsdk.predict(architectures=[one])
    assert nagsdk.predict(architectures=foreign, bundle="imagenet")[0].architecture == foreign.text


def test_a_stored_model_that_cannot_be_used_is_told_once(simulate):  # noqa: F811
    simulate()
    said = []
    target = nagsdk.Target("board", on_event=said.append)
    path = card_file(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    nagsdk.generate(target, "2MMACs")
    nagsdk.generate(target, "2MMACs")
    assert [str(path) in notice.text and notice.warning for notice in said if isinstance(notice, Notice)] == [True]
