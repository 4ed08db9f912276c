"""A lab of real processes: a scheduler, two workers, and clients."""

import json
import subprocess
import sys

import pytest

import nagsdk
from nagsdk.device.burst import Timing
from nagsdk.device.presence import presence_of
from nagsdk.errors import UnknownNameError
from nagsdk.lab.reach import listed, matching, reached

ARCHITECTURE = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"
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
    assert found == {"left": ["sleeper-1", "sleeper-2"], "right": ["sleeper-1", "sleeper-3"]}
    json.dumps(listed(shared_lab.address))
    assert matching(["all"], shared_lab.address) == ["sleeper-1", "sleeper-2", "sleeper-3"]
    assert matching(["sleeper-[23]"], shared_lab.address) == ["sleeper-2", "sleeper-3"]
    with pytest.raises(UnknownNameError):
        matching(["pixel*"], shared_lab.address)


def run(sleepers, *arguments, name="desk"):
    """Runs a command as a client of the lab."""
    done = subprocess.run(
        [sys.executable, "-m", "nagsdk", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=sleepers.environment(name),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.nightly
def test_commands_on_several_devices_of_a_lab(sleepers, shared_lab):
    options = ("--lab", shared_lab.address, "--json")
    outcomes = run(sleepers, "profile", "--device", "sleeper-[13]", "--arch", ARCHITECTURE, *options)
    assert [one["device"] for one in outcomes] == ["sleeper-1", "sleeper-3"]
    assert all(one["error"] is None and one["result"][0]["measured"]["latency_p50_ms"] > 0 for one in outcomes)
    here = run(sleepers, "profile", "--device", "sleeper-1", "--arch", ARCHITECTURE, "--json", name="another desk")
    assert outcomes[0]["result"][0]["measured"] == here[0]["measured"]
    (one,) = run(sleepers, "profile", "--device", "sleeper-2", "--arch", ARCHITECTURE, *options)
    assert one["measured"]["latency_p50_ms"] > 0


@pytest.mark.nightly
def test_the_hosts_of_a_lab_evaluate_subnets_as_this_machine_does(sleepers):
    asked = ("evaluate", "--bundle", "glyphs", "--arch", ARCHITECTURE, "--json")
    there, here = run(sleepers, *asked, "--lab", "local"), run(sleepers, *asked)
    for row in (*there, *here):
        row.pop("by_class", None)
    assert there == here


@pytest.mark.nightly
def test_the_processor_of_this_machine_in_a_lab_of_its_own(sleepers):
    (found,) = run(sleepers, "profile", "--device", "cpu", "--lab", "local", "--arch", ARCHITECTURE, "--json")
    assert found["measured"]["latency_p50_ms"] > 0
