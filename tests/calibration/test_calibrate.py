"""Calibration of a simulated device: exports are real files (text instead of ONNX), latencies follow known prices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nagsdk.calibration.calibrate import calibrate
from nagsdk.calibration.references import pick_references
from nagsdk.common.cores import restrictions
from nagsdk.cost.features import FeatureTable
from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceUnavailableError, MeasurementError, UsageError
from nagsdk.events import Notice, Started
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL
from nagsdk.measuring.store import Store

DEVICE = Device("fake", "A device made of numbers", "fake")
SAMPLES = 10
SESSIONS = 2
SHORT = replace(CALIBRATION_PROTOCOL, rounds=2, most_rounds=2)


class FakeBackend(Backend):
    id, title, suffix = "fake", "Numbers", ".txt"

    def __init__(
        self,
        world,
        *,
        stolen=0.0,
        dies_after=None,
        hangs_up_every=None,
        noise=0.01,
        session_speeds=(1.0, 1.01, 0.99, 1.0),
    ):
        self.world, self.stolen, self.dies_after, self.speeds = world, stolen, dies_after, session_speeds
        self.hangs_up_every, self.noise = hangs_up_every, noise
        self.opened = self.timed = self.exported = 0
        self.available = True

    def presence(self, device):
        return Presence(
            self.available, "" if self.available else "It is not plugged in.", {"processor": "numbers"}, "fake-1"
        )

    def export(self, graph, path: Path, device, images=None):
        self.exported += 1
        path.write_text(graph.architecture)

    def open(self, device):
        self.opened += 1
        return FakeSession(self, self.speeds[(self.opened - 1) % len(self.speeds)])


class FakeSession(Session):
    def __init__(self, backend, speed):
        self.backend, self.speed, self.loaded = backend, speed, {}
        self.rng = np.random.default_rng(backend.opened)

    def load(self, compiled):
        architecture = self.backend.world.space.parse(compiled.read_text())
        self.loaded[len(self.loaded)] = float(
            self.backend.world.exact(self.backend.world.space.encode([architecture]))[0]
        )
        return len(self.loaded) - 1

    def unload(self, handle):
        pass

    def time(self, handle, warmup, runs, timeout_s):
        self.backend.timed += 1
        if self.backend.dies_after is not None and self.backend.timed > self.backend.dies_after:
            raise MeasurementError("The device was unplugged.", "Plug it in.")
        if self.backend.hangs_up_every and self.backend.timed % self.backend.hangs_up_every == 0:
            raise DeviceUnavailableError("The connection was lost.", "Plug it in.")
        cpu = self.loaded[handle] * self.speed * np.exp(self.rng.normal(0, self.backend.noise, runs))
        wall = cpu * np.where(self.rng.random(runs) < self.backend.stolen, 3.0, 1.0)
        return Burst(tuple(wall), tuple(cpu))

    def infer(self, handle, images):
        raise AssertionError

    def close(self):
        pass


@pytest.fixture
def tiny(make_world, tiny_space):
    return make_world(tiny_space)


def run(world, backend, **more):
    return calibrate(
        world.space, DEVICE, backend, prior=world.prior, samples=SAMPLES, protocol=SHORT, sessions=SESSIONS, **more
    )


def test_a_calibration_measures_fits_and_tells_its_accuracy(tiny):
    backend = FakeBackend(tiny)
    result = run(tiny, backend)
    fresh = tiny.sample(300)
    assert np.sqrt(np.mean((result.model.predict(fresh)[0] / tiny.exact(fresh) - 1) ** 2)) < 0.03
    assert len(result.codes) == SAMPLES and backend.exported == SAMPLES + 1 and backend.opened == SESSIONS
    assert len(result.taken) == SAMPLES * SHORT.rounds * SESSIONS and result.complete
    assert result.model.device == "fake-1" and result.model.source == "calibration"
    assert 0.003 < result.model.jitter.sessions < 0.03 and 1 < result.model.jitter.factor(90) < 1.03
    summary = result.to_dict()
    assert summary["samples"] == SAMPLES and summary["within_5_percent"] > 0.8 and summary["complete"] is True
    facts = result.model.facts
    assert facts["seed"] == 0 and facts["protocol"] == SHORT.to_dict()
    # What keeps this process from using the whole machine belongs to it.
    assert facts["environment"] == {"processor": "numbers", **restrictions()}


def test_the_same_seed_measures_the_same_networks(tiny):
    expected = pick_references(tiny.space, tiny.prior, SAMPLES, 3)
    result = run(tiny, FakeBackend(tiny), seed=3)
    assert {tuple(c) for c in result.codes.tolist()} == {tuple(c) for c in expected.tolist()}


def test_a_killed_calibration_goes_on_without_losing_a_reading(tiny, tmp_path):
    # 61 bursts: the reference begins each of the rounds (of 10 networks), then network and reference take turns.
    kept = (61 - 3) // 2
    store = Store(tmp_path / "store.sqlite")
    with pytest.raises(MeasurementError, match="unplugged"):
        run(tiny, FakeBackend(tiny, dies_after=61), store=store)
    backend, notices = FakeBackend(tiny), []
    result = run(
        tiny, backend, store=store, on_event=lambda e: notices.append(e.text) if isinstance(e, Notice) else None
    )
    assert len(result.taken) == SAMPLES * SHORT.rounds * SESSIONS
    assert any(f"after {kept} readings" in text for text in notices)
    from_scratch = FakeBackend(tiny)
    run(tiny, from_scratch)
    assert from_scratch.timed - backend.timed >= 2 * kept - 5


def test_a_device_that_is_lost_now_and_then_is_connected_to_again(tiny, tmp_path):
    backend, notices, store = FakeBackend(tiny, hangs_up_every=30), [], Store(tmp_path / "s")
    result = run(tiny, backend, store=store, on_event=lambda e: notices.append(e) if isinstance(e, Notice) else None)
    assert len(result.taken) == SAMPLES * SHORT.rounds * SESSIONS == len(list(store.readings())) and result.complete
    assert backend.opened > SESSIONS and any(n.warning and "Connecting again" in n.text for n in notices)


def test_a_device_of_its_own_measures_while_the_next_networks_are_exported(tiny):
    class Phone(FakeBackend):
        runs_elsewhere = True

    backend = Phone(tiny)
    seen = []
    result = run(
        tiny,
        backend,
        on_event=lambda e: seen.append(backend.exported) if isinstance(e, Started) and e.text == "Measuring" else None,
    )
    assert len(result.codes) == SAMPLES and len(result.taken) == SAMPLES * SHORT.rounds * SESSIONS
    assert backend.opened == SESSIONS + 1 and len(seen) == SESSIONS + 1


def test_a_calibration_ends_early_when_it_is_certain(make_world, tiny_space):
    world = make_world(tiny_space, noise=0.0)
    backend, notices = FakeBackend(world, noise=0.001, session_speeds=(1.0,)), []
    world.prices = world.prior.weights
    result = calibrate(
        world.space, DEVICE, backend, prior=world.prior, samples=20, protocol=SHORT, sessions=4,
        on_event=lambda e: notices.append(e.text) if isinstance(e, Notice) else None,
    )  # fmt: skip
    assert result.complete and backend.opened < 4 and any("were enough" in text for text in notices)
    assert result.to_dict()["interval"] <= 0.03


def test_what_the_prior_said_before_is_told(tiny):
    summary = run(tiny, FakeBackend(tiny)).to_dict()
    assert summary["before"]["rmspe"] > summary["rmspe"]
    assert (
        calibrate(tiny.space, DEVICE, FakeBackend(tiny), samples=SAMPLES, protocol=SHORT, sessions=SESSIONS).to_dict()[
            "before"
        ]
        is None
    )


def test_some_of_the_architectures_that_will_be_generated_are_measured(tiny):
    near = tiny.sample(12)
    codes = {tuple(code) for code in run(tiny, FakeBackend(tiny), near=near).codes.tolist()}
    assert len(codes & {tuple(code) for code in near.tolist()}) >= 2


def test_a_calibration_that_ended_is_not_reused(tiny, tmp_path):
    store = Store(tmp_path / "store.sqlite")
    first, second = (run(tiny, backend, store=store) for backend in (FakeBackend(tiny), FakeBackend(tiny)))
    assert not {t.session for t in first.taken} & {t.session for t in second.taken}


def test_other_settings_do_not_go_on_with_it(tiny, tmp_path):
    store = Store(tmp_path / "store.sqlite")
    with pytest.raises(MeasurementError):
        run(tiny, FakeBackend(tiny, dies_after=40), store=store)
    backend, fresh = FakeBackend(tiny), FakeBackend(tiny)
    run(tiny, backend, store=store, seed=1)
    run(tiny, fresh, seed=1)
    assert backend.timed == fresh.timed


def test_time_that_runs_out_ends_it_early_and_says_so(tiny):
    result = run(tiny, FakeBackend(tiny), within_s=1e-6)
    assert not result.complete and 5 <= len(result.codes) < SAMPLES
    assert result.to_dict()["complete"] is False
    assert np.isfinite(result.model.upper(tiny.sample(3), 0.8)).all()


def test_stolen_processor_time_is_told_and_does_not_spoil_the_fit(tiny):
    notices = []
    result = run(
        tiny, FakeBackend(tiny, stolen=0.5), on_event=lambda e: notices.append(e) if isinstance(e, Notice) else None
    )
    assert any(n.warning and "Stop other work" in n.text for n in notices)
    fresh = tiny.sample(300)
    assert np.sqrt(np.mean((result.model.predict(fresh)[0] / tiny.exact(fresh) - 1) ** 2)) < 0.05


def test_a_device_without_prior_is_calibrated_too(tiny):
    result = calibrate(tiny.space, DEVICE, FakeBackend(tiny), samples=25)
    fresh = tiny.sample(300)
    assert np.sqrt(np.mean((result.model.predict(fresh)[0] / tiny.exact(fresh) - 1) ** 2)) < 0.05


def test_what_the_device_does_not_support_is_not_measured(tiny):
    shape = FeatureTable.of(tiny.space).choice.shape[:3]
    allowed = np.ones(shape, bool)
    for block in tiny.space.blocks:
        for choice in range(6):
            allowed[:, block.decision, choice] = tiny.space.block_choice(choice).kernel == 3
    result = run(tiny, FakeBackend(tiny), allowed=allowed)
    for architecture in tiny.space.decode(result.codes):
        assert set(tiny.space.settings(architecture).kernels) == {3}


def test_an_absent_device_and_too_few_samples_are_refused(tiny):
    backend = FakeBackend(tiny)
    with pytest.raises(UsageError, match="too few"):
        calibrate(tiny.space, DEVICE, backend, samples=4)
    backend.available = False
    with pytest.raises(DeviceUnavailableError, match="not plugged in"):
        run(tiny, backend)
    assert backend.opened == 0


def test_the_cpu_of_this_machine(tiny_space, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("nagsdk.calibration.calibrate._SEARCH_S", 1.0)
    from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

    backend, device = OnnxRuntimeBackend(), Device("cpu", "", "onnxruntime")
    result = calibrate(tiny_space, device, backend, samples=6, protocol=SHORT, sessions=2)
    assert len(result.codes) == 6 and len(result.taken) == 6 * SHORT.rounds * 2
    assert all(0 < ms < 1000 for ms in result.levelled.p50_ms.values())
    assert result.model.device == backend.presence(device).fingerprint
    mean, _ = result.model.predict(tiny_space.sample(20, np.random.default_rng(0)))
    assert ((mean > 0) & (mean < 1000)).all()
