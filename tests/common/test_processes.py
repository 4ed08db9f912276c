"""What systems tell of processes; other systems are simulated by taking away what they lack."""

import os
import subprocess
import sys

import psutil
import pytest

from nagsdk.common import processes


def test_cores_are_those_that_the_process_may_use():
    script = (
        "import psutil, sys; psutil.Process().cpu_affinity([0]); "
        "from nagsdk.common.processes import allowed_cores; print(allowed_cores())"
    )
    if not processes.can_pin():
        pytest.skip("this system lets no process choose its cores")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.split() == [b"[0]"]


def test_cores_on_windows(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [4, 5, 6], raising=False)
    assert processes.allowed_cores() == [4, 5, 6]


@pytest.mark.parametrize("count", [8, None])
def test_cores_on_macos(monkeypatch, count):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert processes.allowed_cores() == list(range(count or 1)) and not processes.can_pin()


def test_cores_where_the_system_does_not_say(monkeypatch):
    def refuse(self):
        raise psutil.AccessDenied(self.pid)

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", refuse, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processes.allowed_cores() == [0, 1, 2, 3, 4, 5]


def test_a_core_that_is_not_there_is_refused():
    if not processes.can_pin():
        pytest.skip("this system lets no process choose its cores")
    with pytest.raises(ValueError, match="4095"):
        processes.pin([4095])


def test_peak_memory_in_bytes(monkeypatch):
    pytest.importorskip("resource")
    held = processes.peak_memory_bytes()
    assert held >= psutil.Process().memory_info().rss // 2 and held < 1 << 40
    monkeypatch.setattr(sys, "platform", "darwin")
    assert processes.peak_memory_bytes() < held / 900  # the same number, taken for bytes


def test_peak_memory_on_windows(monkeypatch):
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: type("Told", (), {"peak_wset": 4711}))
    monkeypatch.setattr(sys, "platform", "win32")
    assert processes.peak_memory_bytes() == 4711


@pytest.mark.parametrize("system", [sys.platform, "win32"])
def test_a_process_is_ended_with_what_it_started(monkeypatch, system):
    script = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0).pid, flush=True); input()"
    )
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    inner = psutil.Process(int(process.stdout.readline()))
    monkeypatch.setattr(sys, "platform", system)
    processes.end(process)
    monkeypatch.undo()
    _, alive = psutil.wait_procs([inner], timeout=20)
    ended = not alive or inner.status() == psutil.STATUS_ZOMBIE
    assert ended and process.returncode is not None
    processes.end(process)  # one that has ended is no error
    process.stdin.close()
    process.stdout.close()
