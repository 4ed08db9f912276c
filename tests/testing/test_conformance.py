"""The suite itself: each rule finds the backend that breaks it, says why, and lets correct backends pass."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.testing import faults

HEAD = """
import pytest
from nagsdk.device.description import Device
from nagsdk.testing import BackendConformance
from tests.testing import faults
"""
CLASS = """
class Test{fault}(BackendConformance):
    @pytest.fixture
    def backend(self):
        return faults.{fault}()
    @pytest.fixture
    def device(self):
        return Device("cpu", "this machine", "onnxruntime")
"""
# Fault -> (the check that finds it, what the summary says).
FAULTS = {
    "ComputesSomethingElse": ("test_parity", "differs from torch by"),
    "HidesItsRuntime": ("test_presence", "'runtime_version'"),
    "FallsBackSilently": ("test_no_silent_fallback", "what runs instead?"),
    "TellsMeans": ("test_times_are_those_of_single_runs", "that is a mean"),
    "Exaggerates": ("test_times_are_those_of_single_runs", "longer than the whole burst"),
    "CountsAllThreads": ("test_cpu_time", "CPU time of several threads"),
    "CompilesWhileTimed": ("test_compilation_is_not_timed", "is something compiled while it is timed?"),
    "HasNoTimeOut": ("test_timeout", "A burst that exceeds its timeout is stopped"),
    "SwallowsCtrlC": ("test_cancellation", "Ctrl-C during a burst interrupts it"),
    "RaisesWhatItLikes": ("test_damaged_artifact", "raises ValueError instead of a DeviceError"),
    "SkipsWhatItDoesNotKnow": ("test_unsupported_layer", "is refused by name, not skipped"),
    "CompilesIntoOneFile": ("test_compilation", "different for each network"),
    "AnswersTheSameAlways": ("test_answers_depend_on_the_images", "Other images give other logits"),
    "SharesItsSessions": ("test_two_sessions", "closing one does not affect the other"),
    "LivesAfterClose": ("test_closed_session_refuses", "on a closed session is not refused"),
    "KnowsNoLayer": ("test_supports_answers_for_every_layer", "nothing can be checked"),
}
SOUND = {
    "CompilesSlowly": ["test_compilation", "test_compilation_is_not_timed", "test_timeout", "test_measures"],
    "KnowsSmallKernelsOnly": ["test_parity", "test_supports_answers_for_every_layer"],
}


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """Runs the suite on all faults in one subprocess; returns the summary, and the outcomes by class."""
    folder = tmp_path_factory.mktemp("suite")
    file = folder / "test_faults.py"
    file.write_text(HEAD + "".join(CLASS.format(fault=fault) for fault in (*FAULTS, *SOUND)))
    checks = {**{fault: [check] for fault, (check, _) in FAULTS.items()}, **SOUND}
    nodes = [f"{file}::Test{fault}::{check}" for fault, names in checks.items() for check in names]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "nagsdk.testing.plugin",
        "-p",
        "no:cacheprovider",
        "-v",
        f"--rootdir={folder}",
        *nodes,
    ]
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    outcomes = {}
    for fault, outcome in re.findall(r"::Test(\w+)::\S+ (PASSED|FAILED|ERROR|SKIPPED)", done.stdout):
        outcomes.setdefault(fault, []).append(outcome)
    return done.stdout.partition("nagsdk conformance")[2], outcomes


def test_every_fault_is_tried():
    assert {*FAULTS, *SOUND} == {
        name for name, value in vars(faults).items() if isinstance(value, type) and issubclass(value, faults.Working)
    } - {"Working"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_is_broken_is_named_with_the_reason(account, fault):
    summary, outcomes = account
    assert "FAILED" in outcomes[fault] and not {"ERROR", "SKIPPED"} & {*outcomes[fault]}
    check, says = FAULTS[fault]
    lines = summary[summary.index(f"Test{fault}::{check}") :].splitlines()[:3]
    assert says in "".join(lines) and "rule:" in lines[1] and "reason:" in lines[2]


@pytest.mark.parametrize("fault", SOUND)
def test_slow_or_limited_but_correct_backends_pass(account, fault):
    outcomes = account[1][fault]
    assert len(outcomes) >= len(SOUND[fault]) and {*outcomes} == {"PASSED"}


def test_installed_devices_are_checked_by_name():
    command = [sys.executable, "-m", "nagsdk.testing", "cpu", "-k", "test_presence or test_names"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTEST_ADDOPTS": ""}
    )
    assert done.returncode == 0 and "2 checks held, 0 did not" in done.stdout, done.stdout + done.stderr
    nothing = subprocess.run([sys.executable, "-m", "nagsdk.testing"], capture_output=True, text=True, check=False)
    assert nothing.returncode == 2 and "DEVICE" in nothing.stderr


def test_pytest_loads_the_plugin_without_anything_heavy():
    code = "import sys, nagsdk.testing.plugin; print([m for m in ('torch', 'numpy', 'onnx') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
