"""Backends that misbehave in each of their methods, installed as packages and used through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.test_harmful import install

ARCHITECTURE = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"
# A device that computes with ONNX Runtime in the plugin's own process, without a worker of nagsdk.
BOARD = '''
import ctypes, os, signal, sys, threading, time
from pathlib import Path
import numpy as np
import onnxruntime
from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.plugin import hookimpl

nagsdk_api = 1
WHERE, HOW = os.environ.get("FAULT_WHERE", ""), os.environ.get("FAULT_HOW", "")
FAULTS = {
    "raise": lambda: {}["key"],
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt("mine")),
    "close the generator": lambda: (_ for _ in ()).throw(GeneratorExit),
    "recurse": lambda: FAULTS["recurse"](),
    "end": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "abort": lambda: os.abort(),
    "hang": lambda: threading.Event().wait(),
    "flood": lambda: [print("x" * 10000) for _ in iter(int, 1)],
    "none": lambda: None,
    "text": lambda: "text",
    "itself": lambda: Session,
    "list": lambda: [object()],
}


def fault(where):
    """The fault, which is to be the answer of the method if it has one."""
    if where == WHERE:
        return FAULTS[HOW](), True
    return None, False


class Board(Backend):
    id, title, suffix = "board", "Board", ".onnx"
    time_limits_s = dict.fromkeys(("export", "inspect", "compile", "open", "load", "unload", "infer"), 4)

    def presence(self, device):
        answer, faulty = fault("presence")
        return answer if faulty else Presence.of({"runtime": "board", "runtime_version": "1"})

    def export(self, graph, path, device, images=None):
        answer, faulty = fault("export")
        if faulty:
            return answer
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device):
        answer, faulty = fault("open")
        return answer if faulty else BoardSession()


for name in ("supports", "layer_bytes", "rewrites", "simulate", "tolerance", "inspect", "compile", "diagnose"):
    def method(self, *arguments, name=name):
        answer, faulty = fault(name)
        return answer if faulty else getattr(Backend, name)(self, *arguments)

    setattr(Board, name, method)


class BoardSession(Session):
    def __init__(self):
        self.networks = {}

    def load(self, compiled):
        answer, faulty = fault("load")
        if faulty:
            return answer
        self.networks[len(self.networks)] = onnxruntime.InferenceSession(str(compiled))
        return len(self.networks) - 1

    def unload(self, handle):
        answer, faulty = fault("unload")
        del self.networks[handle]
        return answer

    def time(self, handle, warmup, runs, timeout_s):
        answer, faulty = fault("time")
        if faulty:
            return answer
        return Burst(tuple(0.5 + 0.001 * number for number in range(runs)))

    def infer(self, handle, images):
        answer, faulty = fault("infer")
        if faulty:
            return answer
        network = self.networks[handle]
        name = network.get_inputs()[0].name
        return np.concatenate([network.run(None, {name: images[i : i + 1]})[0] for i in range(len(images))])

    def close(self):
        answer, faulty = fault("close")
        self.networks.clear()
        return answer


@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Board())


@hookimpl
def nagsdk_register_devices(registry):
    registry.add(Device("board", "Board", "board"))
'''
LIMIT_S = "2"
EXPORT = ["export", "--device", "board", "--arch", ARCHITECTURE]
PROFILE = ["profile", *EXPORT[1:]]
GENERATE = ["generate", "--device", "board", "--budget"]
COMMANDS = {
    **dict.fromkeys(("tolerance", "export", "inspect", "compile", "open", "load", "infer", "close"), EXPORT),
    "supports": [*GENERATE, "2MMACs"],
    "layer_bytes": [*GENERATE, "1MB"],
    "simulate": [*GENERATE, "20ms"],
    **dict.fromkeys(("presence", "rewrites", "unload", "time"), PROFILE),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    install(site, "board", BOARD)
    return site


def nagsdk(site, folder, *arguments, **environment):
    arguments += ("--output", str(folder / "out")) if arguments[0] == "export" else ()
    return subprocess.run(
        [sys.executable, "-m", "nagsdk", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=240,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), *(p for p in sys.path if p)]),
            "NAGSDK_PLUGIN_TIMEOUT_S": LIMIT_S,
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )


# Each fault, with a part of what is said of it.
SAYS = {
    "raise": "KeyError: 'key'",
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt: mine",
    "close the generator": "GeneratorExit",
    "recurse": "RecursionError",
    "end": "ended its process: exit status 0",
    "crash": "killed by SIGSEGV",
    "abort": "killed by SIGABRT",
    "hang": "did not answer within",
    "flood": "did not answer within",
    "none": "answered NoneType",
    "text": "answered str 'text'",
    "itself": "answered ABCMeta",
    "list": "answered list",
}
# What every method may answer is tested without processes in test_guard.py.
CASES = [
    *[("supports", how) for how in SAYS if how not in ("none", "itself", "list")],
    *[("layer_bytes", "raise"), ("simulate", "raise"), ("export", "crash")],
    *[("open", "end"), ("load", "abort"), ("infer", "crash"), ("time", "list")],
]
# So that every method meets a few faults, and every fault some methods.
MORE = [
    *[("supports", how) for how in ("none", "itself", "list")],
    *[("export", "hang"), ("presence", "raise"), ("rewrites", "raise"), ("tolerance", "text"), ("inspect", "text")],
    *[("compile", "exit"), ("unload", "raise"), ("close", "recurse")],
    *[(where, "text") for where in ("presence", "layer_bytes", "rewrites", "simulate")],
    *[("tolerance", "raise"), ("inspect", "raise"), ("compile", "list"), ("open", "itself"), ("load", "text")],
    *[("export", "interrupt"), ("export", "none"), ("infer", "raise"), ("infer", "list")],
    *[("time", "exit"), ("time", "end"), ("unload", "crash"), ("close", "crash")],
]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "how"), [*CASES, *(pytest.param(*case, marks=pytest.mark.nightly) for case in MORE)])
def test_a_fault_in_a_method_is_an_error_of_its_plugin(site, tmp_path, where, how):
    if sys.platform == "win32" and how in ("crash", "abort"):
        pytest.skip("Windows names no signals")
    done = nagsdk(site, tmp_path, *COMMANDS[where], FAULT_WHERE=where, FAULT_HOW=how)
    assert done.returncode == 4 and "Traceback" not in done.stderr and done.stdout == "", done.stderr
    said = " ".join(done.stderr.split())
    assert "The plugin board " in said and SAYS[how] in said and "Fix its plugin" in said
    assert where in said
    if how != "end":  # os._exit leaves no trace
        assert f"{Path('sabotage_board', '__init__.py')}, line " in said


@pytest.mark.slow
def test_the_board_works_without_a_fault(site, tmp_path):
    done = nagsdk(site, tmp_path, *COMMANDS["export"])
    assert done.returncode == 0 and json.loads(done.stdout), done.stderr
    done = nagsdk(site, tmp_path, *COMMANDS["time"])
    assert done.returncode == 0 and json.loads(done.stdout), done.stderr


def test_other_devices_are_listed_beside_a_faulty_one(site, tmp_path):
    for how in ("crash", "text", "hang"):
        done = nagsdk(site, tmp_path, "devices", FAULT_WHERE="presence", FAULT_HOW=how, NAGSDK_PLUGIN_TIMEOUT_S="1")
        listed = {device["id"]: device for device in json.loads(done.stdout)}
        assert done.returncode == 0 and listed["cpu"]["available"], done.stderr
        assert not listed["board"]["available"] and SAYS[how] in listed["board"]["reason"]


LEFT_BEHIND = {
    "at exit": "import atexit; atexit.register(threading.Event().wait)",
    "in a thread": "threading.Thread(target=threading.Event().wait).start()",
    "at exit, printing": "import atexit; atexit.register(print, 'NOISE')",
    "to the descriptor": "os.write(1, b'NOISE')",
    "as another output": "sys.stdout = open(os.devnull, 'w')",
    "in another folder": "os.chdir('/')",
    "with a handler": "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)",
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_what_a_plugin_leaves_behind_stays_in_its_process(tmp_path, what):
    install(tmp_path / "site", "board", BOARD + LEFT_BEHIND[what] + "\n")
    done = nagsdk(tmp_path / "site", tmp_path, "devices", NAGSDK_PLUGIN_TIMEOUT_S="10")
    assert done.returncode == 0, done.stderr
    assert "board" in {device["id"] for device in json.loads(done.stdout)}
