"""Populations of devices: fleet.toml, in which a team says what its users have, and what is known of each device."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nagsdk.budget import LATENCY, Budget
from nagsdk.bundle.bundle import Bundle
from nagsdk.common.reading import read_toml
from nagsdk.common.validation import what_is_wrong
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError, UsageError
from nagsdk.events import Listener
from nagsdk.pipeline.models import require_cost_model
from nagsdk.pipeline.priors import described_prior
from nagsdk.pipeline.readings import DEFAULT_KERNELS, described_device
from nagsdk.pipeline.target import Target, target_of
from nagsdk.space.space import Codes

FLEET = "fleet.toml"
_MOST_BYTES, _MOST_DEVICES, _MOST_CHIPS = 10**6, 1000, 20
# Shares are rounded figures; their sum may miss 100 per cent by this much.
_ROUNDED = 1.0
_TITLE = Annotated[str, Field(min_length=1, max_length=100)]
_CHIP = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,39}$")]
_NEXT_STEP = "Fix {}; docs/fleet.md explains every key."


class _Entry(BaseModel):
    """One table `[[devices]]`: a kind of device, and how many of the users have it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    share: float = Field(gt=0, le=100, description="Share of the users in per cent; all shares sum to 100.")
    device: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Id of a device, or the file of its description (.toml), relative to this file.",
    )
    chip: str | None = Field(
        None, min_length=1, max_length=100, description="Core and frequency, such as Cortex-A78 2.4 GHz."
    )
    readings: dict[Annotated[str, Field(max_length=100)], float] = Field(
        {}, max_length=100, description="Milliseconds of well-known networks with one image."
    )
    kernels: str = Field(DEFAULT_KERNELS, max_length=40, description="Kernels that the readings are of.")
    reading_threads: int = Field(1, ge=1, le=1024, description="Threads of the readings, and of inferences.")
    like: str = Field(
        "android", min_length=1, max_length=500, description="Device whose backend one with readings or a chip has."
    )
    title: _TITLE | None = Field(None, description="Name for people.")
    chips: list[_CHIP] = Field(
        [], max_length=_MOST_CHIPS, description="What such phones report as their chip, for the selector."
    )

    @model_validator(mode="after")
    def _known_in_one_way(self) -> Self:
        described = bool(self.readings or self.chip)
        if described == (self.device is not None):
            raise ValueError("give either device, or readings or a chip")
        own = {"kernels", "reading_threads", "like"} & self.model_fields_set
        if not described and own:
            raise ValueError(f"{' and '.join(sorted(own))} go with readings or a chip only")
        return self


class PopulationFile(BaseModel):
    """The content of fleet.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    devices: list[_Entry] = Field(min_length=1, max_length=_MOST_DEVICES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        total = sum(one.share for one in self.devices)
        if abs(total - 100) > _ROUNDED:
            raise ValueError(f"the shares sum to {total:.6g} per cent, not to 100")
        for what, names in (
            ("device", [one.device for one in self.devices if one.device is not None]),
            ("chip of the selector", [key_of(chip) for one in self.devices for chip in one.chips]),
        ):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"the {what} {repeated[0]} is named {Counter(names)[repeated[0]]} times")
        return self


@dataclass(frozen=True, eq=False)
class Member:
    """A kind of device among the users.

    Attributes:
        title: Name for people.
        share: Share of the users; those of a population sum to 1.
        chips: What such phones report as their chip.
        device: The description, with the settings of the call.
        target: Target whose backend runs the models.
        model: What is known of the latencies.
    """

    title: str
    share: float
    chips: tuple[str, ...]
    device: Device
    target: Target
    model: CostModel

    @cached_property
    def table(self) -> AdditiveTable:
        """Predicted medians in milliseconds, without the choices that the backend does not run."""
        return self.target.costs.table(LATENCY, self.model)

    def chances(self, codes: Codes, budget: Budget) -> Floats:
        """Probabilities that the device holds a budget with architectures; see `CostModel.chances`."""
        own = budget.for_batch(self.device.batch)
        runs = np.isfinite(self.table.cost(codes))
        return np.where(runs, self.model.chances(codes, own.limit, own.percentile), 0.0)


def key_of(chip: str) -> str:
    """A chip's name without what phones write in different ways."""
    return re.sub(r"[^a-z0-9]", "", chip.lower())


def read_population(path: Path) -> PopulationFile:
    """Reads a fleet.toml.

    Raises:
        UsageError: It is missing, too large or not valid; the message names the wrong keys.
    """
    content = read_toml(path, _MOST_BYTES, lambda message: UsageError(message, _NEXT_STEP.format(path)))
    try:
        return PopulationFile.model_validate(content)
    except ValidationError as error:
        wrong = what_is_wrong(error, (*PopulationFile.model_fields, *_Entry.model_fields))
        raise UsageError(f"{path} is not valid: {wrong}.", _NEXT_STEP.format(path)) from error


def members_of(
    file: PopulationFile,
    folder: Path,
    bundle: Bundle,
    threads: int | None,
    precision: str | None,
    on_event: Listener,
) -> list[Member]:
    """Finds out what is known of every device of a population.

    Args:
        file: The population.
        folder: Folder that the files of devices are relative to.
        bundle: The bundle whose architectures run on them.
        threads: Threads of one inference; each device's default if None.
        precision: Number format; each device's default if None.
        on_event: Receives progress events.

    Raises:
        NagsdkError: A device is not known, or nothing is known of its latencies; the message names the entry.
    """

    @cache
    def opened(device: str) -> Target:
        place = str(folder / device) if device.endswith(".toml") else device
        return target_of(Target(place, bundle, threads=threads, precision=precision, on_event=on_event), {})

    total = sum(one.share for one in file.devices)
    members = []
    for number, one in enumerate(file.devices, 1):
        try:
            if one.device is not None:
                target = opened(one.device)
                device, model = target.device, require_cost_model(target)
            else:
                target = opened(one.like)
                device, model = _described(one, number, target)
        except NagsdkError as error:
            raise type(error)(f"Device {number} of the population: {error.message}", error.next_step) from error
        title = one.title or (device.title if one.device is not None else one.chip or f"device {number}")
        members.append(Member(title, one.share / total, tuple(one.chips), device, target, model))
    if len(precisions := {member.device.precision for member in members}) > 1:
        raise UsageError(
            f"The devices run different precisions: {', '.join(sorted(precisions))}.", "Give one with --precision."
        )
    return members


def _described(one: _Entry, number: int, target: Target) -> tuple[Device, CostModel]:
    """A device that readings or a chip describe, with its prior."""
    plain = described_device(
        f"device-{number}",
        one.readings,
        chip=one.chip,
        like=target.named,
        kernels=one.kernels,
        reading_threads=one.reading_threads,
        title=one.title,
    )
    device = replace(target.overrides, serial=None).on(plain, target.backend.precisions, target.backend.ios)
    prior = described_prior(device)
    assert prior is not None, "described_device has refused it"
    return device, CostModel.from_prior(target.bundle.space, prior.for_space(target.bundle.space))
