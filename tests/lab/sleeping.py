"""A plugin whose devices sleep in place of computing, and a lab of this machine with them."""

import os
import subprocess
import sys

from nagsdk.common.processes import end
from tests.plugin.test_harmful import install

# How long it sleeps, how fast a device is, and whether a device is there, comes from the environment of its process.
SLEEPER = """
import os, time
from pathlib import Path
import numpy as np
from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.plugin import hookimpl

nagsdk_api = 1


def there(device):
    gone = os.environ.get("SLEEPER_GONE")
    return not (gone and Path(gone).exists())


class Sleeper(Backend):
    id, title, suffix, runs_elsewhere = "sleeper", "Devices that sleep", ".onnx", True

    def presence(self, device):
        if not there(device):
            return Presence(False, "Its cable is unplugged.")
        found = {"runtime": "sleeper", "runtime_version": "1", "unit": dict(device.options)["unit"]}
        serial = os.environ.get("SLEEPER_SERIAL")
        return Presence.of({**found, **({"serial": serial} if serial else {})}, ("serial",))

    def export(self, graph, path, device, images=None):
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device):
        return SleeperSession(device)


class SleeperSession(Session):
    def __init__(self, device):
        self.networks, self.device = {}, device

    def load(self, compiled):
        content = Path(compiled).read_bytes()
        if b"onnx" not in content[:200] and len(content) < 1000:
            raise DeviceError("This is not a network.", "Export it again.")
        self.networks[len(self.networks)] = content
        return len(self.networks) - 1

    def unload(self, handle):
        del self.networks[handle]

    def time(self, handle, warmup, runs, timeout_s):
        if not there(self.device):
            raise DeviceError("The device does not answer.", "Plug it in.")
        if handle not in self.networks:
            raise DeviceError("There is no such network.", "Load it.")
        time.sleep(float(os.environ.get("SLEEPER_S", "0.001")) * (warmup + runs))
        ms = len(self.networks[handle]) / 1e5
        return Burst(tuple(ms * (1 + 1e-4 * number) for number in range(runs)))

    def infer(self, handle, images):
        from onnxruntime import InferenceSession

        session = InferenceSession(self.networks[handle], providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])

    def close(self):
        self.networks = {}


class Formula(Sleeper):
    id, title, estimated_by = "formula", "Devices that only tell what a formula says", "a formula"

    def open(self, device):
        return FormulaSession(device)


class FormulaSession(SleeperSession):
    def time(self, handle, warmup, runs, timeout_s):
        return Burst((len(self.networks[handle]) / 1e5 * int(dict(self.device.options)["unit"]),) * runs)


@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Sleeper())
    registry.add(Formula())


@hookimpl
def nagsdk_register_devices(registry):
    for name in ("sleeper-1", "sleeper-2", "sleeper-3", "sleeper-4"):
        registry.add(Device(name, f"Sleeper {name[-1]}", "sleeper", options=(("unit", name),)))
    for unit in ("1", "2"):
        registry.add(Device(f"formula-{unit}", f"Formula {unit}", "formula", options=(("unit", unit),)))
"""


class Sleepers:
    """Installs the plugin, and starts labs whose workers have its devices.

    Args:
        site: Folder for the plugin.
        folder: Folder for certificates and caches.
    """

    def __init__(self, site, folder):
        install(site, "sleeper", SLEEPER)
        self.site, self.folder, self.started = site, folder, []

    def environment(self, name, **more):
        """The environment of one host: its own folders, and the plugin."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.site), *(p for p in sys.path if p)]),
            "NAGSDK_CACHE_DIR": str(self.folder / name / "cache"),
            "NAGSDK_DATA_DIR": str(self.folder / name / "data"),
            "NAGSDK_LAB_CERTIFICATES": str(self.folder / "certificates"),
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def start(self, host, *arguments, **environment):
        """Starts a program of the lab, which ends with the tests."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nagsdk", "lab", *arguments, "--with-parent"],
            stdin=subprocess.PIPE,
            stderr=(self.folder / f"{host}.log").open("ab"),
            env=self.environment(host, **environment),
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self):
        """Ends what was started."""
        for process in self.started:
            end(process)
