"""How long the proven choice of one to four models takes for a population of many made-up devices.

    python benchmarks/fleet_size.py [--devices 200] [--models 4]

The devices have random speeds, shares and kinds of cores, and are known by one reading each; the candidates are those
that `nagsdk fleet` finds for them. Prints the seconds of the solver and the remaining gap, which is 0 where the optimum
is proven. Needs a quiet machine; two minutes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import nagsdk
from nagsdk.common.temporary import temporary_folder

TARGET_S = 20.0
CORES = ("Cortex-A53 1.8 GHz", "Cortex-A55 2.0 GHz", "Cortex-A73 2.4 GHz", "Cortex-A76 2.6 GHz", "Cortex-A78 2.4 GHz")


def population(devices: int) -> str:
    """The text of a fleet.toml."""
    rng = np.random.default_rng(0)
    shares = 100 * rng.dirichlet(np.ones(devices))
    readings = np.exp(rng.uniform(np.log(6), np.log(60), devices))
    return "\n".join(
        f'[[devices]]\nshare = {share:.6f}\nkernels = "ncnn"\nchip = "{CORES[number % len(CORES)]}"\n'
        f"readings = {{ mobilenet_v3_large = {ms:.3f} }}\n"
        for number, (share, ms) in enumerate(zip(shares, readings, strict=True))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--models", type=int, default=4)
    given = parser.parse_args()
    with temporary_folder() as folder:
        file = Path(folder / "fleet.toml")
        file.write_text(population(given.devices), "utf-8")
        begun = time.monotonic()
        found = nagsdk.fleet(file, "40ms", 90, models=given.models, bundle="imagenet")
        seconds = time.monotonic() - begun
    print(f"{len(found.devices)} devices, {found.candidates} candidates; {seconds:.1f} s in all")
    for one in found.sizes:
        proven = "proven" if one.gap == 0 else f"gap {one.gap:.2%}"
        print(
            f"  {one.models} models: {one.top1:.2f} % for {one.held:.1f} % of the users; {one.seconds:.1f} s, {proven}"
        )
    print(f"choosing {given.models} models: {found.sizes[-1].seconds:.1f} s (target <= {TARGET_S:.0f})")


if __name__ == "__main__":
    main()
