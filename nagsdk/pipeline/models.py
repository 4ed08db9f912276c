"""What is known about a target before anything is measured: prior, calibrated cost model, generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from nagsdk.common.foreign_code import blaming
from nagsdk.common.reading import read_text
from nagsdk.common.validation import what_is_wrong
from nagsdk.common.wording import command
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Prior
from nagsdk.errors import BundleError, DamagedBundleError, DeviceUnavailableError, NagsdkError
from nagsdk.events import Notice
from nagsdk.generator.generator import Generator
from nagsdk.generator.strategy import Question
from nagsdk.lab.lookup import lab_of
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL as CALIBRATION
from nagsdk.measuring.protocol import ESTIMATE_PROTOCOL, Protocol
from nagsdk.pipeline.priors import FLOAT, described_prior
from nagsdk.pipeline.target import Target

if TYPE_CHECKING:
    from nagsdk.cost.table import AdditiveTable, Floats
    from nagsdk.predictor.protocol import Teacher
    from nagsdk.space.space import Codes

_MOST_CARD = 16 * 10**6
_OTHER_PRECISION = "The latencies are those of fp32: to know those of {}, calibrate with --precision {}."


def prior_of(target: Target) -> Prior | None:
    """The device's shipped prior for its threads and batch; else one from its backend's simulator, if it has one."""
    return target.keep("prior", lambda: _prior(target))


def _prior(target: Target) -> Prior | None:
    device, backend = target.device, target.backend
    if (described := described_prior(device)) is not None:
        return described.for_space(target.bundle.space)
    from nagsdk.cost.simulated import simulated_prior

    title = f"the simulator of the backend {backend.id}"
    with blaming(f"The backend {backend.id}"):
        return simulated_prior(target.bundle.space, lambda layer: backend.simulate(layer, device), title)


def calibration_protocol(target: Target) -> Protocol:
    """How reference architectures are timed; with fewer runs if the device is not this machine."""
    if target.backend.estimated_by:
        return ESTIMATE_PROTOCOL
    # In a lab every device is elsewhere, but its readings must mean the same as those that its own host takes.
    lab = lab_of(target.backend)
    elsewhere = (target.backend if lab is None else lab.backend).runs_elsewhere
    return replace(CALIBRATION, runs=CALIBRATION.reference_runs) if elsewhere else CALIBRATION


def card_file(target: Target) -> Path:
    """The file that stores the calibrated cost model of the target."""
    key = MeasurementKey.of(target.device, target.presence, calibration_protocol(target))
    return target.cache / "cost" / f"{key.hash}-{target.bundle.space.fingerprint}.json"


def calibrated_model(target: Target) -> CostModel | None:
    """The cost model of an earlier calibration of this device, runtime and space; None if there is none."""
    path = card_file(target)
    if not (target.presence.available and path.exists()):
        return None
    from nagsdk.cost import card

    try:
        text = read_text(path, _MOST_CARD)
        return card.from_json(text, target.bundle.space, target.presence.fingerprint)
    except (NagsdkError, OSError, ValueError) as error:
        told = Notice(f"The stored cost model {path} is not used: {what_is_wrong(error)}", warning=True)
        target.keep(told.text, lambda: target.on_event(told))  # once, although the model is asked for several times
        return None


def cost_model(target: Target) -> CostModel | None:
    """The calibrated cost model, else one made from the prior if that knows the device's speed, else None."""
    model, prior = calibrated_model(target), prior_of(target)
    if model is None and prior is not None and math.isfinite(prior.spread):
        device = target.device
        described = bool(device.prior or device.kernels)
        caveat = device.caveat if described else f"They come from {prior.source['title']}."
        if described and (other := device.precision) not in ("", FLOAT):
            known = prior.source.get("precision") == other
            more = (
                f"Those in {other} rest on {prior.source['title']}." if known else _OTHER_PRECISION.format(other, other)
            )
            caveat = f"{caveat} {more}".strip()
        model = CostModel.from_prior(target.bundle.space, prior, target.presence.fingerprint)
        if caveat:
            model = replace(model, facts={**model.facts, "caveat": caveat})
    return model


