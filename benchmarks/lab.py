"""What a lab gains and costs: throughput of several devices, overhead for one, and many simulated devices.

    python benchmarks/lab.py [--only throughput,overhead,scale] [--sleep 0.015] [--devices 64] [--workers 8]

Throughput: four devices that sleep on two workers of this machine are calibrated together, and one after the other.
Overhead: this machine's processor is calibrated with and without the lab ``local``, in turns. Scale: many devices that
sleep for no time are measured at once on WORKERS workers (1,000 on 8 for the figure); prints seconds of processor time
and memory of scheduler and workers. Overhead needs a quiet machine. Fifteen minutes; nothing is kept.
"""

from __future__ import annotations

import argparse
import contextvars
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil

import nagsdk
from nagsdk.calibration.drift import Taken
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import NagsdkError
from nagsdk.events import Listener, ignore
from nagsdk.lab import local
from nagsdk.lab.connection import Lab
from nagsdk.lab.reach import reached
from nagsdk.measuring.measure import measure
from nagsdk.measuring.protocol import ESTIMATE_PROTOCOL
from nagsdk.pipeline.calibrate import CalibrationSummary
from nagsdk.pipeline.several import Outcome, each
from nagsdk.plugin.host import load_all, using

TARGET_RATIO, TARGET_OVERHEAD = 3.2, 0.05
MOST_THREADS = 256
PLUGIN = """
import time
from pathlib import Path
from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.plugin import hookimpl

nagsdk_api = 1


class Sleeper(Backend):
    id, title, suffix, runs_elsewhere = "bench-sleeper", "Devices that sleep", ".onnx", True

    def presence(self, device):
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


def scale(devices: int, workers: int, folder: Path) -> None:
    """Measures many devices at once."""
    install(folder / "site", 0.0, devices)
    network = folder / "network.onnx"
    network.write_bytes(b"onnx" * 2500)
    with using(load_all()):
        lab = started(devices, workers, folder / "lab")
        ours = [process for process in psutil.Process().children(recursive=True) if _is_lab(process)]

        def measured(name: str) -> str:
            try:
                backend, device = reached(name, lab.address)
                with backend.open(device) as session:
                    measure(session, {str(n): network for n in range(10)}, network, ESTIMATE_PROTOCOL)
            except NagsdkError as error:
                return str(error)
            return ""

        begun = time.monotonic()
        with ThreadPoolExecutor(min(devices, MOST_THREADS)) as threads:
            jobs = [
                threads.submit(contextvars.copy_context().run, measured, f"bench-{number}") for number in range(devices)
            ]
            failed = [error for job in jobs if (error := job.result())]
        seconds = time.monotonic() - begun
        print(f"{devices} devices on {workers} workers: {seconds:.1f} s, {1e3 * seconds / devices:.0f} ms each")
        print(f"failed: {len(failed)}" + (f", first: {failed[0]}" if failed else ""))
        for process in ours:
            used = process.cpu_times()
            cpu, memory = used.user + used.system, process.memory_info().rss / 1e6
            print(f"  {_is_lab(process):<9} {cpu:6.1f} s of processor time, {memory:5.0f} MB")


def _is_lab(process: psutil.Process) -> str:
    """``scheduler`` or ``worker`` for a process of a lab; empty for others."""
    words = process.cmdline()
    return next((word for word in ("scheduler", "worker") if "lab" in words and word in words), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="throughput,overhead,scale", help="which parts, separated by commas")
    parser.add_argument("--sleep", type=float, default=0.015, help="seconds of one run of a device")
    parser.add_argument("--rounds", type=int, default=3, help="calibrations with and without the lab")
    parser.add_argument("--devices", type=int, default=64, help="devices of the third part")
    parser.add_argument("--workers", type=int, default=8, help="workers of the third part")
    given = parser.parse_args()
    os.environ["NAGSDK_DATA_DIR"] = tempfile.mkdtemp()
    parts = {
        "throughput": lambda folder: throughput(given.sleep, folder),
        "overhead": lambda folder: overhead(given.rounds, folder),
        "scale": lambda folder: scale(given.devices, given.workers, folder),
    }
    with ExitStack() as stack:
        for name in given.only.split(","):
            parts[name](stack.enter_context(temporary_folder()))


if __name__ == "__main__":
    main()
