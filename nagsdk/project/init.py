"""`nagsdk init`: declares a deployment in nagsdk.toml, and checks its parts first."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nagsdk.budget import LATENCY, Budget
from nagsdk.bundle.bundle import DEFAULT, RECALIBRATION_IMAGES, Bundle, load_bundle
from nagsdk.bundle.names import as_path, is_path
from nagsdk.common.files import writing
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.common.reading import TEXT
from nagsdk.common.wording import command
from nagsdk.cost.model import CostModel
from nagsdk.errors import BudgetError, ImagesMissingError, InfeasibleError, UsageError
from nagsdk.events import Listener, ignore
from nagsdk.images.preprocessing import read_folder
from nagsdk.pipeline.models import cost_model, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.plugin.units import read_budget
from nagsdk.project.inputs import device_of
from nagsdk.project.toml import NAME, PROJECT, project_of, read_project

GIT_ATTRIBUTES = ".gitattributes"
_HEAD = """\
# The models that this app needs: `nagsdk build` makes them and pins them in nagsdk.lock. Commit both files.
"""
_TABLE = """\

[deployments.{name}]
device = {device}{images}
bundle = {bundle}
budget = {budget}
# output = "assets/ml/{name}"    # deployments/{name} if missing; docs/build.md lists all keys
"""


@dataclass(frozen=True)
class Initialised:
    """What `nagsdk init` wrote.

    Attributes:
        project: Path of the nagsdk.toml.
        name: Name of the new deployment.
        added: Whether nagsdk.toml existed before, so that the deployment was added to it.
        gitattributes: Path of the .gitattributes that got a line; None if it had the line.
        notes: What the user should know.
        next_steps: Commands to run, in this order.
    """

    project: str
    name: str
    added: bool
    gitattributes: str | None
    notes: tuple[str, ...]
    next_steps: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything above, ready for JSON."""
        return asdict(self)