def require_cost_model(target: Target) -> CostModel:
    """Like `cost_model`, but raises an error instead of returning None.

    Raises:
        DeviceUnavailableError: The device is not calibrated and has no prior.
    """
    model = cost_model(target)
    if model is not None:
        return model
    device, bundle = target.device, target.bundle
    unknown = f"Nothing is known about the latencies of {device.id} with {bundle.name}"
    if not target.presence.available:
        raise DeviceUnavailableError(f"{unknown}, and it is not available for measuring.", target.presence.reason)
    given = {name: value for name, value in asdict(target.overrides).items() if value is not None}
    settings = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    calibrate = command("nagsdk", "calibrate", "--device", target.named, "--bundle", bundle.argument, *settings)
    raise DeviceUnavailableError(f"{unknown}.", f"Run: {calibrate}")


def generator_of(target: Target) -> Generator:
    """The bundle's generator; if the bundle has none, one is trained on its accuracy predictor and stored."""
    return target.keep("generator", lambda: _generator(target))


def _generator(target: Target) -> Generator:
    bundle = target.bundle
    if bundle.generator_file is not None:
        return Generator.load(bundle.generator_file, bundle.space, bundle.predictor)
    return generator_for(target, bundle.predictor, f"{bundle.name} has no generator")


def generator_for(target: Target, predictor: Teacher, why: str) -> Generator:
    """The stored generator of an accuracy predictor; if there is none, it is trained and stored.

    Args:
        target: Gives the space and the folder in which generators are stored.
        predictor: The accuracy predictor.
        why: Why one is trained, as the beginning of a sentence.
    """
    space = target.bundle.space
    path = target.cache / "generators" / f"{Generator.key(space, predictor)}.safetensors"
    if path.is_file():
        try:
            return Generator.load(path, space, predictor)
        except DamagedBundleError as error:
            target.on_event(Notice(f"The stored generator is trained again: {error.message}", warning=True))
    target.on_event(
        Notice(
            f"{why}: one is trained now and stored, which takes about ten minutes. The strategy lookup needs none.",
            warning=True,
        )
    )
    generator = Generator.trained(space, predictor, on_event=target.on_event)
    generator.save(path)
    return generator


def question(
    target: Target, tables: Sequence[AdditiveTable], limits: ArrayLike, seed: int, start: Codes | None = None
) -> Question:
    """The question that a strategy answers.

    Args:
        target: Bundle and device.
        tables: The costs that are limited.
        limits: The limits of each budget on these costs, shape (n, costs).
        seed: Seed of all random choices.
        start: The user's present architecture, shape (decisions,), if there is one.
    """
    wanted = np.asarray(limits, np.float64).reshape(-1, len(tables))
    bundle = target.bundle
    own = (bundle.space, bundle.predictor, tables, wanted, lambda: generator_of(target))
    return Question(*own, seed, target.on_event, start=start, loss=lambda codes: _own_loss(target)(codes))


def _own_loss(target: Target) -> Callable[[Codes], Floats]:
    """The loss of subnets in the bundle's supernet, on the images that it recalibrates them with.

    Raises:
        BundleError: The bundle has no weights or no images.
    """

    def made() -> Callable[[Codes], Floats]:
        bundle = target.bundle
        bundle.require_weights()
        if not bundle.has_images or bundle.finished:
            raise BundleError(
                f"{bundle.name} has no supernet with images, on which its own loss could be computed.",
                "Use a strategy without loss=supernet.",
            )
        from nagsdk.supernet.own_loss import OwnLoss

        return OwnLoss(bundle.supernet, bundle.recalibration_images)

    return target.keep("own loss", made)
