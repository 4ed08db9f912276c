"""The commands that measure, through a lab of real processes."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nagsdk.cli import cli
from nagsdk.lab.connected import connected
from nagsdk.lab.reach import reached
from nagsdk.testing import BackendConformance
from tests.lab.conftest import await_workers, start_lab

ARCHITECTURE = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"


def run(*arguments):
    """Runs a command in this process, and reads what it prints."""
    done = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def run_apart(sleepers, *arguments, name="desk"):
    """Runs a command as a client of the lab, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "nagsdk", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=sleepers.environment(name),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def checks_of(folder, *options):
    return {check["name"]: check["state"] for check in run("verify", folder, *options)["checks"]}


def test_a_model_is_deployed_and_verified_through_a_lab(client, shared_lab, tmp_path):
    there = ("--lab", shared_lab.address)
    run("calibrate", "--samples", 9, "--device", "formula-1", *there)
    asked = ("--device", "formula-1", "--budget", "6ms", "--resolution", 32, *there)
    found = run("deploy", "--output", tmp_path / "model", *asked)
    assert found["verdict"] == "held"
    assert set(checks_of(tmp_path / "model", *there).values()) == {"passed"}


@pytest.mark.nightly
def test_what_is_deployed_through_a_lab_is_what_its_own_host_deploys(client, shared_lab, tmp_path, monkeypatch):
    there, deployed = ("--lab", shared_lab.address), {}
    for where, options in (("lab", there), ("here", ())):
        monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path / "cache" / where))
        asked = ("--device", "formula-1", *options)
        run("calibrate", "--samples", 9, *asked)
        (profiled,) = run("profile", "--arch", ARCHITECTURE, *asked)
        drawn = run("frontier", "--points", 3, "--strategy", "nag", *asked)
        found = run("deploy", "--budget", "6ms", "--output", tmp_path / where, *asked)
        deployed[where] = (profiled["measured"], drawn, found["artifact"]["sha256"], found["measured"])
    assert deployed["lab"] == deployed["here"]
    assert checks_of(tmp_path / "here", *there)["latency"] == "passed"


@pytest.mark.nightly
def test_commands_on_all_devices_that_a_pattern_means(client, shared_lab, tmp_path):
    asked = ("--device", "formula-*", "--lab", shared_lab.address)
    answers = {
        "calibrate": run("calibrate", "--samples", 9, *asked),
        "profile": run("profile", "--arch", ARCHITECTURE, *asked),
        "frontier": run("frontier", "--points", 3, "--plot", tmp_path / "front.svg", *asked),
        "deploy": run("deploy", "--budget", "10ms", "--output", tmp_path / "models", *asked),
    }
    for name, outcomes in answers.items():
        assert [(one["device"], one["error"]) for one in outcomes] == [("formula-1", None), ("formula-2", None)], name
    first, second = (one["result"][0]["measured"]["latency_p50_ms"] for one in answers["profile"])
    assert second == pytest.approx(2 * first)
    for one in answers["deploy"]:
        assert one["result"]["verdict"] == "held"
        states = checks_of(tmp_path / "models" / one["device"], "--lab", shared_lab.address)
        assert set(states.values()) == {"passed"}
    assert {path.name for path in tmp_path.glob("*.svg")} == {"front-formula-1.svg", "front-formula-2.svg"}


@pytest.mark.nightly
def test_all_devices_of_a_lab_sleeping_ones_too(sleepers, client, shared_lab):
    outcomes = run("profile", "--device", "all", "--arch", ARCHITECTURE, "--lab", shared_lab.address)
    assert [one["device"] for one in outcomes] == ["formula-1", "formula-2", "sleeper-1", "sleeper-2", "sleeper-3"]
    assert all(one["error"] is None and one["result"][0]["measured"]["latency_p50_ms"] > 0 for one in outcomes)
    here = run_apart(sleepers, "profile", "--device", "sleeper-1", "--arch", ARCHITECTURE, name="another desk")
    assert outcomes[2]["result"][0]["measured"] == here[0]["measured"]


@pytest.mark.nightly
def test_the_hosts_of_a_lab_evaluate_subnets_as_this_machine_does(sleepers):
    asked = ("evaluate", "--bundle", "glyphs", "--arch", ARCHITECTURE)
    there, here = run_apart(sleepers, *asked, "--lab", "local"), run_apart(sleepers, *asked)
    for row in (*there, *here):
        row.pop("by_class", None)
    assert there == here


@pytest.mark.nightly
def test_the_processor_of_this_machine_in_a_lab_of_its_own(sleepers, tmp_path):
    asked = ("--device", "cpu", "--lab", "local")
    run_apart(sleepers, "calibrate", "--samples", 9, *asked)
    (profiled,) = run_apart(sleepers, "profile", "--arch", ARCHITECTURE, *asked)
    assert profiled["measured"]["latency_p50_ms"] > 0
    assert run_apart(sleepers, "frontier", "--points", 3, *asked)
    found = run_apart(sleepers, "deploy", "--budget", "20ms", "--output", tmp_path / "model", *asked)
    assert found["verdict"] == "held"
    verified = run_apart(sleepers, "verify", tmp_path / "model", "--lab", "local")
    assert {check["name"]: check["state"] for check in verified["checks"]} == dict.fromkeys(
        ("hashes", "parity", "latency"), "passed"
    )


@pytest.fixture(scope="module")
def processor(sleepers):
    """The processor of this machine as a device of a lab: its backend and its description."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NAGSDK_LAB_CERTIFICATES", str(sleepers.folder / "certificates"))
        address, _, _ = start_lab(sleepers, host=("cpu",))
        await_workers(connected(address), 1)
        yield reached("cpu", address)


@pytest.mark.nightly
class TestDeviceInLab(BackendConformance):
    """A device in a lab follows the rules that its own host's device follows."""

    @pytest.fixture
    def backend(self, processor):
        return processor[0]

    @pytest.fixture
    def device(self, processor):
        return processor[1]