class Draft:
    """A deployment to be declared; each of its parts is checked when it is given.

    The device and the bundle are given before the budget, which is compared with what the bundle costs on the device.

    Args:
        project: The nagsdk.toml, or its folder; both need not exist.
        name: Name of the deployment.
        on_event: Receives progress events.

    Raises:
        UsageError: The name is not valid, nagsdk.toml has a deployment of this name, or nagsdk.toml is not valid.
    """

    def __init__(self, project: str | Path, name: str, on_event: Listener = ignore) -> None:
        path = Path(project)
        self.path = path if path.suffix == ".toml" and not path.is_dir() else path / PROJECT
        self.name, self.on_event = name, on_event
        if re.fullmatch(NAME, name) is None:
            raise UsageError(
                f"{name!r} cannot be the name of a deployment.",
                "Use at most 64 small letters, digits, dots, dashes and underscores; begin with a letter or digit.",
            )
        self.exists = self.path.exists()
        if self.exists and name in (declared.name for declared in read_project(self.path).deployments):
            raise UsageError(
                f"{self.path} declares the deployment {name} already.",
                "Choose another name with --name, or edit the file.",
            )
        self._device = self._bundle = self._images = ""
        self._budgets: list[str] = []
        self._target: Target | None = None
        self._model: CostModel | None = None
        self._opened: Bundle | None = None

    def device(self, text: str) -> None:
        """Sets the device.

        Raises:
            UnknownNameError: There is no such device.
            DeviceError: Its file cannot be read, or no plugin provides its backend.
        """
        device_of(text)
        self._device = self._relative(text) if text.endswith(".toml") else text
        self._named = text

    def bundle(self, text: str) -> None:
        """Sets the bundle.

        Raises:
            UnknownNameError: There is no such bundle.
            BundleError: It is damaged, or has no accuracy predictor to choose architectures by.
        """
        opened = load_bundle(text, self.on_event)
        opened.require_predictor()
        self._opened = opened
        relative = self._relative(text) if is_path(text) else ""
        self._bundle = text if not relative else relative if "/" in relative else f"./{relative}"

    @property
    def needs_images(self) -> bool:
        """Whether the bundle has no images of its own, so that a folder of images must be given."""
        assert self._opened is not None
        return not (self._opened.has_images or self._opened.finished)

    def images(self, text: str) -> None:
        """Sets the folder of images to recalibrate batch normalisation on.

        Raises:
            ImagesMissingError: It is no folder, or has no readable image.
        """
        next(read_folder(Path(text), RECALIBRATION_IMAGES))
        self._images = self._relative(text)

    def range(self) -> str | None:
        """The latencies that the bundle's networks need on the device, by prediction; None if nothing is known."""
        if (model := self._costs()) is None:
            return None
        assert self._target is not None
        budget = Budget(LATENCY, 1.0)
        limit = self._target.costs.limit_of(budget, model)
        cheapest, largest = (budget.text_of(cost / limit.most, 3) for cost in (limit.bounds.least, limit.bounds.most))
        return f"networks of {self._target.bundle.name} need about {cheapest} to {largest} on {self._target.device.id}"

    def budget(self, texts: Sequence[str]) -> list[str]:
        """Sets the budgets, which must hold together, and compares them with predicted costs.

        Returns:
            Notes, where a budget limits nothing, or where nothing is known about its costs.

        Raises:
            BudgetError: There is no budget, or a text is not one.
            InfeasibleError: No network of the bundle holds a budget on the device.
            DeviceUnavailableError: Nothing is known about the latencies of the device, nor can they be measured.
        """
        if not texts:
            raise BudgetError("No budget was given.", "Give one or more, such as 80ms.")
        notes = [note for text in texts for note in self._compared(read_budget(text))]
        self._budgets = [text.strip() for text in texts]
        return notes

    def _costs(self) -> CostModel | None:
        if self._target is None:
            assert self._opened is not None
            self._target = Target(self._named, self._opened, on_event=self.on_event)
            self._model = cost_model(self._target)
        return self._model

    def _compared(self, asked: Budget) -> list[str]:
        """Compares a budget with what the bundle's networks are predicted to cost."""
        model, target = self._costs(), self._target
        assert target is not None
        budget, device = asked.for_batch(target.device.batch), target.device.id
        measurable = budget.metric == LATENCY and target.presence.available
        if budget.metric == LATENCY and model is None:
            if not measurable:
                require_cost_model(target)
            return [f"Nothing is known about the latencies of {device} yet: `nagsdk build` measures them first."]
        try:
            limit = target.costs.feasible(budget, model)
        except InfeasibleError as error:
            if not measurable or model is None or model.source == "calibration":
                raise
            return [f"{error.message} This comes from a prior: `nagsdk build` measures {device} first."]
        return list(target.costs.note_on([limit]))

    def write(self, notes: Sequence[str] = ()) -> Initialised:
        """Adds the deployment to nagsdk.toml, and a line to .gitattributes; nothing that is there changes.

        Args:
            notes: Notes to pass on.

        Raises:
            UsageError: The deployment does not go with the others in nagsdk.toml.
            ImagesMissingError: The bundle has no images, and no folder was given.
            OutputError: A file cannot be written.
        """
        assert self._opened is not None
        if self.needs_images and not self._images:
            raise ImagesMissingError(
                f"{self._opened.name} has no images of its own to recalibrate batch normalisation on.",
                "Name a folder of images like those that the model will see with --images.",
            )
        before = self.path.read_bytes() if self.exists else b""
        added = self._lines(before, self._table() if self.exists else _HEAD + self._table())
        try:
            content = tomllib.loads((before + added).decode(TEXT).replace("\r\n", "\n"))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(
                f"A table cannot be added to {self.path}: {error}.",
                f"Write its deployments as tables such as [deployments.{self.name}].",
            ) from error
        project_of(content, self.path)
        attributes, line = self.path.parent / GIT_ATTRIBUTES, f"**/{self.name}/** -text"
        with writing(self.path), writing(attributes):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            had = attributes.read_bytes() if attributes.exists() else b""
            new = line.split() not in [known.split() for known in had.decode("utf-8", "replace").splitlines()]
            if new:
                _append(attributes, self._lines(had, f"{line}\n"))
            _append(self.path, added)
        return Initialised(
            str(self.path),
            self.name,
            self.exists,
            str(attributes) if new else None,
            (*notes, *self._absences()),
            self._next_steps(),
        )

    def _absences(self) -> list[str]:
        """What the deployment needs and this machine lacks."""
        assert self._target is not None and self._opened is not None
        notes = []
        if not self._target.presence.available:
            reason = self._target.presence.reason
            notes.append(f"{self._target.device.id} is not available, so the model would be unverified: {reason}")
        if not self._opened.has_weights:
            notes.append(f"The weights of {self._opened.name} are not on this machine.")
        return notes

    def _next_steps(self) -> tuple[str, ...]:
        assert self._opened is not None
        fetched = self._opened.has_weights or self._opened.finished
        pull = () if fetched else (command("nagsdk", "bundle", "pull", self._opened.name),)
        here = self.path == Path(PROJECT)
        build = command("nagsdk", "build", self.name, *(() if here else ("--project", str(self.path))))
        return (*pull, build)

    def _table(self) -> str:
        budget = _quoted(self._budgets[0]) if len(self._budgets) == 1 else f"[{', '.join(map(_quoted, self._budgets))}]"
        return _TABLE.format(
            name=self.name if "." not in self.name else _quoted(self.name),
            device=_quoted(self._device),
            images=f"\nimages = {_quoted(self._images)}" if self._images else "",
            bundle=_quoted(self._bundle),
            budget=budget,
        )

    def _relative(self, text: str) -> str:
        """A path as nagsdk.toml holds it: relative to the file, unless it was given as absolute and leads elsewhere."""
        path, folder = Path(text).resolve(), self.path.resolve().parent
        if Path(text).is_absolute() and not path.is_relative_to(folder):
            return path.as_posix()
        try:
            return Path(os.path.relpath(path, folder)).as_posix()
        except ValueError:  # another drive of Windows
            return path.as_posix()

    @staticmethod
    def _lines(before: bytes, text: str) -> bytes:
        """The bytes of text that is to follow others, with their line ends."""
        ends = "\r\n" if b"\r\n" in before else "\n"
        gap = ends if before and not before.endswith(b"\n") else ""
        return (gap + text.replace("\n", ends)).encode()


