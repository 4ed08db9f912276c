"""The suite itself: each rule catches the backend that breaks it, says why, and lets sound ones pass."""

import os
import subprocess
import sys

import pytest

pytest_plugins = "pytester"

FILE = """
import pytest
from nagsdk.device.description import Device
from nagsdk.testing import BackendConformance
from tests.testing import faults

class TestIt(BackendConformance):
    @pytest.fixture
    def backend(self):
        return faults.{fault}()
    @pytest.fixture
    def device(self):
        return Device("cpu", "this machine", "onnxruntime")
"""
# Fault -> (the check that catches it, what the summary says).
FAULTS = {
    "ComputesSomethingElse": ("test_parity", "differs from torch by"),
    "HidesItsRuntime": ("test_presence", "'runtime_version'"),
    "FallsBackSilently": ("test_no_silent_fallback", "what ran instead?"),
    "TellsMeans": ("test_times_are_those_of_single_runs", "that is a mean"),
    "Exaggerates": ("test_times_are_those_of_single_runs", "longer than the whole burst"),
    "CountsAllThreads": ("test_cpu_time", "CPU time of several threads"),
    "CompilesWhileTimed": ("test_compilation_is_not_timed", "is something compiled while it is timed?"),
    "HasNoTimeOut": ("test_timeout", "A burst that does not end in time is ended"),
    "SwallowsCtrlC": ("test_cancellation", "Ctrl-C during a burst comes through"),
    "RaisesWhatItLikes": ("test_damaged_artifact", "raises ValueError instead of a DeviceError"),
    "SkipsWhatItDoesNotKnow": ("test_unsupported_layer", "is named, not skipped"),
    "CompilesIntoOneFile": ("test_compilation and not timed", "apart from that of other networks"),
    "AnswersTheSameAlways": ("test_answers_depend_on_the_images", "Other images give other logits"),
    "SharesItsSessions": ("test_two_sessions", "ending one leaves the other"),
    "LivesAfterClose": ("test_closed_session_refuses", "on a closed session is not refused"),
    "KnowsNoLayer": ("test_supports", "nothing can be checked"),
}
SOUND = {
    "CompilesSlowly": "test_compilation or test_timeout or test_measures",
    "KnowsSmallKernelsOnly": "test_parity or test_supports",
}


def run(pytester, fault, check):
    pytester.makepyfile(FILE.format(fault=fault))
    return pytester.runpytest_inprocess("-p", "nagsdk.testing.plugin", "-p", "no:cacheprovider", "-k", check)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_is_broken_is_named_with_the_reason(pytester, fault):
    check, says = FAULTS[fault]
    result = run(pytester, fault, check)
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) >= 1 and "errors" not in outcomes
    summary = result.stdout.str().partition("nagsdk conformance")[2]
    assert says in summary and "rule:" in summary and "reason:" in summary


@pytest.mark.parametrize("fault", SOUND)
def test_what_is_slow_or_small_but_honest_passes(pytester, fault):
    outcomes = run(pytester, fault, SOUND[fault]).parseoutcomes()
    assert outcomes["passed"] >= 3 and "failed" not in outcomes


def test_installed_devices_are_checked_by_name():
    command = [sys.executable, "-m", "nagsdk.testing", "cpu", "-k", "test_presence or test_names"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTEST_ADDOPTS": ""})
    assert done.returncode == 0 and "2 checks held, 0 did not" in done.stdout, done.stdout + done.stderr
    nothing = subprocess.run([sys.executable, "-m", "nagsdk.testing"], capture_output=True, text=True, check=False)
    assert nothing.returncode == 2 and "DEVICE" in nothing.stderr


def test_pytest_loads_the_plugin_without_anything_heavy():
    code = "import sys, nagsdk.testing.plugin; print([m for m in ('torch', 'numpy', 'onnx') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
