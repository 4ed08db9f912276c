"""Cores and quotas, from simulated trees of control groups, and from a process with fewer cores."""

import os
import subprocess
import sys

import pytest

from nagsdk.common import cores, processes


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Simulates the allowed cores, and control groups: mounts with their roots, the place of this process, files."""

    def make(allowed=4, groups="", mounts=(), files=()):
        proc = tmp_path / "proc"
        proc.mkdir(exist_ok=True)
        (proc / "cgroup").write_text(groups)
        lines = [
            f"3{number} 25 0:26 {root} {tmp_path / mount} rw,nosuid - {kind} cgroup rw{options}"
            for number, (root, mount, kind, options) in enumerate(mounts)
        ]
        (proc / "mountinfo").write_text("\n".join(["25 1 8:1 / / rw - ext4 /dev/sda1 rw", *lines, ""]))
        for name, content in dict(files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        monkeypatch.setattr(cores, "_PROC", proc)
        monkeypatch.setattr(cores, "allowed_cores", lambda: list(range(allowed)))
        monkeypatch.setattr(os, "cpu_count", lambda: 4)

    return make


V2 = ("/", "cg", "cgroup2", "")
V1 = ("/", "cpu", "cgroup", ",cpu,cpuacct")
CASES = {
    "no quota": ("0::/user\n", [V2], {"cg/user/cpu.max": "max 100000\n"}, None),
    "version 2": ("0::/user\n", [V2], {"cg/user/cpu.max": "150000 100000\n"}, 1.5),
    "the least on the way up": (
        "0::/a/b\n",
        [V2],
        {"cg/a/b/cpu.max": "max 100000", "cg/a/cpu.max": "50000 100000", "cg/cpu.max": "300000 100000"},
        0.5,
    ),
    "above the mount": ("0::/docker/x\n", [("/docker/x", "cg", "cgroup2", "")], {"cg/cpu.max": "200000 100000"}, 2.0),
    "a place that is not here": ("0::/../other\n", [V2], {"cg/cpu.max": "200000 100000"}, 2.0),
    "the root of another view": ("0::/\n", [("/docker/x", "cg", "cgroup2", "")], {"cg/cpu.max": "100000 100000"}, 1.0),
    "version 1": (
        "4:cpu,cpuacct:/job\n3:cpuset:/\n",
        [("/", "cpuset", "cgroup", ",cpuset"), V1],
        {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1 without": (
        "4:cpu,cpuacct:/job\n",
        [V1],
        {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "both versions": (
        "4:cpu:/job\n0::/user\n",
        [V1, V2],
        {"cpu/job/cpu.cfs_quota_us": "300000", "cpu/job/cpu.cfs_period_us": "100000", "cg/user/cpu.max": "max 100000"},
        3.0,
    ),
    "nonsense": ("0::/user\n", [V2], {"cg/user/cpu.max": "a few\n"}, None),
    "a period of nothing": ("0::/user\n", [V2], {"cg/user/cpu.max": "100 0\n"}, None),
    "no colons": ("garbage\n", [V2], {}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_quota_is_the_least_of_all_groups(machine, case):
    groups, mounts, files, quota = CASES[case]
    machine(4, groups, mounts, files)
    assert cores.cpu_quota() == quota
    assert cores.usable_cores() == (4 if quota is None else max(1, int(quota)))
    assert cores.restrictions() == ({} if quota is None else {"cpu_quota": f"{quota:g} cores"})


def test_names_of_mounts_may_have_spaces(machine, tmp_path):
    machine(4, "0::/\n", [("/", r"my\040groups", "cgroup2", "")], {"my groups/cpu.max": "100000 100000"})
    assert cores.cpu_quota() == 1.0


@pytest.mark.parametrize(
    ("threads", "allowed", "quota", "says"),
    [
        (4, 4, "max", ""),
        (1, 4, "100000", ""),
        (64, 4, "max", "64 threads share the 4 cores"),
        (2, 1, "max", "2 threads share the 1 core that"),
        (2, 4, "150000", "2 threads have a quota of 1.5 cores"),
        (1, 4, "50000", "1 thread has a quota of 0.5 cores"),
        (64, 4, "150000", "Use at most 1."),
    ],
)
def test_too_many_threads_are_told(machine, threads, allowed, quota, says):
    machine(allowed, "0::/\n", [V2], {"cg/cpu.max": f"{quota} 100000"})
    told = cores.overcommitted(threads)
    assert says in told and bool(told) == bool(says)


def test_allowed_cores_are_recorded_where_they_are_not_all(machine, monkeypatch):
    machine()
    monkeypatch.setattr(cores, "allowed_cores", lambda: [0, 2, 3])
    assert cores.restrictions() == {"allowed_cores": "0,2-3"} and cores.usable_cores() == 3


def test_without_control_groups_nothing_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_PROC", tmp_path / "none")
    assert cores.cpu_quota() is None and cores.usable_cores() == len(processes.allowed_cores())


def test_a_process_with_one_core_says_so():
    if not processes.can_pin():
        pytest.skip("this system lets no process choose its cores")
    core = processes.allowed_cores()[0]
    script = (
        f"from nagsdk.common.processes import pin; pin([{core}])\n"
        "from nagsdk.common.cores import overcommitted, usable_cores; print(usable_cores(), overcommitted(2))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 2 threads share the 1 core")
