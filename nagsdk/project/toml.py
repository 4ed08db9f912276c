"""Reads and validates nagsdk.toml, in which an app declares its deployments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nagsdk.budget import DEFAULT_CONFIDENCE
from nagsdk.bundle.names import is_path
from nagsdk.common.reading import read_toml
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import NagsdkError, UsageError
from nagsdk.plugin.units import read_budget
from nagsdk.project.places import local, output_below
from nagsdk.ranges import RESOLUTION, SEED

PROJECT = "nagsdk.toml"
_MOST_BYTES = 10**6
NAME = r"^[a-z0-9][a-z0-9_.-]{0,63}$"


def _budgets(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("it must be a text such as 80ms, or a list of such texts")
    for text in texts:
        try:
            read_budget(text)
        except NagsdkError as error:
            raise ValueError(f"{error.message} {error.next_step}") from error
    return texts


def _device(name: str) -> str:
    if ":" in name and not name.endswith(".toml"):
        raise ValueError("it must be a device's id or file; give the address of a phone in ANDROID_SERIAL")
    return local(name)


_Threads = Annotated[int, Field(ge=1, le=1024)]
_Precision = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeploymentTable(_Strict):
    """One table `[deployments.NAME]` of nagsdk.toml; paths are relative to the file."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"anyOf": [{"required": ["budget"]}, {"required": ["min_top1"]}]},
    )
    device: Annotated[str, AfterValidator(_device)] = Field(
        min_length=1, description="Id or alias of a device, or a file that describes one (.toml)."
    )
    budget: Annotated[str | list[str], BeforeValidator(_budgets)] = Field(
        [],
        description="One budget such as 80ms, 80ms@p90, 200FPS, 12MB or 300MMACs, or a list of budgets that must hold "
        "together; may be missing if min_top1 is given.",
    )
    min_top1: float | None = Field(
        None, gt=1, le=100, description="Asks for the fastest model of at least this top-1 in per cent."
    )
    bundle: Annotated[str, AfterValidator(local)] = Field(
        "glyphs", min_length=1, description="Name of a shipped bundle, or the path of a folder, such as ./flowers."
    )
    model: Annotated[str, AfterValidator(local)] | None = Field(
        None,
        min_length=1,
        description="File of a finished network (.onnx or .pt2), which is measured and judged as it is.",
    )
    output: str | None = Field(
        None,
        min_length=1,
        description="Folder for the model, below that of nagsdk.toml and not hidden; deployments/NAME by default.",
    )
    images: Annotated[str, AfterValidator(local)] | None = Field(
        None,
        min_length=1,
        description="Folder of images to recalibrate batch normalisation on; the bundle's own by default.",
    )
    strategy: str = Field("nag", min_length=1, description="How architectures are found.")
    resolution: int | None = Field(None, ge=1, le=RESOLUTION.high, description="Pins the input size in pixels.")
    threads: _Threads | Literal["any"] | Annotated[list[_Threads], Field(min_length=1, max_length=12)] | None = Field(
        None,
        description="Threads of one inference; the device's default if missing. From a list, or from what is usual if "
        "it is any, the best is chosen.",
    )
    batch: int | None = Field(
        None, ge=1, le=4096, description="Images of one inference; the device's default if missing."
    )
    precision: _Precision | Annotated[list[_Precision], Field(min_length=1, max_length=12)] | None = Field(
        None,
        description="Number format, such as fp32 or fp16; the device's default if missing. From a list, or from all "
        "that the device offers if it is any, the best is chosen.",
    )
    io: str | None = Field(
        None,
        min_length=1,
        description="Input and output of an int8 file: float, int8 or uint8; the device's default if missing.",
    )
    confidence: float = Field(
        DEFAULT_CONFIDENCE,
        ge=0.5,
        lt=1,
        description="How sure the cost model must be that an architecture holds the budget before it is tried.",
    )
    seed: int = Field(0, ge=SEED.low, le=SEED.high, description="Seed of all random choices.")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.budget and self.min_top1 is None:
            raise ValueError("budget is missing: give a budget such as 80ms, or min_top1")
        return self

    @model_validator(mode="after")
    def _finished_networks_are_not_sought(self) -> Self:
        sought = {
            "min_top1": self.min_top1 is not None,
            "images": self.images is not None,
            "strategy": self.strategy != "nag",
            "resolution": self.resolution is not None,
            "threads": isinstance(self.threads, str | list),
            "precision": self.precision == "any" or isinstance(self.precision, list),
        }
        if self.model is not None and (given := [name for name, value in sought.items() if value]):
            raise ValueError(f"{', '.join(given)} cannot be given with a model, which is measured as it is")
        return self