@naming_os_errors
def init(
    device: str | Path,
    budget: str | Sequence[str],
    *,
    bundle: str | Path = DEFAULT,
    images: str | Path | None = None,
    name: str = "model",
    project: str | Path = PROJECT,
    on_event: Listener = ignore,
) -> Initialised:
    """Declares a deployment in nagsdk.toml, so that `nagsdk.build` builds it; the file is made, or added to.

    A line in .gitattributes keeps git from changing the line ends, and with them the hashes, of the deployment's files.

    Args:
        device: Id or alias of a device, or a file that describes one (``.toml``).
        budget: A budget such as ``"80ms"``; several must hold together.
        bundle: Name of a bundle, or its folder.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        name: Name of the deployment.
        project: The nagsdk.toml, or its folder; both need not exist.
        on_event: Receives progress events.

    Returns:
        What was written, what the user should know, and which commands to run next.

    Raises:
        UsageError: The name is taken or not valid, or something that was named is unknown.
        InfeasibleError: No network of the bundle holds a budget on the device, by prediction.
        DeviceError: The device cannot be used.
        BundleError: The bundle cannot be used, or has no images and no folder was given.
        OutputError: A file cannot be written.
    """
    draft = Draft(project, name, on_event)
    draft.device(str(device))
    draft.bundle(as_path(bundle) if isinstance(bundle, Path) else bundle)
    if images is not None:
        draft.images(str(images))
    notes = draft.budget([budget] if isinstance(budget, str) else budget)
    return draft.write(notes)


def _quoted(text: str) -> str:
    """A text as TOML writes it; JSON leaves one control character as it is that TOML forbids."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} has bytes that are not UTF-8, which TOML cannot hold.", "Rename it.") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _append(path: Path, content: bytes) -> None:
    """Adds to a file, which is left as it was if that fails."""
    with path.open("ab") as file:
        start = file.tell()
        try:
            file.write(content)
            file.flush()
        except OSError:
            file.truncate(start)
            raise
