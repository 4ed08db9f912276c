"""The folder that a deployment leaves: model, manifest.json, report.html, labels and preprocessing."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nagsdk import __version__
from nagsdk.architecture import Architecture
from nagsdk.budget import Budget
from nagsdk.cost.model import CostModel
from nagsdk.deployment import Built, Deployer, Round, Unmeasured
from nagsdk.describe import describe
from nagsdk.device.measurement import Measurement
from nagsdk.files import sha256, staged, writing
from nagsdk.generator.searches import Nag
from nagsdk.manifest import MANIFEST, MISSED, Artifact, Deployment, Predicted, Result, companions, manifest_bytes
from nagsdk.report.data import report_data
from nagsdk.report.page import REPORT, deployment_page
from nagsdk.wording import counted
from nagsdk.workbench import PROTOCOL, Workbench

_PROBE = "RGB, modulo 256, at column x and row y: red 8x + 3y, green xy, blue 255 - 5x + 2y"
_TIMING_ONLY = "Built for timing only: batch normalisation has foreign statistics, so the model's accuracy is worthless."
_NOT_AS_PREDICTED = "Top-1 on the test images is not what was predicted, even within both intervals; the prediction speaks of images like those it was fitted on."


def publish(deployer: Deployer, budgets: Sequence[Budget], model: CostModel | None, folder: Path) -> Deployment:
    """Runs the deploy loop and leaves what held.

    Args:
        deployer: Ready to run.
        budgets: What must hold, all at once.
        model: The cost model; None for exact metrics where nothing is known of latencies.
        folder: Where to leave the deployment; untouched when the budget is missed.

    Returns:
        The deployment; its folder is None when the budget was missed.
    """
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        with writing(Path(work)):
            outcome = deployer.run(budgets, model, Path(work))
            tuned: dict[str, Any] | None = None
            if deployer.tuner is not None and not (isinstance(outcome, Round) and outcome.result.verdict == MISSED):
                before = deployer.evaluate(outcome.built)
                outcome = deployer.refine(outcome, budgets, Path(work) / "tuned")
                tuned = {**deployer.tuner.to_dict(), "top1_before": before.top1}
        details = {
            "cost_model": None if model is None else {"source": model.source, "device": model.device, **model.accuracy, **model.facts},
            "protocol": PROTOCOL.to_dict(),
            "strategy": deployer.strategy.id,
            "generator": asdict(deployer.bench.generator.card) if isinstance(deployer.strategy, Nag) else None,
            "finetuned": tuned,
            "rounds": [turn.to_dict() for turn in deployer.rounds],
        }
        if isinstance(outcome, Round) and outcome.result.verdict == MISSED:
            nearest = min(turn.needed(budgets) for turn in deployer.rounds)
            asked, told = (
                " and ".join(str(replace(b, limit=b.limit if grow == 1 else float(f"{b.limit * grow:.3g}"))) for b in budgets)
                for grow in (1, nearest * 1.01)
            )
            hint = f"No candidate held {asked} in {counted(len(deployer.rounds), 'round')}; the nearest budget that one would have held is {told}."
            return Deployment(replace(outcome.result, warnings=(*outcome.result.warnings, hint)), None, details)
        result, measurement = outcome.result, None
        if isinstance(outcome, Unmeasured):
            result = _warned(
                result, f"{deployer.bench.device.id} is not available ({deployer.bench.presence.reason}): nothing was measured."
            )
        else:
            measurement = outcome.sessions[-1]
        return _leave(deployer, result, outcome.built, model, measurement, details, folder)


def publish_one(deployer: Deployer, architecture: Architecture, folder: Path) -> Deployment:
    """Builds one given architecture and leaves it unverified.

    Args:
        deployer: Ready to run.
        architecture: What to build.
        folder: Where to leave it.
    """
    bench = deployer.bench
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        model = bench.cost_model()
        (result,) = describe(bench.bundle, [architecture], bench.device.id, model)
        built = deployer.build(architecture, Path(work))
        return _leave(deployer, _warned(result, "Exported without being timed."), built, model, None, {}, folder)


def _leave(
    deployer: Deployer,
    result: Result,
    built: Built,
    model: CostModel | None,
    measurement: Measurement | None,
    details: Mapping[str, Any],
    folder: Path,
) -> Deployment:
    bench = deployer.bench
    if deployer.timing_only:
        nothing = Predicted(latency_ms=result.predicted.latency_ms, latency_upper_ms=result.predicted.latency_upper_ms)
        result = _warned(replace(result, predicted=nothing), _TIMING_ONLY)
    true = deployer.evaluate(built)
    result = replace(result, measured=replace(result.measured, top1=true.top1, top1_low=true.top1_low, top1_high=true.top1_high))
    if deployer.tuner is None and not _as_predicted(result):
        result = _warned(result, _NOT_AS_PREDICTED)
    preprocessing = {**bench.bundle.preprocessing.to_dict(), "layout": bench.backend.layout}
    beside = companions(preprocessing, bench.bundle.labels)
    details = {
        **_provenance(bench),
        "preprocessing": preprocessing,
        **details,
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in beside.items()},
        "seed": deployer.seed,
        "timing_only": deployer.timing_only,
        "parity": built.parity,
        "graph": dict(bench.backend.inspect(built.path)),
        "recalibrated_on": {"images": built.recalibrated_on, "source": deployer.images.name if deployer.images else "bundle"},
        "probe": {"image": _PROBE, "logits": [float(f"{value:.8g}") for value in built.probe.tolist()]},
        "report": report_data(bench, built.architecture, model, result.budgets, measurement, deployer.resolution),
    }
    with staged(folder) as stage:
        target = stage / built.path.name
        shutil.copyfile(built.path, target)
        result = replace(result, artifact=Artifact(target.name, sha256(target), target.stat().st_size))
        if built.compiled not in (None, built.path):
            assert built.compiled is not None
            shutil.copyfile(built.compiled, stage / built.compiled.name)
            compiled = stage / built.compiled.name
            details["compiled"] = {"path": compiled.name, "sha256": sha256(compiled), "bytes": compiled.stat().st_size}
        for name, content in beside.items():
            (stage / name).write_bytes(content)
        manifest = manifest_bytes(result, details)
        (stage / MANIFEST).write_bytes(manifest)
        (stage / REPORT).write_bytes(deployment_page(json.loads(manifest)).encode())
    return Deployment(result.with_path(folder / built.path.name), folder, details, built.statistics)


def _as_predicted(result: Result) -> bool:
    """Whether the intervals of predicted and measured top-1 meet; true where either is not known."""
    predicted, true = result.predicted, result.measured
    if predicted.top1_low is None or predicted.top1_high is None or true.top1_low is None or true.top1_high is None:
        return True
    return predicted.top1_low <= true.top1_high and true.top1_low <= predicted.top1_high


def _warned(result: Result, warning: str) -> Result:
    return replace(result, warnings=(*result.warnings, warning))


def _provenance(bench: Workbench) -> dict[str, Any]:
    bundle = bench.bundle
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "nagsdk": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "onnx", "safetensors")},
        },
        "hashes": {
            "space": bundle.space.fingerprint,
            "weights": bundle.weights_sha256,
            "predictor": bundle.predictor.hash if bundle.has_predictor else None,
        },
        "bundle_version": bundle.description.version,
        "device_properties": dict(bench.presence.properties),
        "device_fingerprint": bench.presence.fingerprint,
        "threads": bench.device.threads,
        "batch": bench.device.batch,
        "precision": bench.device.precision,
        "rewrite": None if bench.rewrite is None else bench.rewrite.to_dict(),
    }
