"""Writes the folder of a deployment: model, manifest.json, report.html, labels and preprocessing."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nagsdk.budget import Budget
from nagsdk.bundle.task import task_of
from nagsdk.common.files import sha256, writing
from nagsdk.common.outputs import staged
from nagsdk.common.temporary import temporary_folder
from nagsdk.common.version import VERSION
from nagsdk.common.wording import counted
from nagsdk.cost.model import CostModel
from nagsdk.generator.strategies import Nag
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.lab.lookup import properties_used
from nagsdk.manifest.manifest import DEPLOYMENT, MANIFEST, REPORT, companions, manifest_bytes
from nagsdk.manifest.result import MISSED, Artifact, Predicted, Result
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.asked import check_output
from nagsdk.pipeline.bill import measured_bill, worth_of_more
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.deployment import Deployment
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.hot import note_on
from nagsdk.pipeline.loop import Deployer
from nagsdk.pipeline.models import cost_model, generator_of
from nagsdk.pipeline.report_data import report_data
from nagsdk.pipeline.round import Built, Round, Unmeasured
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.verdict import needed_by
from nagsdk.reports.page import deployment_page
from nagsdk.space.architecture import Architecture

_PROBE = "RGB, modulo 256, at column x and row y: red 8x + 3y, green xy, blue 255 - 5x + 2y"
_TIMING_ONLY = "Built for timing only: {}, so the model's accuracy is worthless."
_NOT_RECALIBRATED = "batch normalisation was not recalibrated for this subnet"
_NOT_CHECKED = "nothing but its latency was looked at"
_RANDOM_WEIGHTS = "the weights are random, since those of {} are not on this machine"
_NO_FOOTING = (
    "The bundle does not say how its predicted top-1 relates to its test images, so all predictions may be too high or "
    "too low; 'nagsdk predictor fit' makes a bundle that says it."
)
_NOT_AS_PREDICTED = (
    "The intervals of top-1 on the test images and of predicted top-1 do not overlap; the prediction is meant for "
    "images like those that it was fitted on."
)
# With fewer, statistics of batch normalisation and ranges of integers depend on which images they are.
_ENOUGH_IMAGES = 32
_FEW_SEEN = (
    "The network was adapted to {} only, so that others may be recognised worse; give some hundred of the kind that "
    "the model will see."
)
# What `Builder.evaluate` finds.
_ON_TEST_IMAGES = ("top1", "top1_low", "top1_high", "test_images", "ece", "ece_unscaled")
_FEW_POINTS = 2.0
_FEW_IMAGES = (
    "Top-1 was measured on {} only, so that it is known to ±{:.1f} points; smaller differences between networks say "
    "nothing."
)


def publish(
    deployer: Deployer, budgets: Sequence[Budget], models: Sequence[CostModel | None], folder: Path
) -> Deployment:
    """Runs the deploy loop and writes the folder of what held.

    Args:
        deployer: The deploy loop.
        budgets: The budgets, which must all hold together.
        models: The cost model of each arm of the target; None for exact metrics if nothing is known about latencies.
        folder: Folder for the deployment; it is not touched when the budget is missed.

    Returns:
        The deployment; its folder is None when the budget was missed.
    """
    with temporary_folder() as work:
        with writing(work):
            outcome = deployer.run(budgets, models, work)
            target, builder, model = deployer.target, deployer.builder, deployer.model
            tuned: dict[str, Any] | None = None
            if deployer.tuner is not None and not (isinstance(outcome, Round) and outcome.result.verdict == MISSED):
                before = outcome.built
                outcome = deployer.refine(outcome, budgets, work / "tuned")
                gain = builder.gain(before, outcome.built)
                tuned = {
                    **deployer.tuner.to_dict(),
                    "top1_before": builder.evaluate(before).top1,
                    "gain": None if gain is None else gain.to_dict(),
                }
        details = {
            "cost_model": None
            if model is None
            else {"source": model.source, "device": model.device, **model.accuracy, **model.facts},
            "protocol": target.protocol.to_dict(),
            "strategy": deployer.strategy.id,
            "generator": asdict(generator_of(target).card)
            if deployer.strategy.id.partition(":")[0] == Nag.id
            else None,
            "finetuned": tuned,
            "rounds": [turn.to_dict() for turn in deployer.rounds],
        }
        if isinstance(outcome, Round) and outcome.result.verdict == MISSED:
            hints = _nearest(deployer, budgets)
            return Deployment(replace(outcome.result, warnings=(*outcome.result.warnings, *hints)), None, details)
        result, turn = outcome.result, None
        sessions: Sequence[Measurement] = ()
        if isinstance(outcome, Unmeasured):
            result = _warned(
                result, f"{target.device.id} is not available ({target.presence.reason}): nothing was measured."
            )
            result = replace(result, warnings=(*result.warnings, *note_on(budgets)))
        else:
            sessions, turn = outcome.deciding, outcome
        return _leave(builder, result, outcome.built, model, sessions, details, folder, deployer.resolution, turn)


def _nearest(deployer: Deployer, budgets: Sequence[Budget]) -> list[str]:
    """Warnings that say which larger budget, or which lower top-1, a candidate would have held."""
    hints, rounds = [], counted(len(deployer.rounds), "round")
    nearest = min(deployer.rounds, key=lambda turn: turn.needed)
    if nearest.needed > 1:
        asked, possible = " and ".join(map(str, budgets)), needed_by(deployer.target, nearest, budgets)
        hints.append(
            f"No candidate held {asked} in {rounds}; the nearest budget that one would have held is {possible}."
        )
    if deployer.min_top1 is not None:
        built = [(arm.builder, one.built) for arm in deployer.arms for one in arm.candidates if one.built is not None]
        reached = [true for builder, file in built if (true := builder.evaluate(file).top1) is not None]
        if reached and max(reached) < deployer.min_top1:
            best = f"the best of them reaches {max(reached):.2f} % on the test images"
            hints.append(f"No candidate reached a top-1 of {deployer.min_top1:g} % in {rounds}; {best}.")
    return hints


def publish_one(builder: Builder, architecture: Architecture, folder: Path) -> Deployment:
    """Builds one given architecture without measuring it, and writes its folder.

    Args:
        builder: Builder of the target.
        architecture: The architecture to build.
        folder: Folder for the deployment.
    """
    target = builder.target
    builder.check()
    check_output(target, folder)
    with temporary_folder() as work:
        model = cost_model(target)
        (result,) = describe(target.bundle, [architecture], target, model)
        built = builder.build(architecture, work)
        return _leave(builder, _warned(result, "Exported without being timed."), built, model, (), {}, folder)


def _leave(
    builder: Builder,
    result: Result,
    built: Built,
    model: CostModel | None,
    sessions: Sequence[Measurement],
    details: Mapping[str, Any],
    folder: Path,
    resolution: int | None = None,
    turn: Round | None = None,
) -> Deployment:
    target = builder.target
    if builder.timing_only:
        recalibrated = _NOT_RECALIBRATED if not target.bundle.finished else _NOT_CHECKED
        lack = recalibrated if target.bundle.has_weights else _RANDOM_WEIGHTS.format(target.bundle.name)
        p = result.predicted
        nothing = Predicted(
            latency_ms=p.latency_ms, latency_upper_ms=p.latency_upper_ms, latency_source=p.latency_source
        )
        result = _warned(replace(result, predicted=nothing), _TIMING_ONLY.format(lack))
    seen = built.recalibrated_on or int((built.integers or {}).get("images", 0))
    if 0 < seen < _ENOUGH_IMAGES:
        result = _warned(result, _FEW_SEEN.format(counted(seen, "image")))
    true = builder.evaluate(built)
    found = {name: getattr(true, name) for name in _ON_TEST_IMAGES}
    result = replace(result, measured=replace(result.measured, **found, temperature=built.temperature))
    if true.top1_low is not None and true.top1_high is not None:
        reach = (true.top1_high - true.top1_low) / 2
        if reach > _FEW_POINTS:
            result = _warned(result, _FEW_IMAGES.format(counted(true.test_images or 0, "test image"), reach))
    if true.top1 is not None and target.bundle.has_predictor and target.bundle.footing is None:
        result = _warned(result, _NO_FOOTING)
    if not details.get("finetuned") and not _as_predicted(result):
        result = _warned(result, _NOT_AS_PREDICTED)
    drawn = report_data(target, built.architecture, model, result.budgets, sessions, resolution)
    details = {
        **details,
        "seed": builder.seed,
        "timing_only": builder.timing_only,
        "recalibrated_on": {
            "images": built.recalibrated_on,
            "source": builder.recalibrated_on,
        },
        "integers": builder.compare(built),
        "report": {
            **drawn,
            "task": task_of(target.bundle),
            "bill": measured_bill(
                target, built.compiled if sessions else None, target.bundle.space.layers(built.architecture)
            ),
            "worth_of_more": worth_of_more(drawn["frontiers"], result.predicted.latency_ms),
            **({} if turn is None else turn.drawn()),
        },
    }
    bundle = target.bundle
    return write_folder(target, result, built, target.preprocessing, bundle.labels, details, folder)


def write_folder(
    target: Target,
    result: Result,
    built: Built,
    preprocessing: Preprocessing,
    labels: Sequence[str] | None,
    details: Mapping[str, Any],
    folder: Path,
) -> Deployment:
    """Writes the folder of a deployment.

    Args:
        target: Where the model runs.
        result: The result with its verdict.
        built: The model file.
        preprocessing: How images become inputs.
        labels: Names of the classes, if known.
        details: What the manifest holds beside the result and what is the same for all deployments; see
            `nagsdk.manifest.schema.ManifestFile`.
        folder: Folder for the deployment; an earlier one in it is replaced.
    """
    steps = {**preprocessing.to_dict(), "layout": target.backend.layout}
    beside = companions(steps, labels)
    details = {
        **_provenance(target),
        "preprocessing": steps,
        "seed": 0,
        "timing_only": False,
        "recalibrated_on": {"images": 0, "source": "none"},
        "integers": None,
        **details,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in beside.items()
        },
        "parity": built.parity,
        "graph": dict(target.backend.inspect(built.path)),
        "probe": {"image": _PROBE, "logits": [float(f"{value:.8g}") for value in built.probe.tolist()]},
    }
    with staged(folder, DEPLOYMENT) as stage:
        model_file = stage / built.path.name
        shutil.copyfile(built.path, model_file)
        result = replace(result, artifact=Artifact(model_file.name, sha256(model_file), model_file.stat().st_size))
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
    """Whether the intervals of predicted and measured top-1 overlap; true if either is unknown."""
    predicted, true = result.predicted, result.measured
    if predicted.top1_low is None or predicted.top1_high is None or true.top1_low is None or true.top1_high is None:
        return True
    return predicted.top1_low <= true.top1_high and true.top1_low <= predicted.top1_high


def _warned(result: Result, warning: str) -> Result:
    return replace(result, warnings=(*result.warnings, warning))


def _provenance(target: Target) -> dict[str, Any]:
    bundle = target.bundle
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "nagsdk": VERSION,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "onnx", "safetensors")},
        },
        "hashes": {
            "space": bundle.space.fingerprint,
            "weights": bundle.weights_sha256 if bundle.has_weights else None,
            "predictor": bundle.predictor.hash if bundle.has_predictor else None,
        },
        "bundle_version": bundle.description.version,
        "device_properties": properties_used(target.backend, target.presence.properties),
        "device_fingerprint": target.presence.fingerprint,
        "threads": target.device.threads,
        "batch": target.device.batch,
        "precision": target.device.precision,
        "rewrite": None if target.rewrite is None else target.rewrite.to_dict(),
    }
