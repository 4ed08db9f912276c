"""Times what the generator needs of a family, and counts limits that its samples break.

    python benchmarks/families.py [--samples 400000] [--json]      # about two minutes

For every shipped space: the layers (the families that are traced keep theirs in the cache), the paths, the exact
frontier of all architectures, and samples under limits on MACs and on the latency of a random device. The accuracy is a
made-up sum over choices, and the policy has strong random preferences, which would break every limit without the mask.
MobileNetV3, whose decisions are not coupled, is the rival in the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import exact_table
from nagsdk.families import preset
from nagsdk.generator.decode import decode, gumbel
from nagsdk.generator.frontier import frontier
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.train import Network
from nagsdk.generator.training_data import Devices
from nagsdk.predictor.additive import AdditiveScore
from nagsdk.space.space import SearchSpace

T = TypeVar("T")
SPACES = ("mobilenetv3", "mobilenetv3-minimal", "proxyless", "resnet50", "vit")
PATHS_MS, FRONTIER_S = 60.0, 0.5
CANDIDATES, STRENGTH, TIMES = 64, np.float32(20), 3


def made_up(space: SearchSpace) -> AdditiveScore:
    """A score in which later choices are better, with diminishing returns."""
    rng = np.random.default_rng(0)
    gains = rng.uniform(0, 0.1, (len(space.decisions), int(space.sizes.max()))).cumsum(1)
    return AdditiveScore(0.0, gains, 100.0)


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """The least processor time of some calls in seconds, and what the last one returned."""
    taken = []
    for _ in range(TIMES):
        start = time.process_time()
        result = call()
        taken.append(time.process_time() - start)
    return min(taken), result


def measured(name: str, samples: int) -> dict[str, Any]:
    """The figures of a space."""
    space, rng = preset(name), np.random.default_rng(1)
    start = time.process_time()
    tables = [exact_table(space, lambda layer: float(layer.macs)), Devices(space).latency(rng)]
    found, score = time.process_time() - start, made_up(space)
    one, _ = timed(lambda: Paths.of(space, tables[:1], score))
    front, points = timed(lambda: frontier(space, tables[0], score))
    paths, bounds = Paths.of(space, tables, score), [Completions.of(space, table) for table in tables]
    network = Network(len(space.decisions), int(space.sizes.max()), 8, torch.Generator().manual_seed(0))
    stepper = Stepper(Policy.from_arrays({key: array * STRENGTH for key, array in network.policy().arrays().items()}))
    low, high = (np.array([getattr(bound, end) for bound in bounds]) for end in ("least", "most"))
    limits = low + (high - low) * rng.uniform(0.05, 1, (-(-samples // CANDIDATES), 2))
    start = time.process_time()
    codes = decode(space, tables, paths, stepper, limits, gumbel(0, CANDIDATES, space)).reshape(
        -1, len(space.decisions)
    )
    drawing = time.process_time() - start
    costs = np.stack([table.cost(codes) for table in tables], 1)
    return {
        "decisions": len(space.decisions),
        "rows": len(space.rows),
        "log10_architectures": float(np.log10(float(space.count()))),
        "layers_s": found,
        "paths_ms": 1e3 * one,
        "frontier_s": front,
        "frontier_points": len(points),
        "samples": len(codes),
        "samples_per_s": len(codes) / drawing,
        "broken": int((costs > np.repeat(limits, CANDIDATES, 0)).any(1).sum()),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400_000, help="samples for each space (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    report = {name: measured(name, options.samples) for name in SPACES}
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'':<21}{'decisions':>10}{'rows':>6}{'log10':>7}{'layers s':>10}{'paths ms':>10}{'frontier s':>12}  broken")
    for name, row in report.items():
        broken = f"{row['broken']} of {row['samples']}"
        print(
            f"{name:<21}{row['decisions']:>10}{row['rows']:>6}{row['log10_architectures']:>7.1f}{row['layers_s']:>10.1f}"
            f"{row['paths_ms']:>10.0f}{row['frontier_s']:>12.2f}  {broken}"
        )
    base, most = report[SPACES[0]], report["resnet50"]
    ratio = ", ".join(f"{key} {most[key] / base[key]:.1f} x" for key in ("paths_ms", "frontier_s"))
    print(f"resnet50 against mobilenetv3: {ratio}")
    reached = all(
        r["paths_ms"] <= PATHS_MS and r["frontier_s"] <= FRONTIER_S and not r["broken"] for r in report.values()
    )
    print(f"paths <= {PATHS_MS:g} ms, frontier <= {FRONTIER_S} s, 0 broken: {'yes' if reached else 'NO'}")


if __name__ == "__main__":
    main()
