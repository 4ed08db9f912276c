import numpy as np
import pytest

from nagsdk import inventory
from nagsdk.calibration.lab import lab_prior
from nagsdk.calibration.learned import learned
from nagsdk.measuring.store import Store
from tests.calibration.test_calibrate import FakeBackend, run
from tests.measuring.test_store import KEY


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    return Store(tmp_path / "s" if request.param == "sqlite" else request.getfixturevalue("new_database")())


def test_every_calibrated_device_of_a_store_becomes_a_member(store, tiny_space, make_world):
    world = make_world(tiny_space)
    found = run(world, FakeBackend(world), store=store)
    (member,) = learned(store, tiny_space)
    assert member.space == tiny_space.fingerprint and member.name.startswith("store-")
    measured = dict(zip(member.architectures, member.p50_ms, strict=True))
    assert measured == pytest.approx(found.levelled.p50_ms)
    prior = lab_prior(tiny_space, [member])
    assert np.isfinite(prior.spread) and (prior.weights >= 0).all()
    assert [one.name for one in learned(store, tiny_space)] == [member.name]


def test_calibrations_of_other_spaces_and_unfinished_ones_are_left_out(store, tiny_space):
    run = store.begin(KEY, {"space": tiny_space.fingerprint, "protocol": {}})
    assert learned(store, tiny_space) == []
    store.end(run)
    assert learned(store, tiny_space) == []  # it has no readings


def test_learning_twice_replaces_and_says_what_was_learned(tmp_path):
    path = tmp_path / "s.sqlite"
    Store(path)
    assert inventory.learn_pool("glyphs", path) == [] == inventory.pool_members()
