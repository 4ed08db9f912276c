"""The folder of a fleet: its models, the selector with code for phones, fleet.json and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nagsdk.common.files import making, writing
from nagsdk.common.outputs import Kind, check_replaceable, staged
from nagsdk.errors import OutputError
from nagsdk.generator.location import Location
from nagsdk.manifest.fleet import Fleet
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.population import Member
from nagsdk.pipeline.publish import publish_one
from nagsdk.pipeline.selector import Selector
from nagsdk.pipeline.selector_code import cpp, kotlin
from nagsdk.pipeline.target import Target
from nagsdk.reports.fleet import fleet_page
from nagsdk.space.space import Codes

FLEET_JSON, SELECTOR_JSON, KOTLIN, CPP, PAGE = (
    "fleet.json",
    "selector.json",
    "NagsdkSelector.kt",
    "nagsdk_selector.hpp",
    "report.html",
)
# An earlier fleet is never replaced: the app may already pick from it.
_NEW = Kind("a fleet", lambda _: ())


@dataclass(frozen=True)
class FleetFiles:
    """Writes the folder.

    Attributes:
        folder: The folder, new or empty.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        timing_only: Whether models are built without images.
    """

    folder: Path
    images: Path | None
    timing_only: bool

    def check(self, members: Sequence[Member]) -> None:
        """Raises an error before long work starts if that work cannot succeed.

        Raises:
            OutputError: The folder is not empty or cannot be written.
            NagsdkError: See `Builder.check`.
        """
        with writing(self.folder), making(self.folder):
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise OutputError(f"{self.folder} is not empty.", "Name an empty or new folder with --output.")
        check_replaceable(self.folder, _NEW)
        for member in _one_of_each_backend(members):
            self._builder(member, 0).check()

    def write(
        self, fleet: Fleet, rule: Selector, members: Sequence[Member], codes: Codes, found: Location, seed: int
    ) -> Fleet:
        """Builds the models and writes everything.

        Args:
            fleet: The result.
            rule: What phones follow.
            members: The devices.
            codes: The chosen models, in the order of `fleet.models`.
            found: Which device takes which.
            seed: Seed of all random choices.

        Returns:
            The result with its folders.
        """
        architectures = members[0].target.bundle.space.decode(codes)
        models = []
        with staged(self.folder, _NEW) as stage:
            for model, number, architecture in zip(fleet.models, found.models, architectures, strict=True):
                takers = [m for m, taken in zip(members, found.model_of, strict=True) if taken == number]
                each = _one_of_each_backend(takers)
                folders = {
                    member.target.backend.id: model.name if len(each) == 1 else f"{model.name}-{member.device.backend}"
                    for member in each
                }
                for member in each:
                    place = stage / folders[member.target.backend.id]
                    publish_one(self._builder(member, seed), architecture, place)
                models.append(replace(model, folders=folders))
            result = replace(fleet, models=models, folder=str(self.folder))
            content = result.to_dict()
            texts = {
                FLEET_JSON: json.dumps(content, indent=2) + "\n",
                SELECTOR_JSON: rule.text(fleet.budget, fleet.share),
                KOTLIN: kotlin(rule, fleet.budget, fleet.share),
                CPP: cpp(rule, fleet.budget, fleet.share),
                PAGE: fleet_page(content),
            }
            for name, text in texts.items():
                (stage / name).write_text(text, encoding="utf-8", newline="\n")
        return result

    def _builder(self, member: Member, seed: int) -> Builder:
        target = Target(
            member.device, member.target.bundle, precision=member.device.precision, on_event=member.target.on_event
        )
        return Builder(target, self.images, self.timing_only, seed)


def _one_of_each_backend(members: Sequence[Member]) -> list[Member]:
    """The device with the most users for each backend."""
    found: dict[str, Member] = {}
    for member in sorted(members, key=lambda one: -one.share):
        found.setdefault(member.target.backend.id, member)
    return list(found.values())
