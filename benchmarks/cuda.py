"""Benchmarks a GPU: how well twenty samples predict fresh subnets, whether budgets hold, how measurements repeat.

Runs from a plain checkout on a machine with an NVIDIA GPU; torch with CUDA, numpy, scipy, onnx, pluggy,
safetensors, filelock and nvidia-ml-py are enough. Weights are random, which take the same time as trained ones.
Rivals in the same run: MACs times a scale, fitted on the same samples; plain eager torch. A batch size takes about ten
minutes. With --folder, results are kept there, and the same command again does only what is missing.

    python3 benchmarks/cuda.py [--batches 1,64] [--precision fp16] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "cuda":  # torch looks for NVIDIA's package while it is used by another program of this folder
    raise ImportError("benchmarks/cuda.py is a program, and not NVIDIA's package of this name")

ROOT = Path(__file__).resolve().parent.parent
# The folder of this file is taken off the path, because cuda.py would hide that package here.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != ROOT / "benchmarks"]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from nagsdk.budget import LATENCY, Budget  # noqa: E402
from nagsdk.bundle.bundle import Bundle  # noqa: E402
from nagsdk.calibration.export import export_untrained  # noqa: E402
from nagsdk.calibration.references import reference_architecture  # noqa: E402
from nagsdk.common.cores import usable_cores  # noqa: E402
from nagsdk.common.folders import shipped  # noqa: E402
from nagsdk.cost.bounds import Completions  # noqa: E402
from nagsdk.cost.metric_limits import value_of  # noqa: E402
from nagsdk.cost.table import exact_table  # noqa: E402
from nagsdk.device.backend import Backend  # noqa: E402
from nagsdk.device.description import Device  # noqa: E402
from nagsdk.events import Event, Notice  # noqa: E402
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space  # noqa: E402
from nagsdk.generator.ranking import choose  # noqa: E402
from nagsdk.generator.strategies import Nag  # noqa: E402
from nagsdk.manifest.result import HELD  # noqa: E402
from nagsdk.measuring.measure import measure  # noqa: E402
from nagsdk.measuring.measurement import Measurement  # noqa: E402
from nagsdk.measuring.protocol import Protocol  # noqa: E402
from nagsdk.pipeline.build import Builder  # noqa: E402
from nagsdk.pipeline.calibrate import calibrate_target  # noqa: E402
from nagsdk.pipeline.loop import Deployer  # noqa: E402
from nagsdk.pipeline.models import question, require_cost_model  # noqa: E402
from nagsdk.pipeline.round import Round  # noqa: E402
from nagsdk.pipeline.target import Target  # noqa: E402
from nagsdk.pipeline.timing import time_artifacts, timing_artifact  # noqa: E402
from nagsdk.plugin.host import Host, using  # noqa: E402
from nagsdk.plugin.registry import Registry  # noqa: E402
from nagsdk.space.architecture import Architecture  # noqa: E402
from nagsdk_cuda.backend import CudaBackend  # noqa: E402
from nagsdk_cuda.memory import Memory  # noqa: E402

BUDGET = "deployed budget "
PLAIN = "fp16, unfolded network in eager torch"
FRESH, SAMPLES, BUDGETS, FRONTIER, REPEATED, PROCESSES = 100, 20, 5, 20, 10, 3
# There are many networks, so a few rounds for each are enough.
TRUTH = Protocol(warmup=3, runs=10, rounds=5, width=0.02, most_rounds=10, spread_s=0.0, patience_s=0.0)
WORKERS = max(1, min(12, usable_cores() - 2))


class Untrained(Bundle):
    """The shipped `imagenet` bundle with random weights, recalibrated on noise.

    It is read without pydantic, which may be missing.
    """

    def __init__(self) -> None:
        self.folder = shipped("bundles") / "imagenet"
        content = json.loads((self.folder / "bundle.json").read_text("utf-8"))
        files = {name: SimpleNamespace(**record) for name, record in content["files"].items()}
        parts = {"files": files, "preprocessing": SimpleNamespace(**content["preprocessing"]), "images": None}
        self.description = SimpleNamespace(**{**content, **parts})  # type: ignore[assignment]
        self.footing = content.get("footing")
        self.space = MobileNetV3Space.from_dict(content["space"])

    def require_weights(self) -> None:
        pass

    def recalibration_images(self, resolution: int, folder: Path | None = None) -> NDArray[np.float32]:
        return np.random.default_rng(0).standard_normal((8, 3, resolution, resolution), dtype=np.float32)

    def subnet(self, architecture: Architecture, images: NDArray[np.float32] | None = None) -> Any:
        from nagsdk.testing.networks import random_subnet

        return random_subnet(self.space, architecture)


def print_notice(event: Event) -> None:
    if isinstance(event, Notice):
        print(f"  {event.text}", file=sys.stderr, flush=True)


def target_of(batch: int, precision: str, **options: str) -> Target:
    device = Device("cuda", "the GPU of this machine", CudaBackend.id, batch=batch, options=tuple(options.items()))
    # Without installed plugins and shipped devices: reading their descriptions needs pydantic, which may be missing.
    with using(Host((), Registry("backend", Backend), Registry("device", Device))):  # type: ignore[type-abstract]
        return Target(device, Untrained(), precision=precision, on_event=print_notice, backend=CudaBackend())


def export(job: tuple[int, str, list[str], str]) -> dict[str, Path]:
    """Exports a part of the networks; runs in a subprocess."""
    import torch

    torch.set_num_threads(1)
    batch, precision, texts, folder = job
    target = target_of(batch, precision)
    architectures = [target.bundle.space.parse(text) for text in texts]
    return export_untrained(target.bundle.space, target.device, target.backend, architectures, Path(folder), 0)


def exported(target: Target, architectures: list[Architecture], folder: Path) -> dict[str, Path]:
    shares = [[a.text for a in architectures[i::WORKERS]] for i in range(WORKERS)]
    batch, precision = target.device.batch, str(target.device.precision)
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        parts = list(pool.map(export, [(batch, precision, share, str(folder)) for share in shares if share]))
    return {name: path for part in parts for name, path in part.items()}


def timed(target: Target, models: Mapping[str, Path], folder: Path, seed: int = 0) -> dict[str, Measurement]:
    """Measures networks in a fresh process."""
    reference = timing_artifact(target, reference_architecture(target.bundle.space, target.costs.supported), folder)
    with target.backend.open(target.device) as session:
        return measure(session, models, reference, TRUTH, seed=seed)


def within(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, float]:
    errors = np.abs(predicted / true - 1)
    return {
        "within_5_percent": float(np.mean(errors <= 0.05)),
        "within_10_percent": float(np.mean(errors <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "worst": float(errors.max()),
    }


def accuracy(target: Target, folder: Path) -> dict[str, Any]:
    """How well a calibration on a few samples predicts the latency of fresh subnets, and layers their memory."""
    space, batch = target.bundle.space, target.device.batch
    say(f"batch {batch}: calibrating with {SAMPLES} samples")
    calibration = calibrate_target(target, SAMPLES).calibration
    model = calibration.model
    codes = space.sample(FRESH, np.random.default_rng(12345))
    say(f"batch {batch}: exporting {FRESH} fresh subnets")
    models = exported(target, space.decode(codes), folder / f"fresh{batch}")
    say(f"batch {batch}: measuring them")
    found = timed(target, models, folder)
    true = np.array([found[a.text].normalised_ms() for a in space.decode(codes)])
    macs = exact_table(space, lambda layer: float(layer.macs))
    scale = np.exp(np.median(np.log(model.calibrated.p50_ms / macs.cost(model.calibrated.codes))))
    return {
        "calibration_seconds": calibration.seconds,
        "left_out": model.accuracy,
        "fresh": within(model.mean(codes), true),
        "covered_by_the_0.9_bound": float(np.mean(true <= model.upper(codes, 0.9))),
        "rival_macs": within(scale * macs.cost(codes), true),
        "memory_estimate": within(*memory(target, found)),
        "fastest_ms": float(true.min()),
        "slowest_ms": float(true.max()),
        "readings": {
            "calibrated": {
                a.text: v
                for a, v in zip(space.decode(model.calibrated.codes), model.calibrated.p50_ms.tolist(), strict=True)
            },
            "fresh": {a.text: v for a, v in zip(space.decode(codes), true.tolist(), strict=True)},
        },
        "state": dict(found[space.decode(codes)[0].text].readings[0].burst.properties),
    }


def memory(target: Target, found: Mapping[str, Measurement]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Peak memory in MB, as estimated from the layers and as measured, each of shape (networks,)."""
    space = target.bundle.space
    estimates = [value_of(Memory(), space.layers(space.parse(text)), target.device) for text in found]
    return np.array(estimates), np.array([measurement.state[Memory.measured] for measurement in found.values()])


