"""What a lab gains and costs: throughput of several devices, and overhead for one.

    python benchmarks/lab.py [--only throughput,overhead] [--sleep 0.015] [--rounds 3]

Throughput: four devices that sleep on two workers of this machine are calibrated together, and one after the other.
Overhead: this machine's processor is calibrated with and without the lab ``local``, in turns; needs a quiet machine.
Fifteen minutes; nothing is kept. lab_scale.py measures many devices, lab_faults.py how long faults last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import nagsdk
from nagsdk.calibration.drift import Taken
from nagsdk.common.temporary import temporary_folder
from nagsdk.events import Listener, ignore
from nagsdk.lab import local
from nagsdk.lab.connection import Lab
from nagsdk.pipeline.calibrate import CalibrationSummary
from nagsdk.pipeline.several import Outcome, each
from nagsdk.plugin.host import load_all, using

TARGET_RATIO, TARGET_OVERHEAD = 3.2, 0.05
PLUGIN = """
import os, time
from pathlib import Path
from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.plugin import hookimpl

nagsdk_api = 1


def is_gone():
    return os.path.exists(os.environ.get("BENCH_GONE", ""))


class Sleeper(Backend):
    id, title, suffix, runs_elsewhere = "bench-sleeper", "Devices that sleep", ".onnx", True

    def presence(self, device):
        if is_gone():
            return Presence(False, "It is not plugged in.")
        return Presence.of({"runtime": "sleeper", "unit": device.id})

    def export(self, graph, path, device, images=None):
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device):
        return SleeperSession()


class SleeperSession(Session):
    def __init__(self):
        self.sizes = []

    def load(self, compiled):
        self.sizes.append(Path(compiled).stat().st_size)
        return len(self.sizes) - 1

    def unload(self, handle):
        pass

    def time(self, handle, warmup, runs, timeout_s):
        if is_gone():
            raise DeviceError("The device does not answer.", "Plug it in.")
        time.sleep(SLEEP_S * (warmup + runs))
        return Burst(tuple(self.sizes[handle] / 1e5 * (1 + 1e-4 * n) for n in range(runs)))

    def infer(self, handle, images):
        raise NotImplementedError

    def close(self):
        pass


@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Sleeper())


@hookimpl
def nagsdk_register_devices(registry):
    for number in range(DEVICES):
        registry.add(Device(f"bench-{number}", f"Sleeper {number}", "bench-sleeper"))
"""


def install(site: Path, sleep: float, devices: int) -> None:
    """Installs the plugin of sleeping devices where this process and its workers find it."""
    record = site / "bench_sleeper-1.0.dist-info"
    record.mkdir(parents=True)
    (site / "bench_sleeper.py").write_text(PLUGIN.replace("SLEEP_S", str(sleep)).replace("DEVICES", str(devices)))
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-sleeper\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[nagsdk]\nbench-sleeper = bench_sleeper\n")
    sys.path.insert(0, str(site))


def started(devices: int, workers: int, folder: Path) -> Lab:
    """A lab of this machine whose workers share the sleeping devices."""
    names = [[f"bench-{number}" for number in range(start, devices, workers)] for start in range(workers)]
    options = [[option for name in own for option in ("--device", name)] for own in names]
    folder.mkdir()
    lab = local.start_local([[*own, "--name", f"worker-{number}"] for number, own in enumerate(options)], folder)
    os.environ["NAGSDK_LAB_CERTIFICATES"] = str(folder / "certificates")
    return lab


def throughput(sleep: float, folder: Path) -> None:
    """Calibrates four devices together and one after the other."""
    install(folder / "site", sleep, 4)
    with using(load_all()):
        lab = started(4, 2, folder / "lab")
        names = [f"bench-{number}" for number in range(4)]
        seconds = {}
        found = {}
        for together in (True, False):
            os.environ["NAGSDK_CACHE_DIR"] = str(folder / f"cache-{together}")

            def target(name: str, on_event: Listener) -> nagsdk.Target:
                return nagsdk.Target(name, lab=lab.address, on_event=on_event)

            begun = time.monotonic()
            outcomes = each(names, target, lambda one: nagsdk.calibrate(one, samples=12), together, ignore)
            seconds[together] = time.monotonic() - begun
            found[together] = [[t.reading.burst.wall_ms for t in _calibrated(one)] for one in outcomes]
        os.environ["NAGSDK_CACHE_DIR"] = str(folder / "cache-here")
        here = nagsdk.calibrate(nagsdk.Target(names[0]), samples=12)
        same = sorted(t.reading.burst.wall_ms for t in here.calibration.taken) == sorted(found[True][0])
    ratio = seconds[False] / seconds[True]
    print(f"four devices on two workers: {seconds[True]:.1f} s together, {seconds[False]:.1f} s one after the other")
    print(f"throughput {ratio:.2f} x (target >= {TARGET_RATIO}); readings equal to those without a lab: {same}")


def _calibrated(outcome: Outcome[CalibrationSummary]) -> tuple[Taken, ...]:
    if outcome.result is None:
        raise SystemExit(f"failed: {outcome.error}")
    return outcome.result.calibration.taken


def overhead(rounds: int, folder: Path) -> None:
    """Calibrates the processor of this machine with and without a lab, in turns."""
    seconds: dict[str | None, list[float]] = {None: [], "local": []}
    for number in range(rounds):
        for lab in (None, "local") if number % 2 else ("local", None):
            os.environ["NAGSDK_CACHE_DIR"] = str(folder / f"overhead-{number}-{lab}")
            target = nagsdk.Target("cpu", lab=lab)
            begun = time.monotonic()
            nagsdk.calibrate(target, samples=20, seed=number)
            seconds[lab].append(time.monotonic() - begun)
    alone, with_lab = (statistics.median(seconds[lab]) for lab in (None, "local"))
    print(f"calibration of cpu: {alone:.1f} s here, {with_lab:.1f} s in the lab local ({rounds} each)")
    print(f"overhead {with_lab / alone - 1:+.1%} (target <= {TARGET_OVERHEAD:.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="throughput,overhead", help="which parts, separated by commas")
    parser.add_argument("--sleep", type=float, default=0.015, help="seconds of one run of a device")
    parser.add_argument("--rounds", type=int, default=3, help="calibrations with and without the lab")
    given = parser.parse_args()
    os.environ["NAGSDK_DATA_DIR"] = tempfile.mkdtemp()
    parts = {
        "throughput": lambda folder: throughput(given.sleep, folder),
        "overhead": lambda folder: overhead(given.rounds, folder),
    }
    with ExitStack() as stack:
        for name in given.only.split(","):
            parts[name](stack.enter_context(temporary_folder()))


if __name__ == "__main__":
    main()
