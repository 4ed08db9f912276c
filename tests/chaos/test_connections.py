"""No command and no worker of a plugin connects to a network or asks for the address of a name."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.chaos.sandbox import Server, template
from tests.conftest import REPOSITORY

# Asking for the address of a name sends to a server of names, or reads the file that lists those servers.
CALLS = "connect,bind,sendto,sendmsg,sendmmsg,openat"
SIGNS = ("AF_INET", "AF_PACKET", "/etc/resolv.conf")
ASKS = "import socket; socket.create_connection(('nowhere.invalid', 80))"
ARCHITECTURE = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"


@pytest.fixture
def tracer(tmp_path):
    """The arguments that trace a program, and a function that returns the lines about networks."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log = tmp_path / "trace"
    tracing = ["strace", "-f", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(log)]

    def lines():
        return [line for line in log.read_text().splitlines() if any(sign in line for sign in SIGNS)]

    subprocess.run([*tracing, sys.executable, "-c", ASKS], capture_output=True)
    if not log.exists() or not lines():
        pytest.skip("strace may not trace here")
    log.unlink()
    return tracing, lines


@pytest.mark.nightly  # the workers below do what differs between devices
def test_deploy_train_build_calibrate_and_pull_connect_nowhere(tracer, tmp_path):
    tracing, lines = tracer
    server = Server(*tracing)
    try:
        template(server, tmp_path / "work")
    finally:
        server.close()
    assert lines() == []


@pytest.mark.parametrize("device", ["cpu", "litert", "openvino"])
def test_workers_of_plugins_connect_nowhere(tracer, tmp_path, device):
    tracing, lines = tracer
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    command = [sys.executable, "-m", "nagsdk", "export", "--device", device, "--arch", ARCHITECTURE]
    ended = subprocess.run(
        [*tracing, *command, "--output", str(tmp_path / "out")], env=environment, capture_output=True, text=True
    )
    if "is not installed" in ended.stderr:
        pytest.skip(ended.stderr)
    assert ended.returncode == 0, ended.stderr
    assert lines() == []
