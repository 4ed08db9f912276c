"""Measures how long `nagsdk --help` takes, compared with a bare interpreter and with importing torch.

python benchmarks/startup.py [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time


def best(*arguments: str, repeats: int = 7) -> float:
    """Shortest wall time of a command in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    help_s, bare_s, torch_s = best("-m", "nagsdk", "--help"), best("-c", "pass"), best("-c", "import torch", repeats=3)
    figures = {
        "nagsdk --help, s (target <= 0.2)": round(help_s, 3),
        "python -c pass, s": round(bare_s, 3),
        "python -c 'import torch', s": round(torch_s, 3),
        "ratio of import torch to nagsdk --help": round(torch_s / help_s, 1),
    }
    print(
        json.dumps(figures, indent=2)
        if arguments.json
        else "\n".join(f"{name:44}{value}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
