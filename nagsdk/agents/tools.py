"""What agents may call: each tool has a validated input, and answers with what ``--json`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import UnknownNameError, UsageError
from nagsdk.events import Listener

ALLOW_DEPLOY = "--allow-deploy"
_Text = Annotated[str, Field(min_length=1, max_length=4000)]
_Budgets = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=8)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Input):
    """No arguments."""


class _Bundle(_Input):
    bundle: _Text = Field("glyphs", description="Name of a bundle (the tool bundles lists them), or its folder.")


class _Settings(_Bundle):
    threads: Annotated[int, Field(ge=1, le=1024)] | Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="Threads of one inference; the device's if null. Such as 1,2, or any: deploy, generate and "
        "frontier choose.",
    )
    batch: int | None = Field(None, ge=1, le=4096, description="Images of one inference; the device's by default.")
    precision: str | None = Field(
        None,
        max_length=64,
        description="Number format, such as fp16; the device's if null. Such as fp32,int8, or any: deploy, generate "
        "and frontier choose.",
    )


class _OnDevice(_Settings):
    device: _Text = Field(description="Id or alias of a device (the tool devices lists them), or a .toml file.")


class _Asked(_OnDevice):
    budget: _Budgets = Field(
        default=[],
        description="Limits that must hold together: 80ms, 80ms@p90, 200FPS, 5ms/image, 12MB, 300MMACs. May be empty "
        "if min_top1 is given.",
    )
    min_top1: float | None = Field(
        None, gt=1, le=100, description="Asks for the fastest network with at least this top-1 in percent."
    )
    resolution: int | None = Field(None, ge=1, le=4096, description="Pins the input size in pixels.")


class Generate(_Asked):
    """Input of the tool generate."""


class Predict(_Settings):
    """Input of the tool predict."""

    architectures: Annotated[list[_Text], Field(min_length=1, max_length=100)] = Field(
        description="Architectures as texts, as generate and frontier return them."
    )
    device: _Text | None = Field(None, description="Device whose latencies are predicted; none if null.")


class FrontierOf(_OnDevice):
    """Input of the tool frontier."""

    metric: _Text = Field("latency", description="What is limited: latency, size, macs or a plugin's metric.")
    points: int = Field(20, ge=2, le=200, description="Number of limits, evenly spread over the whole range.")


class Report(_Input):
    """Input of the tool report."""

    folders: Annotated[list[_Text], Field(min_length=1, max_length=20)] = Field(description="Folders of deployments.")


class Verify(_Input):
    """Input of the tool verify."""

    folder: _Text = Field(description="Folder of a deployment.")
    device: _Text | None = Field(None, description="Device to measure on; the manifest's if null.")
    bundle: _Text | None = Field(None, description="Name or folder of the bundle; the manifest's if null.")
    probe: _Text | None = Field(
        None, description="JSON file that the probe in an app wrote; the budgets are then judged by it too."
    )


class Deploy(_Asked):
    """Input of the tool deploy."""

    output: _Text = Field(description="New or empty folder for the model, or one of an earlier deployment.")
    images: _Text | None = Field(
        None, description="Folder of images to recalibrate batch normalisation on; the bundle's own if null."
    )
    timing_only: bool = Field(False, description="Builds without images; the model's accuracy is worthless.")
    require_verified: bool = Field(False, description="Fails if the model cannot be measured on the device.")


@dataclass(frozen=True)
class Tool:
    """A function that agents may call.

    Attributes:
        description: What it does, for the agent.
        input: The model of its arguments.
        run: Takes validated arguments and a listener for progress; returns an object that is ready for JSON.
        read_only: Whether it changes nothing outside nagsdk's own cache.
    """

    description: str
    input: type[_Input]
    run: Callable[[Any, Listener], dict[str, Any]]
    read_only: bool = True


def _devices(given: Nothing, on_event: Listener) -> dict[str, Any]:
    from nagsdk import inventory

    return {"devices": inventory.devices()}


def _bundles(given: Nothing, on_event: Listener) -> dict[str, Any]:
    from nagsdk import inventory

    return {"bundles": inventory.bundles()}


def _settings(given: _Settings, on_event: Listener) -> dict[str, Any]:
    """The arguments of a target."""
    return {**given.model_dump(include=set(_Settings.model_fields)), "on_event": on_event}


def _generate(given: Generate, on_event: Listener) -> dict[str, Any]:
    from nagsdk import api

    together = [given.budget] if given.budget else []
    (result,) = api.generate(
        given.device, together, min_top1=given.min_top1, resolution=given.resolution, **_settings(given, on_event)
    )
    return result.to_dict()


def _predict(given: Predict, on_event: Listener) -> dict[str, Any]:
    from nagsdk import api

    results = api.predict(given.device, given.architectures, **_settings(given, on_event))
    return {"results": [result.to_dict() for result in results]}


def _frontier(given: FrontierOf, on_event: Listener) -> dict[str, Any]:
    from nagsdk import api

    found = api.frontier(
        given.device, metric=given.metric, strategies="nag", points=given.points, **_settings(given, on_event)
    )
    return {"rows": found.rows()}


def _report(given: Report, on_event: Listener) -> dict[str, Any]:
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.reports.page import comparison

    facts = ("created_at", "timing_only", "batch", "device_fingerprint", "parity")
    read = [(folder, Deployment.read(folder)) for folder in given.folders]
    shown = [{**one.to_dict(), **{name: one.details[name] for name in facts}} for _, one in read]
    rows = comparison({folder: {**one.to_dict(), **one.details} for folder, one in read}) if len(read) > 1 else []
    return {"deployments": shown, "rows": rows}


def _deploy(given: Deploy, on_event: Listener) -> dict[str, Any]:
    from nagsdk import api

    more = given.model_dump(include={"min_top1", "resolution", "output", "images", "timing_only", "require_verified"})
    return api.deploy(given.device, given.budget, **more, **_settings(given, on_event)).to_dict()


def _verify(given: Verify, on_event: Listener) -> dict[str, Any]:
    from nagsdk.pipeline.verify import verify

    found = verify(**given.model_dump(), on_event=on_event)
    return {**found.to_dict(), "exit_code": found.exit_code}


_READ_ONLY = {
    "devices": Tool("Lists the devices that models can be made for, and whether each is available.", Nothing, _devices),
    "bundles": Tool(
        "Lists the bundles (families of trained networks), and whether weights and images are on this machine.",
        Nothing,
        _bundles,
    ),
    "generate": Tool(
        "Finds the most accurate network for limits on a device, or the fastest of a given accuracy, without "
        "measuring. Takes about a second. Latencies are predicted: the verdict is always unverified.",
        Generate,
        _generate,
    ),
    "predict": Tool("Predicts top-1 and cost of given architectures, without measuring.", Predict, _predict),
    "frontier": Tool(
        "The best predicted top-1 for limits over the whole range of costs on a device: which budget is worth what.",
        FrontierOf,
        _frontier,
    ),
    "report": Tool(
        "Reads deployments: verdict, predicted and measured latency and top-1, file, warnings; compares several.",
        Report,
        _report,
    ),
}
_VERIFY = Tool(
    "Checks a deployment again: its files, its outputs and, where its device is available, what its budgets limit; "
    "also by what the probe in an app measured. exit_code is 0 if all is well, 3 if a budget is no longer held, 7 if "
    "files or outputs changed. Takes up to some minutes.",
    Verify,
    _verify,
)
_DEPLOY = Tool(
    "Builds a model file, measures it on the device and writes it to a folder with its manifest. The verdict is held "
    "(measured, within all limits), missed (nothing is written) or unverified (the device is not available). Takes "
    "from ten seconds to some minutes; the first time on a device it is calibrated.",
    Deploy,
    _deploy,
    read_only=False,
)

_MEASURING = {"deploy": _DEPLOY, "verify": _VERIFY}


def tools(allow_deploy: bool) -> dict[str, Tool]:
    """The tools by name.

    Args:
        allow_deploy: Whether deploy and verify are among them, which run models and measure; deploy also writes files.
    """
    return {**_READ_ONLY, **(_MEASURING if allow_deploy else {})}


def call(known: Mapping[str, Tool], name: str, arguments: Mapping[str, Any], on_event: Listener) -> dict[str, Any]:
    """Calls a tool.

    Args:
        known: The tools that may be called.
        name: Name of the tool.
        arguments: Its arguments.
        on_event: Receives progress events.

    Returns:
        The answer, ready for JSON.

    Raises:
        UnknownNameError: There is no such tool.
        UsageError: The arguments are not valid.
        NagsdkError: The error of the tool.
    """
    tool = known.get(name)
    if tool is None:
        note = f"It is offered by `nagsdk mcp {ALLOW_DEPLOY}` only." if name in _MEASURING else ""
        raise UnknownNameError.among("tool", name, known, note)
    try:
        given = tool.input.model_validate(dict(arguments))
    except ValidationError as error:
        fields = tool.input.model_fields
        raise UsageError(
            f"The arguments of {name} are not valid: {what_is_wrong(error, fields)}.",
            f"Arguments: {', '.join(fields) or 'none'}.",
        ) from error
    return tool.run(given, on_event)
