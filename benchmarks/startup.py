"""How long nagsdk takes to start, to be imported and to answer, beside numpy alone, torch, and another checkout.

    python benchmarks/startup.py [--against PATH] [--runs N] [--json]

PATH is another checkout of nagsdk: then `nagsdk generate` runs in turns with that one's. Processor time is user and
system time of the whole process; where the system does not tell it (Windows), wall time stands in its place, and the
name of the figure says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
GENERATE = ("-m", "nagsdk", "generate", "--device", "pixel-1", "--bundle", "imagenet", "--budget", "80ms")
_IMPORT = "import sys, time; t = time.perf_counter(); import nagsdk; sys.stdout.write(str(time.perf_counter() - t))"
IMPORT = ("-c", _IMPORT)
CPU = os.name == "posix"


@dataclass(frozen=True)
class Run:
    """One process from its start to its end, in seconds."""

    wall: float
    cpu: float
    printed: str

    @classmethod
    def of(cls, arguments: tuple[str, ...], checkout: Path, folder: str) -> Run:
        """Runs python in an empty folder, because `python -m` looks there first."""
        path = os.pathsep.join(map(str, (checkout, checkout / "plugins")))
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        wall, after = time.perf_counter() - started, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return cls(wall, cpu if CPU else wall, done.stdout)


def in_turns(commands: dict[str, tuple[tuple[str, ...], Path]], runs: int) -> dict[str, list[Run]]:
    """Runs of every command, one after the other and then again, after one of each that does not count."""
    with tempfile.TemporaryDirectory() as folder:
        found = [
            {name: Run.of(arguments, checkout, folder) for name, (arguments, checkout) in commands.items()}
            for _ in range(runs + 1)
        ]
    return {name: [turn[name] for turn in found[1:]] for name in commands}


def ratios(one: list[Run], other: list[Run]) -> str:
    """Median, least and most of the ratios of two commands' processor times, turn by turn."""
    found = [a.cpu / b.cpu for a, b in zip(one, other, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of nagsdk")
    parser.add_argument("--runs", type=int, default=9, help="of every command")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    here = {
        "help": ("-m", "nagsdk", "--help"),
        "import": IMPORT,
        "generate": GENERATE,
        "bare": ("-c", "pass"),
        "numpy": ("-c", "import numpy"),
    }
    commands = {name: (command, ROOT) for name, command in here.items()}
    if arguments.against is not None:
        commands["against"] = GENERATE, arguments.against.resolve()
    found = in_turns(commands, arguments.runs)
    torch = in_turns({"torch": (("-c", "import torch"), ROOT)}, 3)["torch"]
    time_ = "processor time" if CPU else "wall time"
    help_s = min(run.wall for run in found["help"])
    figures: dict[str, str | float] = {
        "nagsdk --help, s (target <= 0.2)": round(help_s, 3),
        "import nagsdk, s (target <= 0.05)": round(min(float(run.printed) for run in found["import"]), 4),
        "python -c pass, s": round(min(run.wall for run in found["bare"]), 3),
        "python -c 'import torch', s": round(min(run.wall for run in torch), 3),
        "ratio of import torch to nagsdk --help": round(min(run.wall for run in torch) / help_s, 1),
        f"nagsdk generate, {time_}, s": round(median(run.cpu for run in found["generate"]), 3),
        f"python -c 'import numpy', {time_}, s": round(median(run.cpu for run in found["numpy"]), 3),
        "ratio of generate to import numpy": ratios(found["generate"], found["numpy"]),
    }
    if "against" in found:
        figures[f"the other checkout's generate, {time_}, s"] = round(median(run.cpu for run in found["against"]), 3)
        figures["ratio to the other checkout"] = ratios(found["generate"], found["against"])
    print(
        json.dumps(figures, indent=2)
        if arguments.json
        else "\n".join(f"{name:68}{value}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