def frontier(target: Target) -> dict[str, Any]:
    """What the generator finds for limits over the whole range, only by inference."""
    model = require_cost_model(target)
    bounds = Completions.of(target.bundle.space, model.table)
    limits = np.linspace(bounds.least, bounds.most, FRONTIER)
    codes = Nag().propose(question(target, [model.table], limits, 0))
    best = np.array([row[choose(target.bundle.predictor, row)[0]] for row in codes])
    top1 = target.bundle.predictor.predict(best).mean
    rows = zip(target.bundle.space.decode(best), model.mean(best).tolist(), top1.tolist(), strict=True)
    return {architecture.text: {"predicted_ms": ms, "top1": value} for architecture, ms, value in rows}


def deployment(target: Target, folder: Path, number: int) -> dict[str, Any]:
    """Deploys to one of the budgets inside the range, and measures the result again in a fresh process."""
    model = require_cost_model(target)
    bounds = Completions.of(target.bundle.space, model.table)
    low = bounds.least * float(
        model.upper(model.calibrated.codes[:1], 0.9)[0] / model.mean(model.calibrated.codes[:1])[0]
    )
    limit = low + (bounds.most - low) * np.linspace(0.08, 0.92, BUDGETS)[number]
    deployer, budget = Deployer(target, Builder(target)), Budget(LATENCY, float(f"{limit:.4g}"))
    outcome = deployer.run([budget], [model], folder / f"deployed-{target.device.batch}-{limit:.4g}")
    assert isinstance(outcome, Round)
    again = time_artifacts(target, {"again": outcome.built.compiled or outcome.built.path}, folder)["again"]
    return {
        "budget_ms": budget.limit,
        "verdict": outcome.result.verdict,
        "rounds": len(deployer.rounds),
        "architecture": outcome.result.architecture,
        "predicted_ms": outcome.result.predicted.latency_ms,
        "p50_ms": outcome.sessions[-1].figure(50),
        "again_p50_ms": again.figure(50),
        "top1_predicted_for_trained_weights": outcome.result.predicted.top1,
        "parity": outcome.built.parity,
        "state": again.state,
    }


