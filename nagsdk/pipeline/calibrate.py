"""Calibration of a target: measures reference architectures, fits the cost model and stores it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import DEFAULT_CONFIDENCE, Budget
from nagsdk.calibration.calibrate import Calibration, calibrate
from nagsdk.calibration.lab import Lab, Member, lab_prior
from nagsdk.common.config import value
from nagsdk.common.files import write_atomically
from nagsdk.common.wording import command, counted
from nagsdk.cost import card
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import SAMPLES, CostModel
from nagsdk.cost.prior import Prior, flat_prior
from nagsdk.errors import DeviceUnavailableError, UsageError
from nagsdk.events import Notice
from nagsdk.generator.ranking import best_of_every_cost
from nagsdk.lab.lookup import properties_used
from nagsdk.measuring.key import MeasurementKey
from nagsdk.pipeline.describe import precision_warnings
from nagsdk.pipeline.models import (
    calibrated_model,
    calibration_protocol,
    card_file,
    cost_model,
    prior_of,
    require_cost_model,
)
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import settle_rewrite
from nagsdk.pipeline.told import require_told
from nagsdk.reports.calibration import draw
from nagsdk.space.space import Codes

_FRONTIER_SAMPLES, _FRONTIER_COSTS = 4000, 24


@dataclass(frozen=True)
class CalibrationSummary:
    """What a calibration found; its accuracy is measured on samples that were left out of the fit.

    Attributes:
        device: Id of the device.
        bundle: Name of the bundle.
        title: Device and bundle, as text to show.
        calibration: The cost model, the readings and their levels.
    """

    device: str
    bundle: str
    title: str
    calibration: Calibration

    @property
    def samples(self) -> int:
        """Number of reference architectures that were measured."""
        return len(self.calibration.codes)

    @property
    def complete(self) -> bool:
        """Whether all readings were taken; False if time ran out."""
        return self.calibration.complete

    @property
    def accuracy(self) -> dict[str, float]:
        """Shares of the left-out samples that are predicted within 5 and 10 per cent, and relative errors."""
        return dict(self.calibration.model.accuracy)

    def plot(self, path: str | Path) -> None:
        """Draws predicted against measured latencies.

        Args:
            path: File that ends in .svg, .png or .pdf; needs the extra ``report``.

        Raises:
            UsageError: The picture cannot be drawn.
            OutputError: The file cannot be written.
        """
        draw(self.calibration, self.title, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """What `nagsdk calibrate --json` prints."""
        return {"device": self.device, "bundle": self.bundle, **self.calibration.to_dict()}

    def __repr__(self) -> str:
        within = self.accuracy.get("within_10_percent", math.nan)
        return f"CalibrationSummary({self.title}: {counted(self.samples, 'network')}, {within:.0%} within 10 %)"


def calibrate_target(target: Target, samples: int, within_s: float | None = None, seed: int = 0) -> CalibrationSummary:
    """Measures reference architectures, fits the cost model and stores it.

    A calibration that ran out of time does not replace one with more architectures.

    Args:
        target: Bundle and device.
        samples: Number of reference architectures.
        within_s: Number of seconds after which measuring stops.
        seed: Seed of all random choices.

    Raises:
        DeviceError: The device is unavailable, busy or fails.
    """
    target.require_presence()
    settle_rewrite(target)
    before = calibrated_model(target)
    with target.locked():
        result = calibrate(
            target.bundle.space,
            target.device,
            target.backend,
            prior=_known_before(target),
            samples=samples,
            within_s=within_s,
            store=target.store,
            seed=seed,
            allowed=target.costs.supported,
            near=_near_frontier(target, seed) if target.bundle.has_predictor else None,
            protocol=calibration_protocol(target),
            on_event=target.on_event,
        )
    environment = properties_used(target.backend, target.presence.properties)
    result = replace(result, model=replace(result.model, facts={**result.model.facts, "environment": environment}))
    summary = CalibrationSummary(
        target.device.id, target.bundle.name, f"{target.device.title}, {target.bundle.name}", result
    )
    if before is not None and not result.complete and len(before.calibrated) > len(result.codes):
        kept = len(before.calibrated)
        target.on_event(
            Notice(f"Time ran out: the earlier cost model from {kept} architectures stays in use.", warning=True)
        )
        return summary
    if result.model.most_confidence < DEFAULT_CONFIDENCE:
        most = math.floor(1000 * result.model.most_confidence) / 1000
        text = (
            f"{len(result.codes)} architectures are only enough for budgets with --confidence {most:g} or less; "
            "calibrate with --samples 9 or more."
        )
        target.on_event(Notice(text, warning=True))
    write_atomically(card_file(target), card.to_json(result.model).encode())
    if value("pool_join"):
        member = _join(target, result.model, None)
        target.on_event(Notice(f"The calibration joined the pool as {member.name}."))
    return summary


def model_for(target: Target, budgets: Sequence[Budget], timed: bool, seed: int) -> CostModel | None:
    """The cost model that a deployment needs; calibrates an available device first if that is necessary.

    Before that, a device that does not tell what the budgets limit is refused.

    Args:
        target: Bundle and device.
        budgets: The budgets; their confidence determines how many samples a calibration needs.
        timed: Whether latencies matter.
        seed: Seed of all random choices.

    Returns:
        The cost model; None if nothing is known about latencies and they do not matter.

    Raises:
        DeviceUnavailableError: Latencies matter, and nothing is known about them.
        DeviceError: The device is busy or fails, or does not tell what a budget limits.
    """
    require_told(target, budgets)
    for warning in precision_warnings(target):
        target.on_event(Notice(warning, warning=True))
    if not (timed and target.presence.available):
        return require_cost_model(target) if timed else cost_model(target)
    settle_rewrite(target)
    model = calibrated_model(target)
    if model is not None and all(b.confidence <= model.most_confidence for b in budgets):
        return model
    target.on_event(
        Notice(
            f"Calibrating {target.device.id} ({target.arm}) for {target.bundle.name} first; the calibration is stored "
            "for reuse."
        )
    )
    return calibrate_target(target, SAMPLES, seed=seed).calibration.model


def models_for(target: Target, budgets: Sequence[Budget], timed: bool, seed: int) -> list[CostModel | None]:
    """The cost models of all arms of a target; see `model_for`. None for arms of which nothing is known."""
    if len(target.arms) == 1:
        return [model_for(target, budgets, timed, seed)]
    models: list[CostModel | None] = []
    unknown: DeviceUnavailableError | None = None
    for arm in target.arms:
        try:
            models.append(model_for(arm, budgets, timed, seed))
        except DeviceUnavailableError as error:
            models.append(None)
            unknown = error
    if unknown is not None and not any(models):
        raise unknown
    return models


def _known_before(target: Target) -> Prior | None:
    """What is known of the target before it is measured: its own prior, and what the user's pool tells."""
    prior, space = prior_of(target), target.bundle.space
    key = MeasurementKey.of(target.device, target.presence, calibration_protocol(target))
    members = [member for member in Lab.here().members() if member.alike(key, space)]
    if not members:
        return prior
    target.on_event(Notice(f"The calibration starts from {', '.join(m.title for m in members)} (nagsdk devices pool)."))
    return lab_prior(space, members, prior)


