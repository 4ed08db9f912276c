"""A virtual phone seen from outside: starts it, connects to it by TCP, and makes it fail on purpose."""

import ctypes
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.plugins.android.inside import pump

HERE = Path(__file__).parent
TOOL = HERE / "benchmark_model"
ADBD = Path(os.environ.get("NAGSDK_ADBD", Path(tempfile.gettempdir()) / "nagsdk-adbd"))


def missing() -> str:
    """Why a virtual phone cannot run on this machine; empty if it can."""
    if importlib.util.find_spec("adb_shell") is None or importlib.util.find_spec("ai_edge_litert") is None:
        return "adb-shell or ai-edge-litert is not installed: pip install 'nagsdk[android]'"
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "the debug daemon's packages are for Linux on x86-64"
    if not (ADBD / "usr/lib/android-sdk/platform-tools/adbd").is_file():
        return f"no debug daemon in {ADBD}: run tests/plugins/android/fetch_adbd.sh {ADBD}, or set NAGSDK_ADBD"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-Urnm", "true"], capture_output=True, check=False).returncode
    ):
        return "this system does not let users create namespaces (unshare -Urnm)"
    return ""


def missing_tools() -> str:
    """Why a virtual phone cannot have Android's own shell and tools; empty if it can."""
    if not (ADBD / "bin/toybox").is_file():
        return f"no mksh and toybox in {ADBD}: run tests/plugins/android/fetch_adbd.sh {ADBD} again"
    return missing()


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, 9)


class VirtualPhone:
    """Android's debug daemon behind a port of this machine; see inside.py.

    With `own_tools` it has Android's shell and tools instead of those of this machine.
    """

    def __init__(self, model="Virtual Phone", serial="virtual-1", megabytes=256, own_tools=False):
        self.folder = Path(tempfile.mkdtemp(prefix="phone-"))
        self.shared = self.folder / "shared"
        (self.folder / "root").mkdir()
        for name in ("getprop", "dumpsys"):
            (self.shared / name).mkdir(parents=True)
        system_properties = {
            "ro.product.model": model,
            "ro.product.manufacturer": "Nobody",
            "ro.product.cpu.abi": "x86_64",
            "ro.build.version.release": "14",
            "ro.board.platform": "virtual",
            "ro.serialno": serial,
        }
        for name, value in system_properties.items():
            (self.shared / "getprop" / name).write_text(f"{value}\n")
        self.heal()
        packages = {importlib.util.find_spec(name).origin for name in ("ai_edge_litert", "numpy")}
        settings = {
            "root": str(self.folder / "root"),
            "shared": str(self.shared),
            "adbd": str(ADBD),
            "site": sorted({str(Path(origin).parents[1]) for origin in packages}),
            "megabytes": megabytes,
            "own_tools": own_tools,
        }
        command = ["unshare", "-Urnm", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, sys.executable, str(HERE / "inside.py"), json.dumps(settings)],
            stdout=self.log,
            stderr=self.log,
            preexec_fn=_die_with_parent,
        )
        self.server = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()
        self._wait()

    def _serve(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.shared / "adb.sock"))
            except OSError:
                near.close()
                continue
            self.connections += 1
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    def _wait(self):
        for _ in range(200):
            try:
                self.say("look")
                time.sleep(0.3)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"the virtual phone did not start: {(self.folder / 'log').read_text()}")

    def say(self, command):
        """Sends a command: `kill` ends the daemon, which restarts; `stop` ends it for good; `start` starts it again."""
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(str(self.shared / "control.sock"))
            asker.sendall(command.encode())
            assert asker.recv(100) == b"done"

    def kill_when(self, happens):
        """Kills the daemon, which restarts, as soon as a condition is true; the returned event is set then."""
        done, deadline = threading.Event(), time.monotonic() + 20

        def watch():
            while not happens():
                if time.monotonic() > deadline:
                    return
                time.sleep(0.001)
            self.say("kill")
            done.set()

        threading.Thread(target=watch, daemon=True).start()
        return done

    def set(self, name, value):
        (self.shared / name).write_text(str(value))

    def get(self, name):
        return (self.shared / name).read_text()

    def heal(self):
        """Removes all faults and the heat."""
        for name in ("fault", "noise", "slowdown", "throttle_after"):
            (self.shared / name).unlink(missing_ok=True)
        self.set("dumpsys/thermalservice", "IsStatusOverride: false\nThermal Status: 0\n")
        self.set(
            "dumpsys/battery", "Current Battery Service state:\n  AC powered: false\n  level: 93\n  temperature: 251\n"
        )

    def files(self):
        """Files in the folder for pushed files, read without ADB."""
        return sorted(str(p) for p in self._tmp().rglob("*"))

    def _tmp(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return Path(f"/proc/{children[0]}/root{self.folder}/root/data/local/tmp")

    def processes(self, pattern):
        """Command lines on the phone that contain a text."""
        found, inside = [], self._tmp().parents[2].stat()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                root = (path / "root").stat()
            except OSError:
                continue
            if pattern in line and (root.st_dev, root.st_ino) == (inside.st_dev, inside.st_ino):
                found.append(line)
        return found

    def close(self):
        self.server.close()
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