def repeatability(target: Target, folder: Path) -> dict[str, Any]:
    """Measures the same networks in several processes and compares each with the mean over all processes."""
    architectures = target.bundle.space.decode(target.bundle.space.sample(REPEATED, np.random.default_rng(7)))
    models = exported(target, architectures, folder / f"repeated{target.device.batch}")
    runs = []
    for seed in range(PROCESSES):
        found = timed(target, models, folder, seed)
        runs.append([found[a.text].figure(50) for a in architectures])
    values = np.array(runs)
    deviation = np.abs(values / values.mean(0) - 1)
    return {
        "largest_deviation": float(deviation.max()),
        "median_deviation": float(np.median(deviation.max(0))),
        "p50_ms": values.tolist(),
    }


def runtimes(folder: Path) -> dict[str, Any]:
    """Times the reference network at batch 1 in every precision, in eager torch and with the L2 cache overwritten."""
    import torch

    from nagsdk.graph.parity import relative_error
    from nagsdk.graph.trace import trace

    rows: dict[str, Any] = {}
    architecture = reference_architecture(Untrained().space)
    ways: list[tuple[str, dict[str, str]]] = [(p, {}) for p in CudaBackend.precisions]
    for precision, options in [
        *ways,
        (CudaBackend.precisions[0], {"runtime": "eager"}),
        (CudaBackend.precisions[0], {"flush_l2": "1"}),
    ]:
        target = target_of(1, precision, **options)
        path = folder / f"{precision}.pt2"
        subnet = target.bundle.subnet(architecture)
        target.backend.export(trace(subnet, architecture.resolution), path, target.device)
        images = target.bundle.recalibration_images(architecture.resolution)
        with torch.no_grad():
            expected = subnet(torch.from_numpy(images)).numpy()
        with target.backend.open(target.device) as session:
            handle = session.load(path)
            burst = session.time(handle, 20, 200, 60.0)
            error = relative_error(expected, session.infer(handle, images))
        name = ", ".join([precision, *(f"{key}={value}" for key, value in options.items())])
        rows[name] = {"p50_ms": float(np.median(burst.wall_ms)), "error": error, **burst.properties}
    rows[PLAIN] = {"p50_ms": unfolded(architecture)}
    return rows


def unfolded(architecture: Architecture) -> float:
    """Median latency in ms if a user just calls the module on the GPU: half precision, channels last, eager."""
    import torch

    device = torch.device("cuda")
    module = Untrained().subnet(architecture).to(device, torch.float16, memory_format=torch.channels_last)
    image = torch.randn(1, 3, architecture.resolution, architecture.resolution, device=device, dtype=torch.float16)
    image = image.contiguous(memory_format=torch.channels_last)
    values = []
    with torch.no_grad():
        for _ in range(100):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            module(image)
            end.record()
            end.synchronize()
            values.append(begin.elapsed_time(end))
    return float(np.median(values[20:]))


