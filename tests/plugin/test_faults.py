"""Backends that misbehave in each of their methods, installed as packages and used through the command line."""

import json
import os
import subprocess
import sys

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
METHODS = ("presence", "supports", "layer_bytes", "rewrites", "simulate", "tolerance", "export", "inspect", "compile")
SESSION = ("open", "load", "unload", "time", "infer", "close")
EXPORT = ["export", "--device", "board", "--arch", ARCHITECTURE]
GENERATE = ["generate", "--device", "board", "--budget"]
COMMANDS = {
    **dict.fromkeys(("tolerance", "export", "inspect", "compile", "open", "load", "infer", "close"), EXPORT),
    "supports": [*GENERATE, "2MMACs"],
    "layer_bytes": [*GENERATE, "1MB"],
    "simulate": [*GENERATE, "20ms"],
    **dict.fromkeys(("rewrites", "unload", "time"), ["profile", "--device", "board", "--arch", ARCHITECTURE]),
    "presence": ["profile", "--device", "board", "--arch", ARCHITECTURE],
    "diagnose": ["doctor"],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    install(site, "board", BOARD)
    return site


def nagsdk(site, folder, *arguments, **environment):
    output = ["--output", str(folder / "out")] if arguments[0] == "export" else []
    return subprocess.run(
        [sys.executable, "-m", "nagsdk", *arguments, *output, *([] if arguments[0] == "doctor" else ["--json"])],
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


if __name__ == "__main__":
    from pathlib import Path
    import tempfile, time, itertools
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        os.environ.update(NAGSDK_DATA_DIR=str(work/"data"), NAGSDK_CACHE_DIR=str(work/"cache"))
        install(work / "site", "board", BOARD)
        hows = sys.argv[1].split(",") if len(sys.argv) > 1 else ["", "raise"]
        wheres = sys.argv[2].split(",") if len(sys.argv) > 2 else [*METHODS, *SESSION]
        for where, how in itertools.product(wheres, hows):
            begun = time.time()
            done = nagsdk(work / "site", work, *COMMANDS[where], FAULT_WHERE=where if how else "", FAULT_HOW=how)
            bad = "Traceback" in done.stderr
            print(f"{'BAD ' if bad else ''}{where:12} {how:10} rc={done.returncode} {time.time()-begun:5.1f}s {done.stderr.strip()[-800 if bad else 0:][:500]!r} {done.stdout[:0]!r}", flush=True)