class ProjectFile(_Strict):
    """The content of nagsdk.toml."""

    mirror: str | None = Field(
        None,
        min_length=1,
        description="Folder or http(s) address that holds artifacts under their SHA-256; used after the local cache.",
    )
    deployments: dict[Annotated[str, Field(pattern=NAME)], DeploymentTable] = Field(min_length=1, max_length=1000)

    @field_validator("mirror")
    @classmethod
    def _known_scheme(cls, mirror: str | None, info: ValidationInfo) -> str | None:
        if mirror is not None and "://" in mirror and not mirror.startswith(("https://", "http://")):
            raise ValueError("it must be a folder or an http(s) address")
        return mirror if mirror is None or "://" in mirror else local(mirror)


@dataclass(frozen=True)
class Declared:
    """One deployment that an app declares.

    Attributes:
        name: Name of its table.
        output: Folder of the model, as an absolute path.
        options: All declared options except the output folder.
        arguments: Arguments of `nagsdk.deploy` by name, and the device; paths are absolute.
    """

    name: str
    output: Path
    options: dict[str, Any]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Project:
    """The content of a nagsdk.toml.

    Attributes:
        folder: Folder of the file.
        mirror: Absolute folder or address of artifacts; None if there is none.
        deployments: The declared deployments in the order of the file.
    """

    folder: Path
    mirror: str | None
    deployments: tuple[Declared, ...]


def read_project(path: Path) -> Project:
    """Reads nagsdk.toml.

    Raises:
        UsageError: It is missing or not valid; the message names the wrong fields.
    """
    content = read_toml(path, _MOST_BYTES, lambda message: UsageError(message, _next_step(path)))
    return project_of(content, path)


def project_of(content: dict[str, Any], path: Path) -> Project:
    """The declarations in the content of nagsdk.toml.

    Args:
        content: The content.
        path: The file, which need not exist.

    Raises:
        UsageError: It is not valid; the message names the wrong fields.
    """
    try:
        file = ProjectFile.model_validate(content)
    except ValidationError as error:
        wrong = what_is_wrong(error, (*ProjectFile.model_fields, *DeploymentTable.model_fields))
        raise UsageError(f"{path} is not valid: {wrong}.", _next_step(path)) from error
    folder = path.resolve().parent
    try:
        declared = tuple(_declared(name, table, folder) for name, table in file.deployments.items())
    except ValueError as error:
        raise UsageError(f"{path} is not valid: {error}.", _next_step(path)) from error
    _refuse_shared_outputs(path, declared)
    mirror = file.mirror if file.mirror is None or "://" in file.mirror else str(folder / file.mirror)
    return Project(folder, mirror, declared)


def _next_step(path: Path) -> str:
    return (
        f"Fix {path}, create one with `nagsdk init`, or name another file with --project; docs/build.md explains its "
        "content."
    )


def _declared(name: str, table: DeploymentTable, folder: Path) -> Declared:
    given = table.model_dump(exclude={"output"})
    # Lock files from before there was the option stay as they are where it is not used.
    options = {key: value for key, value in given.items() if key not in ("io", "model") or value is not None}
    budgets = [read_budget(text, table.confidence) for text in given["budget"]]
    arguments = {key: value for key, value in given.items() if key != "confidence"} | {"budget": budgets}
    if table.device.endswith(".toml"):
        arguments["device"] = str(folder / table.device)
    if is_path(table.bundle):
        arguments["bundle"] = str(folder / table.bundle)
    for key in ("images", "model"):
        if given[key] is not None:
            arguments[key] = str(folder / given[key])
    return Declared(name, output_below(folder, table.output or f"deployments/{name}"), options, arguments)


def _refuse_shared_outputs(path: Path, declared: tuple[Declared, ...]) -> None:
    # The same nagsdk.toml may be built on systems whose file names ignore upper and lower case.
    folded = {number: Path(str(one.output).casefold()).parts for number, one in enumerate(declared)}
    # In this order, a folder stands right before the first of the folders in it.
    for outer, inner in pairwise(sorted(folded, key=lambda number: (folded[number], number))):
        if folded[inner][: len(folded[outer])] == folded[outer]:
            first, second = declared[min(outer, inner)], declared[max(outer, inner)]
            raise UsageError(
                f"{path}: {first.name} and {second.name} write to the same folder, {second.output}.",
                "Give each its own folder (output); upper and lower case do not differ on macOS and Windows.",
            )