def say(text: str) -> None:
    print(f"[{time.perf_counter() - STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def summary(name: str, found: Mapping[str, Any]) -> str:
    """One line about a part of the benchmark: its figure, its target and its rivals in the same run."""
    batch, _, part = name.partition(": ")
    if name == "runtimes":
        ours, eager, plain = (found[way]["p50_ms"] for way in ("fp16", "fp16, runtime=eager", PLAIN))
        return (
            f"batch 1: the captured graph is {eager / ours:.2f} x as fast as eager (target 3), "
            f"{plain / ours:.2f} x as fast as the module itself"
        )
    if part == "accuracy":
        ours, macs = found["fresh"]["within_10_percent"], found["rival_macs"]["within_10_percent"]
        return (
            f"{batch}: {ours:.0%} of {FRESH} fresh subnets within 10 % (target 95 %); MACs x scale {macs:.0%}; "
            f"their memory: {found['memory_estimate']['within_5_percent']:.0%} within 5 %"
        )
    if BUDGET in part:
        verdict = found["verdict"] if held(found) else f"{found['verdict']}, but not again"
        return (
            f"{batch}, {found['budget_ms']:g} ms: {verdict}, p50 {found['p50_ms']:.4g} ms, "
            f"in a fresh process {found['again_p50_ms']:.4g} ms"
        )
    if part == "repeatability":
        return (
            f"{batch}: {PROCESSES} processes differ from their mean by at most {found['largest_deviation']:.2%} "
            "(target 2 %)"
        )
    return f"{batch}: {len(found)} architectures by inference"


def held(found: Mapping[str, Any]) -> bool:
    return bool(found["verdict"] == HELD and found["again_p50_ms"] <= found["budget_ms"])


def parts_of(batches: list[int], precision: str, folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    parts: dict[str, Callable[[], dict[str, Any]]] = {"runtimes": partial(runtimes, folder)}
    for batch in batches:
        target = target_of(batch, precision)
        parts[f"batch {batch}: accuracy"] = partial(accuracy, target, folder)
        parts[f"batch {batch}: repeatability"] = partial(repeatability, target, folder)
        parts[f"batch {batch}: frontier"] = partial(frontier, target)
        for number in range(BUDGETS):
            parts[f"batch {batch}: {BUDGET}{number + 1}"] = partial(deployment, target, folder, number)
    return parts


def settle(folder: Path) -> None:
    """Uses a folder in place of the user's folders, because platformdirs, which finds those, may be missing."""
    os.environ |= {
        "NAGSDK_CACHE_DIR": str(folder),
        "NAGSDK_DATA_DIR": str(folder),
        "NAGSDK_CONFIG": str(folder / "config.toml"),
    }
    (folder / "config.toml").touch()


def run(batches: list[int], precision: str, folder: Path, properties: dict[str, str]) -> int:
    """Runs the parts that are missing in the report in the folder; returns the number of parts that failed."""
    kept = folder / "report.json"
    report: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.is_file() else {"properties": properties}
    if report["properties"] != properties:
        sys.exit(f"{kept} was made with another GPU or other software: choose another folder with --folder.")
    failed, lines = 0, []
    for name, part in parts_of(batches, precision, folder).items():
        if name not in report:
            say(name)
            try:
                report[name] = part()
            except Exception:  # whatever fails on a GPU, the other parts are still worth their time
                failed += 1
                traceback.print_exc()
                lines.append(f"{name}: FAILED")
                continue
            kept.write_text(json.dumps(report, indent=1), "utf-8")
        for row, value in report[name].items():
            if row != "readings":
                print(f"  {row}: {json.dumps(value)}")
        lines.append(summary(name, report[name]))
        print(lines[-1], flush=True)
    for batch in batches:
        deployed = [found for name, found in report.items() if name.startswith(f"batch {batch}: {BUDGET}")]
        lines.append(
            f"batch {batch}: {sum(map(held, deployed))} of {BUDGETS} budgets hold, also in a fresh process "
            f"(target {BUDGETS})"
        )
    print("", *lines, sep="\n")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,64", help="batch sizes, separated by commas (default: %(default)s)")
    parser.add_argument("--precision", default="fp16", choices=CudaBackend.precisions)
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder for report.json and calibrations; the same command again does only what is missing",
    )
    arguments = parser.parse_args()
    batches = [int(batch) if batch.isdecimal() else 0 for batch in arguments.batches.split(",")]
    if min(batches) < 1:
        parser.error(f"--batches {arguments.batches}: give numbers of images, separated by commas")
    with tempfile.TemporaryDirectory() as temporary:
        settle(Path(temporary))
        presence = target_of(1, arguments.precision).presence
        if not presence.available:
            sys.exit(f"No GPU to measure on: {presence.reason}")
        print(json.dumps(dict(presence.properties), indent=2))
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        settle(folder)
        return 1 if run(batches, arguments.precision, folder, dict(presence.properties)) else 0


STARTED = time.perf_counter()
if __name__ == "__main__":
    sys.exit(main())
