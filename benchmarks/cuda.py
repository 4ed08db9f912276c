"""A GPU, end to end: how well twenty samples predict fresh subnets, whether budgets hold, how measurements repeat.

Runs from a plain checkout on a machine with an NVIDIA GPU; torch with CUDA, numpy, scipy, onnx, pluggy,
safetensors, filelock and nvidia-ml-py suffice. Weights are random: they cost as much time as trained ones.
Rivals in the same run: MACs times a scale, fitted on the same samples; plain eager torch.

    python benchmarks/cuda.py [--batches 1,64] [--precision fp16] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from nagsdk.architecture import Architecture  # noqa: E402
from nagsdk.budget import LATENCY, Budget  # noqa: E402
from nagsdk.bundle import Bundle  # noqa: E402
from nagsdk.cost.calibrate import export_untrained  # noqa: E402
from nagsdk.cost.references import reference_architecture  # noqa: E402
from nagsdk.cost.table import exact_table  # noqa: E402
from nagsdk.deployment import Deployer, Round, figure  # noqa: E402
from nagsdk.device.description import Device, Overrides  # noqa: E402
from nagsdk.device.measure import measure  # noqa: E402
from nagsdk.device.measurement import Measurement  # noqa: E402
from nagsdk.device.protocol import Protocol  # noqa: E402
from nagsdk.events import Event, Notice  # noqa: E402
from nagsdk.generator.completions import Completions  # noqa: E402
from nagsdk.resources import shipped  # noqa: E402
from nagsdk.space.mobilenet_v3 import MobileNetV3Space  # noqa: E402
from nagsdk.workbench import Workbench  # noqa: E402
from nagsdk_cuda.backend import CudaBackend  # noqa: E402

FRESH, SAMPLES, BUDGETS, REPEATED, PROCESSES = 100, 20, 5, 10, 3
# Networks are many here, so a few rounds each suffice.
TRUTH = Protocol(warmup=3, runs=10, rounds=5, width=0.02, most_rounds=10, spread_s=0.0, patience_s=0.0)
WORKERS = max(1, min(12, (os.cpu_count() or 2) - 2))


class Untrained(Bundle):
    """The shipped `imagenet` space and predictor with random weights, calibrated on noise."""

    def __init__(self) -> None:
        self.folder = shipped("bundles") / "imagenet"
        self.space = MobileNetV3Space.from_dict(json.loads((self.folder / "bundle.json").read_text("utf-8"))["space"])

    name = "imagenet (random weights)"
    has_images = False

    @cached_property
    def predictor(self) -> Any:
        from nagsdk.predictor.model import AccuracyPredictor

        return AccuracyPredictor.load(self.folder, self.space)

    def require_weights(self) -> None:
        pass

    def recalibration_images(self, resolution: int, folder: Path | None = None) -> NDArray[np.float32]:
        return np.random.default_rng(0).standard_normal((8, 3, resolution, resolution), dtype=np.float32)

    def subnet(self, architecture: Architecture, images: NDArray[np.float32] | None = None) -> Any:
        from nagsdk.testing.networks import random_subnet

        return random_subnet(self.space, architecture)


def tell(event: Event) -> None:
    if isinstance(event, Notice):
        print(f"  {event.text}", file=sys.stderr, flush=True)


def bench_of(batch: int, precision: str, **options: str) -> Workbench:
    device = Device("cuda", "the GPU of this machine", CudaBackend.id, batch=batch, options=tuple(options.items()))
    return Workbench(device, Untrained(), Overrides(precision=precision), tell, CudaBackend())


def export(job: tuple[int, str, list[str], str]) -> dict[str, Path]:
    """Exports a share of the networks in a process of its own."""
    import torch

    torch.set_num_threads(1)
    batch, precision, texts, folder = job
    bench = bench_of(batch, precision)
    architectures = [bench.bundle.space.parse(text) for text in texts]
    return export_untrained(bench.bundle.space, bench.device, bench.backend, architectures, Path(folder), 0)


def exported(batch: int, precision: str, architectures: list[Architecture], folder: Path) -> dict[str, Path]:
    shares = [[a.text for a in architectures[i::WORKERS]] for i in range(WORKERS)]
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        parts = list(pool.map(export, [(batch, precision, share, str(folder)) for share in shares if share]))
    return {name: path for part in parts for name, path in part.items()}


def timed(bench: Workbench, models: Mapping[str, Path], folder: Path, seed: int = 0) -> dict[str, Measurement]:
    """Measures in a fresh process."""
    reference = bench.timing_artifact(reference_architecture(bench.bundle.space, bench.costs.supported), folder)
    with bench.backend.open(bench.device) as session:
        return measure(session, models, reference, TRUTH, seed=seed)


def p50(measurement: Measurement) -> float:
    return measurement.normalised_ms()


def within(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, float]:
    errors = np.abs(predicted / true - 1)
    return {
        "within_5_percent": float(np.mean(errors <= 0.05)),
        "within_10_percent": float(np.mean(errors <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "worst": float(errors.max()),
    }


def study(batch: int, precision: str, folder: Path) -> dict[str, Any]:
    """Calibration, fresh subnets, frontier and budgets at one batch."""
    bench = bench_of(batch, precision)
    space = bench.bundle.space
    say(f"batch {batch}: calibrating with {SAMPLES} samples")
    calibration = bench.calibrate(SAMPLES)
    model = calibration.model
    codes = space.sample(FRESH, np.random.default_rng(12345))
    say(f"batch {batch}: exporting {FRESH} fresh subnets")
    models = exported(batch, precision, space.decode(codes), folder / f"fresh{batch}")
    say(f"batch {batch}: measuring them")
    found = timed(bench, models, folder)
    true = np.array([p50(found[a.text]) for a in space.decode(codes)])
    macs = exact_table(space, lambda layer: float(layer.macs))
    scale = np.exp(np.median(np.log(model.calibrated.p50_ms / macs.cost(model.calibrated.codes))))
    result: dict[str, Any] = {
        "calibration_seconds": calibration.seconds,
        "left_out": model.accuracy,
        "fresh": within(model.predict(codes)[0], true),
        "covered_by_the_0.9_bound": float(np.mean(true <= model.upper(codes, 0.9))),
        "rival_macs": within(scale * macs.cost(codes), true),
        "fastest_ms": float(true.min()),
        "slowest_ms": float(true.max()),
        "deployments": list(deployments(bench, calibration.model, folder)),
        "readings": {
            "calibrated": {a.text: v for a, v in zip(space.decode(model.calibrated.codes), model.calibrated.p50_ms.tolist(), strict=True)},
            "fresh": {a.text: v for a, v in zip(space.decode(codes), true.tolist(), strict=True)},
        },
        "state": dict(found[space.decode(codes)[0].text].readings[0].burst.properties),
    }
    return result


def deployments(bench: Workbench, model: Any, folder: Path) -> Iterator[dict[str, Any]]:
    """Deploys to budgets over the interior of the range, and measures what came out once more in a fresh process."""
    bounds = Completions.of(bench.bundle.space, model.table)
    low = bounds.least * model.upper(model.calibrated.codes[:1], 0.9)[0] / model.predict(model.calibrated.codes[:1])[0][0]
    for limit in low + (bounds.most - low) * np.linspace(0.08, 0.92, BUDGETS):
        deployer = Deployer(bench)
        budget = Budget(LATENCY, float(f"{limit:.4g}"))
        outcome = deployer.run(budget, model, folder / f"deployed-{bench.device.batch}-{limit:.4g}")
        assert isinstance(outcome, Round)
        again = bench.time({"again": outcome.built.compiled or outcome.built.path}, folder)["again"]
        row = {
            "budget_ms": budget.limit,
            "verdict": outcome.result.verdict,
            "rounds": len(deployer.rounds),
            "architecture": outcome.result.architecture,
            "predicted_ms": outcome.result.predicted.latency_ms,
            "p50_ms": figure(outcome.second or outcome.first, 50),
            "again_p50_ms": figure(again, 50),
            "top1_predicted_for_trained_weights": outcome.result.predicted.top1,
            "parity": outcome.built.parity,
        }
        say("  {budget_ms:8.4g} ms  {verdict}  rounds {rounds}  p50 {p50_ms:.4g}, again {again_p50_ms:.4g}".format(**row))
        yield row


def repeatability(batch: int, precision: str, folder: Path) -> dict[str, float]:
    """The same networks in several processes: largest deviation from the mean of all."""
    bench = bench_of(batch, precision)
    architectures = bench.bundle.space.decode(bench.bundle.space.sample(REPEATED, np.random.default_rng(7)))
    models = exported(batch, precision, architectures, folder / f"repeated{batch}")
    runs = []
    for seed in range(PROCESSES):
        found = timed(bench, models, folder, seed)
        runs.append([float(np.median([r.percentile(50) for r in found[a.text].readings])) for a in architectures])
    values = np.array(runs)
    deviation = np.abs(values / values.mean(0) - 1)
    return {"largest_deviation": float(deviation.max()), "median_deviation": float(np.median(deviation.max(0)))}


def runtimes(folder: Path) -> dict[str, Any]:
    """The reference network at batch 1: precisions, the captured graph against eager torch, the cache overwritten."""
    import torch

    from nagsdk.graph.parity import relative_error
    from nagsdk.graph.trace import trace

    rows: dict[str, Any] = {}
    architecture = reference_architecture(Untrained().space)
    for precision in CudaBackend.precisions:
        for name, options in (("cuda-graph", {}), ("eager", {"runtime": "eager"}), ("cuda-graph, cache overwritten", {"flush_l2": "1"})):
            bench = bench_of(1, precision, **options)
            path = folder / f"{precision}.pt2"
            subnet = bench.bundle.subnet(architecture)
            bench.backend.export(trace(subnet, architecture.resolution), path, bench.device)
            images = bench.bundle.recalibration_images(architecture.resolution)
            with torch.no_grad():
                expected = subnet(torch.from_numpy(images)).numpy()
            with bench.backend.open(bench.device) as session:
                handle = session.load(path)
                burst = session.time(handle, 20, 200, 60.0)
                error = relative_error(expected, session.infer(handle, images))
            row = {"p50_ms": float(np.median(burst.wall_ms)), "error": error, "peak_memory_mb": burst.properties["peak_memory_mb"]}
            rows[f"{precision}, {name}"] = row
    rows["fp16, unfolded network in eager torch"] = {"p50_ms": unfolded(architecture)}
    return rows


def unfolded(architecture: Architecture) -> float:
    """What a user gets who moves the module to the GPU and calls it: half precision, channels last, eager."""
    import torch

    device = torch.device("cuda")
    module = Untrained().subnet(architecture).to(device, torch.float16, memory_format=torch.channels_last)
    image = torch.randn(1, 3, architecture.resolution, architecture.resolution, device=device, dtype=torch.float16)
    image = image.contiguous(memory_format=torch.channels_last)
    values = []
    with torch.no_grad():
        for _ in range(100):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            module(image)
            end.record()
            end.synchronize()
            values.append(begin.elapsed_time(end))
    return float(np.median(values[20:]))


def say(text: str) -> None:
    print(f"[{time.perf_counter() - BEGUN:6.1f} s] {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--precision", default="fp16", choices=CudaBackend.precisions)
    parser.add_argument("--json", type=Path, help="file for the whole report, readings included")
    arguments = parser.parse_args()
    presence = bench_of(1, arguments.precision).presence
    if not presence.available:
        sys.exit(f"No GPU to measure on: {presence.reason}")
    print(json.dumps(dict(presence.properties), indent=2))
    report: dict[str, Any] = {"properties": dict(presence.properties)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAGSDK_CACHE_DIR"] = folder
        parts = [("runtimes", lambda: runtimes(Path(folder)))]
        for batch in map(int, arguments.batches.split(",")):
            parts.append((f"batch {batch}", lambda b=batch: study(b, arguments.precision, Path(folder))))
            parts.append((f"repeatability, batch {batch}", lambda b=batch: repeatability(b, arguments.precision, Path(folder))))
        for name, part in parts:
            say(name)
            report[name] = part()
            print(name, json.dumps({k: v for k, v in report[name].items() if k != "readings"}, indent=1), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(report, indent=1))


BEGUN = time.perf_counter()
if __name__ == "__main__":
    main()
