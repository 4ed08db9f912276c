"""Calibrates many simulated devices of a lab at the same time, and prints what the lab itself takes for it.

    python benchmarks/lab_scale.py [--devices 1000] [--workers 8] [--samples 5]

The devices answer at once, what a formula says, by a plugin that is not part of nagsdk: each open session has a process
of its own. All workers, the scheduler and the client run on this machine. The networks are exported once for all
devices, which have the same runtime; everything else is a calibration as by `nagsdk calibrate`. Twenty minutes on two
cores; nothing is kept.
"""

from __future__ import annotations

import argparse
import contextvars
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from lab import install, started  # type: ignore[import-not-found, unused-ignore]

from nagsdk.bundle.bundle import load_bundle
from nagsdk.calibration import calibrate as calibration
from nagsdk.calibration.export import export_untrained
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import NagsdkError
from nagsdk.lab.reach import reached
from nagsdk.measuring.protocol import ESTIMATE_PROTOCOL
from nagsdk.pipeline.several import MOST_AT_ONCE
from nagsdk.plugin.host import load_all, using
from nagsdk.space.architecture import Architecture

LOOK_S = 2.0


def exported_once(folder: Path) -> Callable[..., dict[str, Path]]:
    """`export_untrained`, which does not export again what it has exported for another device."""
    turn, files = threading.Lock(), dict[str, Path]()

    def once(
        space: Any, device: Any, backend: Any, part: Sequence[Architecture], own: Path, *others: Any
    ) -> dict[str, Path]:
        with turn:
            if missing := [one for one in part if one.text not in files]:
                files.update(export_untrained(space, device, backend, missing, folder, *others))
        return {one.text: files[one.text] for one in part}

    return once


class Watch:
    """Looks at the memory of the lab's processes every few seconds.

    Attributes:
        most_mb: The most that all processes of a kind took together.
        most: The largest number of processes of a kind.
        seconds: Processor time of each process that still runs, by kind.
    """

    def __init__(self) -> None:
        self.most_mb, self.most = defaultdict[str, float](float), defaultdict[str, int](int)
        self.seconds: dict[str, list[float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        megabytes, seconds = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                kind, used = kind_of(process), process.cpu_times()
                megabytes[kind].append(process.memory_info().rss / 1e6)
                seconds[kind].append(used.user + used.system)
            except psutil.Error:  # it has ended
                continue
        self.seconds = seconds
        for kind, sizes in megabytes.items():
            self.most_mb[kind] = max(self.most_mb[kind], sum(sizes))
            self.most[kind] = max(self.most[kind], len(sizes))


def kind_of(process: psutil.Process) -> str:
    words = process.cmdline()
    if "lab" in words:
        return next((word for word in ("scheduler", "worker") if word in words), "other")
    return "client" if process.pid == os.getpid() else "sessions of the plugin"


def scale(devices: int, workers: int, samples: int, folder: Path) -> None:
    """Calibrates many devices at once."""
    install(folder / "site", 0.0, devices)
    (folder / "networks").mkdir()
    vars(calibration)["export_untrained"] = exported_once(folder / "networks")
    space = load_bundle("glyphs").space
    with using(load_all()):
        begun = time.monotonic()
        lab = started(devices, workers, folder / "lab")
        print(f"the lab started in {time.monotonic() - begun:.1f} s", flush=True)
        watch, done = Watch(), 0

        def calibrated(name: str) -> str:
            nonlocal done
            try:
                backend, device = reached(name, lab.address)
                found = calibration.calibrate(space, device, backend, samples=samples, protocol=ESTIMATE_PROTOCOL)
            except NagsdkError as error:
                return error.message
            if len(found.codes) != samples:
                return f"{len(found.codes)} networks were measured"
            done += 1
            if done % 100 == 0:
                print(f"  {done} after {time.monotonic() - begun:.0f} s", flush=True)
            return ""

        begun = time.monotonic()
        with ThreadPoolExecutor(min(devices, MOST_AT_ONCE)) as threads:
            jobs = [
                threads.submit(contextvars.copy_context().run, calibrated, f"bench-{number}")
                for number in range(devices)
            ]
            failed = [error for job in jobs if (error := job.result())]
        seconds = time.monotonic() - begun
        watch.end()
    print(f"{devices} devices on {workers} workers, {samples} networks each: {devices - len(failed)} calibrated")
    print(f"failed: {len(failed)}" + (f", first: {failed[0]}" if failed else ""))
    print(f"{seconds:.0f} s, {1e3 * seconds / devices:.0f} ms for each device")
    for kind, count in watch.most.items():
        size, used = watch.most_mb[kind], sum(watch.seconds.get(kind, []))
        each = f", {size / count:.0f} MB each" if count > 1 else ""
        cpu = f"{used:.1f} s of processor time, {1e3 * used / devices:.1f} ms for each device; " if used else ""
        print(f"  {kind}: {cpu}at most {count} at a time, {size:.0f} MB{each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--samples", type=int, default=5, help="networks of each calibration")
    given = parser.parse_args()
    os.environ["NAGSDK_DATA_DIR"] = tempfile.mkdtemp()
    os.environ["NAGSDK_CACHE_DIR"] = tempfile.mkdtemp()
    with temporary_folder() as folder:
        scale(given.devices, given.workers, given.samples, folder)


if __name__ == "__main__":
    main()
