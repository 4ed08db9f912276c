"""A lab of real processes: a scheduler, two workers, and clients."""

import json

import pytest

import nagsdk
from nagsdk.device.burst import Timing
from nagsdk.device.presence import presence_of
from nagsdk.errors import UnknownNameError
from nagsdk.lab.reach import listed, matching, reached

CONTENT = b"onnx" * 1000


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(CONTENT)
    return path


def test_a_device_of_a_lab_looks_like_one_of_this_machine(client, shared_lab, network):
    backend, device = reached("sleeper-1", shared_lab.address)
    presence = presence_of(backend, device)
    assert presence.available and presence.properties["unit"] == "sleeper-1"
    assert presence == presence_of(client.backends.get("sleeper"), client.device("sleeper-1"))
    with backend.open(device) as session:
        first, second = session.load_all([network, network])
        assert first != second
        bursts = list(session.time_all([Timing(first, 1, 3, 5.0), Timing(second, 0, 2, 5.0)]))
        assert [len(burst.wall_ms) for burst in bursts] == [3, 2]
        assert bursts[0].wall_ms == tuple(len(CONTENT) / 1e5 * (1 + 1e-4 * number) for number in range(3))
        session.unload(second)
        with pytest.raises(nagsdk.NagsdkError, match="no such network"):
            session.time(second, 0, 1, 5.0)


def test_listing(client, shared_lab):
    found = {worker["worker"]: [device["id"] for device in worker["devices"]] for worker in listed(shared_lab.address)}
    assert found == {"left": ["sleeper-1", "sleeper-2", "formula-1"], "right": ["sleeper-1", "sleeper-3", "formula-2"]}
    json.dumps(listed(shared_lab.address))
    assert matching(["all"], shared_lab.address) == ["formula-1", "formula-2", "sleeper-1", "sleeper-2", "sleeper-3"]
    assert matching(["sleeper-[23]"], shared_lab.address) == ["sleeper-2", "sleeper-3"]
    with pytest.raises(UnknownNameError):
        matching(["pixel*"], shared_lab.address)
