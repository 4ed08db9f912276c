"""Trains supernets of several families for the same steps on the same pictures, and compares their subnets.

    python benchmarks/trained_families.py --work build/glyphs [--steps 300] [--seed 0] [--only vit …] [--supernets DIR]

--work is the work folder of recipes/glyphs/build.py, whose pictures are used. The families:
  elastic   MobileNetV3 with learned transformations of kernels, as it ships
  sliced    the same networks, whose weights are only cut out of those of the largest one
  vit       the small vision transformers at the same resolutions
All train by the sandwich rule with the settings of `nagsdk train`. Printed are the top-1 of the smallest and the
largest subnet and the mean over random ones, and for several budgets the top-1 of the best subnet within it. That one
is chosen on one half of the validation pictures, and shown is its top-1 on the other half. Latencies are the least of
many runs of ONNX Runtime with one thread. 300 steps take some minutes a family on an idle core, and say little about
the end of a long training: the shipped bundle was trained for 5,600.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from nagsdk.families import preset
from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.subnet import Block, MobileNetV3Subnet
from nagsdk.families.space import NetworkSpace
from nagsdk.families.torch_scope import threads
from nagsdk.families.traced.built import BuiltSpace
from nagsdk.families.traced.sliced import SlicedSupernet
from nagsdk.graph.onnx import write_onnx
from nagsdk.graph.trace import trace
from nagsdk.images.batches import ArrayBatches, Shown, prepare
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.passes import passes
from nagsdk.supernet.train import train
from nagsdk.supernet.weights import save_supernet
from nagsdk.training.subnets import space_filling

BATCH, RECALIBRATION, CLASSES = 64, 512, 47
PREPROCESSING = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
BUDGETS = {"mmacs": (1.0, 2.0, 4.0, 8.0), "ms": (0.1, 0.2, 0.4, 0.8)}
TARGET_POINTS = 1.0


class SlicedMobileNetV3(MobileNetV3Space, BuiltSpace):
    """MobileNetV3 as a family that only says how its networks are built."""

    def values(self, code: Sequence[int]) -> dict[str, Any]:
        """A code as the value of a single name."""
        return {"code": tuple(code)}

    def network(self, values: Mapping[str, Any]) -> nn.Module:
        """A network whose blocks have the same names in all networks, with initial weights as in `elastic`."""
        code = values["code"]
        network = MobileNetV3Subnet(self, self.decode([code])[0])  # type: ignore[arg-type]
        names = [f"block{shape.decision}" for shape in self.blocks if code[shape.decision] >= 0]
        network.blocks = nn.Sequential(OrderedDict(zip(names, network.blocks, strict=True)))
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
            if isinstance(module, Block) and module.residual:
                assert isinstance(module.project.bn, nn.BatchNorm2d)
                nn.init.zeros_(module.project.bn.weight)
        return network

    def supernet(self) -> SlicedSupernet:  # type: ignore[override]
        """A supernet whose weights are only cut."""
        return SlicedSupernet(self)


def vit() -> NetworkSpace:
    """The small vision transformers at resolutions that the pictures have."""
    space = preset("vit")
    return space.from_dict({**space.to_dict(), "classes": CLASSES, "pixels": (32, 40, 48)})


FAMILIES: dict[str, Callable[[], NetworkSpace]] = {
    "elastic": lambda: small_mobilenet_v3(CLASSES),
    "sliced": lambda: SlicedMobileNetV3.from_dict(small_mobilenet_v3(CLASSES).to_dict()),
    "vit": vit,
}


def latency(supernet: Any, architecture: Architecture, folder: Path) -> float:
    """The least time of one inference in ONNX Runtime, in milliseconds."""
    import onnxruntime

    path = folder / "network.onnx"
    write_onnx(trace(supernet.extract(architecture), architecture.resolution), path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    feed = {"image": np.zeros((1, 3, architecture.resolution, architecture.resolution), np.float32)}
    taken = []
    for _ in range(60):
        start = time.perf_counter()
        session.run(None, feed)
        taken.append(time.perf_counter() - start)
    return 1e3 * min(taken)


def measured(name: str, work: Path, steps: int, count: int, seed: int, supernets: Path | None) -> dict[str, Any]:
    """Trains the supernet of a family, keeps it if there is a folder for it, and measures its subnets."""
    space = FAMILIES[name]()
    images, labels = (np.load(work / f"train.{part}.npy", mmap_mode="r") for part in ("images", "labels"))
    seen, right = (np.load(work / f"validation.{part}.npy", mmap_mode="r") for part in ("images", "labels"))
    supernet = space.supernet()
    supernet.initialise(seed)
    curve: list[tuple[float, float]] = []

    def listen(event: Any) -> None:
        if hasattr(event, "loss_largest"):
            curve.append((event.loss_largest, event.loss_smallest))

    (recipe,) = passes("sandwich", space, steps, space.peak_rate, 0, False, steps)
    start = time.process_time()
    train(supernet, ArrayBatches(images, labels, BATCH, PREPROCESSING), recipe, listen)
    seconds = (time.process_time() - start) / steps
    if supernets is not None:
        save_supernet(supernet, supernets / f"{name}.safetensors")
    random = space.decode(space.sample(count, np.random.default_rng(1)))
    ends = space.decode(extremes(space))
    spread = space.decode(space_filling(space, max(count, 12), 0))
    every = list(dict.fromkeys((*ends, *random, *spread)))
    halves = [
        measure(
            supernet,
            every,
            lambda r: prepare(images[:RECALIBRATION], r, PREPROCESSING),
            lambda r, part=part: Shown(seen[part::2], right[part::2], r, PREPROCESSING),  # type: ignore[misc]
        )
        for part in (0, 1)
    ]
    top1 = dict(zip(every, np.mean(halves, 0).tolist(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        costs = {
            "mmacs": np.array([space.macs(a) / 1e6 for a in every]),
            "ms": np.array([latency(supernet, a, Path(folder)) for a in every]),
        }
    best: dict[str, dict[str, float | None]] = {unit: {} for unit in BUDGETS}
    for unit, budgets in BUDGETS.items():
        for budget in budgets:
            within = np.flatnonzero(costs[unit] <= budget)
            chosen = within[halves[0][within].argmax()] if len(within) else None
            best[unit][f"{budget:g}"] = None if chosen is None else float(halves[1][chosen])
    shown = max(1, steps // 10)
    return {
        "steps": steps,
        "seconds_per_step": seconds,
        "loss_largest": [float(np.mean([c[0] for c in curve[:shown]])), float(np.mean([c[0] for c in curve[-shown:]]))],
        "smallest": top1[ends[0]],
        "largest": top1[ends[1]],
        "mean": float(np.mean([top1[a] for a in random])),
        "best_within": best,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="work folder of recipes/glyphs/build.py")
    parser.add_argument("--steps", type=int, default=300, help="training steps (default: %(default)s)")
    parser.add_argument("--subnets", type=int, default=40, help="random subnets to measure (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial weights (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="families")
    parser.add_argument("--supernets", type=Path, help="folder in which the weights are kept, one file for a family")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with threads(1):
        report = {
            name: measured(name, options.work, options.steps, options.subnets, options.seed, options.supernets)
            for name in options.only
        }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{options.steps} steps of {BATCH} pictures; top-1 in %")
    titles = [f"{budget:g} {unit}" for unit, budgets in BUDGETS.items() for budget in budgets]
    print(f"{'':<9}{'s/step':>8}{'smallest':>10}{'largest':>9}{'mean':>7}" + "".join(f"{t:>10}" for t in titles))
    for name, row in report.items():
        found = [row["best_within"][unit][f"{budget:g}"] for unit, budgets in BUDGETS.items() for budget in budgets]
        print(
            f"{name:<9}{row['seconds_per_step']:>8.2f}{row['smallest']:>10.1f}{row['largest']:>9.1f}{row['mean']:>7.1f}"
            + "".join(f"{'-':>10}" if value is None else f"{value:>10.1f}" for value in found)
        )
    if {"elastic", "sliced"} <= report.keys():
        behind = {key: report["elastic"][key] - report["sliced"][key] for key in ("smallest", "largest", "mean")}
        print("sliced behind elastic, in points: " + ", ".join(f"{key} {value:+.1f}" for key, value in behind.items()))
        print(f"at most {TARGET_POINTS:g} behind: {'yes' if max(behind.values()) <= TARGET_POINTS else 'NO'}")


if __name__ == "__main__":
    main()
