"""Measures every figure that the project claims, one script after the other.

    python benchmarks/all.py [--data DIR]

DIR contains the measured ImageNet accuracies (see docs/figures.md). Without it, three benchmarks are left out, and a
message says so. Takes about three hours on two idle cores; the benchmark of the generator takes half of that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WITH_DATA = ("accuracy_predictor", "calibration", "generator")
SCRIPTS = (
    "startup",
    "export",
    "tflite",
    "repeatability",
    "calibration_cpu",
    "runtimes",
    "generator_measured",
    "training",
    "training_ranks",
    "deploy",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    arguments = parser.parse_args()
    failed = []
    commands = {name: [str(HERE / f"{name}.py")] for name in SCRIPTS}
    if arguments.data.is_dir():
        commands |= {name: [str(HERE / f"{name}.py"), "--data", str(arguments.data)] for name in WITH_DATA}
    else:
        print(f"{', '.join(WITH_DATA)} are left out: there is no folder {arguments.data} (--data DIR).")
    for name, command in commands.items():
        print(f"\n=== {name}", flush=True)
        if subprocess.run([sys.executable, *command], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