def add_to_pool(target: Target, name: str | None = None) -> Member:
    """Adds a calibrated target to the user's pool, in place of an earlier calibration with the same name.

    Args:
        target: Bundle and device.
        name: Name in the pool; made of the device, the bundle and the settings by default.

    Raises:
        UsageError: The target is not calibrated, or the name cannot be used.
    """
    target.require_presence()
    model = calibrated_model(target)
    if model is None:
        raise UsageError(
            f"{target.device.id} is not calibrated for {target.bundle.name}.",
            "Calibrate it first: "
            + command("nagsdk", "calibrate", "--device", target.named, "--bundle", target.bundle.argument),
        )
    return _join(target, model, name)


def _join(target: Target, model: CostModel, name: str | None) -> Member:
    key = MeasurementKey.of(target.device, target.presence, calibration_protocol(target))
    usual = f"{target.device.id}-{target.bundle.name}-{key.hash[:8]}"
    member = Member.of(name or usual, target.device.title, key, model, str(model.facts.get("date", "unknown")))
    Lab.here().add([member], replacing=True)
    return member


def _near_frontier(target: Target, seed: int) -> Codes:
    """Architectures like those to be generated: the best predicted among random ones at each of many costs."""
    space = target.bundle.space
    codes = space.sample(_FRONTIER_SAMPLES, np.random.default_rng(seed))
    prior = prior_of(target) or flat_prior(FeatureTable.of(space))
    top1 = target.bundle.predictor.predict(codes).mean
    return codes[
        best_of_every_cost(FeatureTable.of(space).priced(prior.weights).cost(codes), np.asarray(top1), _FRONTIER_COSTS)
    ]
