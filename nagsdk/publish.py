"""The folder that a deployment leaves: model, manifest.json, labels and preprocessing."""

from __future__ import annotations

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
from nagsdk.files import sha256, staged, writing
from nagsdk.generator.searches import Nag
from nagsdk.manifest import MANIFEST, MISSED, Artifact, Deployment, Predicted, Result, manifest_bytes
from nagsdk.workbench import PROTOCOL, Workbench

_TIMING_ONLY = "Built for timing only: batch normalisation has foreign statistics, so the model's accuracy is worthless."


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
        details = {
            "cost_model": None if model is None else {"source": model.source, "device": model.device, **model.accuracy, **model.facts},
            "protocol": PROTOCOL.to_dict(),
            "strategy": deployer.strategy.id,
            "generator": asdict(deployer.bench.generator.card) if isinstance(deployer.strategy, Nag) else None,
            "rounds": [turn.to_dict() for turn in deployer.rounds],
        }
        if isinstance(outcome, Round) and outcome.result.verdict == MISSED:
            nearest = min(turn.used for turn in deployer.rounds)
            asked, told = (
                " and ".join(str(replace(b, limit=b.limit if grow == 1 else float(f"{b.limit * grow:.3g}"))) for b in budgets)
                for grow in (1, nearest * 1.01)
            )
            hint = f"No candidate held {asked} in {len(deployer.rounds)} rounds; the nearest budget that one would have held is {told}."
            return Deployment(replace(outcome.result, warnings=(*outcome.result.warnings, hint)), None, details)
        result = outcome.result
        if isinstance(outcome, Unmeasured):
            result = _warned(
                result, f"{deployer.bench.device.id} is not available ({deployer.bench.presence.reason}): nothing was measured."
            )
        return _leave(deployer, result, outcome.built, details, folder)


def publish_one(deployer: Deployer, architecture: Architecture, folder: Path) -> Deployment:
    """Builds one given architecture and leaves it unverified.

    Args:
        deployer: Ready to run.
        architecture: What to build.
        folder: Where to leave it.
    """
    bench = deployer.bench
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        (result,) = describe(bench.bundle, [architecture], bench.device.id, bench.cost_model())
        return _leave(deployer, _warned(result, "Exported without being timed."), deployer.build(architecture, Path(work)), {}, folder)


def _leave(deployer: Deployer, result: Result, built: Built, details: Mapping[str, Any], folder: Path) -> Deployment:
    bench = deployer.bench
    if deployer.timing_only:
        nothing = Predicted(latency_ms=result.predicted.latency_ms, latency_upper_ms=result.predicted.latency_upper_ms)
        result = _warned(replace(result, predicted=nothing), _TIMING_ONLY)
    true = deployer.evaluate(built)
    result = replace(result, measured=replace(result.measured, top1=true.top1, top1_low=true.top1_low, top1_high=true.top1_high))
    details = {
        **_provenance(bench),
        **details,
        "seed": deployer.seed,
        "timing_only": deployer.timing_only,
        "parity": built.parity,
        "graph": dict(bench.backend.inspect(built.path)),
        "recalibrated_on": {"images": built.recalibrated_on, "source": str(deployer.images) if deployer.images else "bundle"},
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
        (stage / "preprocessing.json").write_text(json.dumps(bench.bundle.preprocessing.to_dict(), indent=2) + "\n", "utf-8")
        if bench.bundle.labels is not None:
            (stage / "labels.txt").write_text("\n".join(bench.bundle.labels) + "\n", "utf-8")
        (stage / MANIFEST).write_bytes(manifest_bytes(result, details))
    return Deployment(result.with_path(folder / built.path.name), folder, details)


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
        "preprocessing": bundle.preprocessing.to_dict(),
    }
