"""Shared parts of commands: options, and the decorator that gives a command its target."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nagsdk import ranges
from nagsdk.cli.progress import listener
from nagsdk.cli.several import Devices
from nagsdk.errors import NagsdkError
from nagsdk.ranges import Range

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command that refuses a repeated option that takes one value; click would silently use the last one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for param in order:
                if (
                    isinstance(param, click.Option)
                    and not param.multiple
                    and not param.is_flag
                    and order.count(param) > 1
                ):
                    name = max(param.opts, key=len)
                    raise click.UsageError(f"{name} was given {order.count(param)} times; give it only once.", ctx)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def command(name: str, *examples: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a command from a function.

    Args:
        name: Name of the command.
        *examples: Examples for its help; see `example_lines`.
        **attributes: Other arguments of `click.Command`.
    """
    return click.command(name, cls=Command, epilog=example_lines(*examples), **attributes)


def example_lines(*lines: str) -> str:
    """The epilog of a command: examples that a reader can run.

    Args:
        *lines: The examples; one that is too long for 80 columns goes on behind a backslash at the end of the line.
    """
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Seconds(click.ParamType[float]):
    """A time such as 60, 60s or 2min, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Converts the text."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min)?", str(value).strip(), re.ASCII)
        seconds = float(match[1]) * (60 if match[2] == "min" else 1) if match else 0.0
        if not ranges.WITHIN_S.holds(seconds):
            hours = f"{ranges.WITHIN_S.high / 3600:g} hours"
            self.fail(f"{value!r} is not a time from one second to {hours}; write 60s or 2min.", param, ctx)
        return seconds


class _Whole(click.IntRange):
    def __init__(self, legal: Range) -> None:
        super().__init__(int(legal.low), int(legal.high))
        self.legal = legal

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.legal.parse(value) if isinstance(value, str) else self.legal.check(value)
        except NagsdkError as error:
            self.fail(f"{error.message} {error.next_step}", param, ctx)


class _Real(click.FloatRange):
    def __init__(self, legal: Range) -> None:
        super().__init__(legal.low, legal.high, legal.low_open, legal.high_open)
        self.legal = legal

    convert = _Whole.convert


class Threads(click.ParamType[Any]):
    """A number of threads, several numbers separated by commas, or ``any``."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Converts the text; the range of the numbers is checked where they are used."""
        if value == "any" or not isinstance(value, str):
            return value
        read = number(ranges.THREADS)
        found = tuple(read.convert(one, param, ctx) for one in value.split(","))
        return found if found[1:] else found[0]


def number(legal: Range) -> click.ParamType[Any]:
    """The type of an option that takes a number; Python callers get the same range."""
    return _Whole(legal) if legal.whole else _Real(legal)


def setting(name: str) -> Callable[[], str | None]:
    """The default of an option: the value of a setting, which the user sets once for all commands."""

    def default() -> str | None:
        from nagsdk.common import config

        value: str | None = config.value(name)
        return value

    return default


def completing(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes the value of an option with the known names of a kind; with nothing if they cannot be listed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from nagsdk import inventory

        try:
            return [name for name in inventory.names(kind) if name.startswith(incomplete)]
        except NagsdkError:
            return []

    return complete


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Applies options so that the help lists them in the given order."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


store_option = click.option(
    "--store",
    help="Where readings are stored: a file, or postgresql://USER@HOST/DATABASE [default: NAGSDK_STORE, or the cache].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON to standard output.")
BUNDLE_HELP = (
    "Name of a bundle, or its folder [default: NAGSDK_BUNDLE; else imagenet-lite if nagsdk[zoo] is installed, else "
    "glyphs]."
)
bundle_option = click.option(
    "--bundle",
    default=setting("bundle"),
    shell_complete=completing("bundles"),
    help=BUNDLE_HELP,
)
serial_option = click.option(
    "--serial", help="Which of several attached phones: serial number or host:port [default: ANDROID_SERIAL]."
)
lab_option = click.option(
    "--lab", default=setting("lab"), metavar="ADDRESS", help="Use a lab's devices; or local [default: NAGSDK_LAB]."
)
strategy_option = click.option(
    "--strategy",
    default="nag",
    show_default=True,
    shell_complete=completing("strategies"),
    help="How architectures are found: nag, lookup, polished, nsga2, evolution, random, or a plugin's strategy; "
    "options follow a colon, as in nsga2:evaluations=1000.",
)
resolution_option = click.option("--resolution", type=number(ranges.RESOLUTION), help="Pin the input size in pixels.")
seed_option = click.option(
    "--seed", type=number(ranges.SEED), default=0, show_default=True, help="Seed of all random choices."
)
images_option = click.option(
    "--images",
    type=click.Path(file_okay=False),
    help="Folder of images to recalibrate batch normalisation on [default: the bundle's own].",
)
timing_only_option = click.option(
    "--timing-only", is_flag=True, help="Build without images; the model's accuracy is worthless, and marked as such."
)
budget_options = options(
    click.option(
        "--budget",
        "budget_texts",
        metavar="BUDGET",
        multiple=True,
        help="Limit such as 80ms, 80ms@p90, 200FPS, 5ms/image, 12MB, 300MMACs, 300ms@init for loading, 150MiB@ram, "
        "or 300MiB of GPU memory; repeated budgets hold together.",
    ),
    click.option(
        "--budgets",
        metavar="BUDGETS",
        help="Several budgets, separated by commas; each gets its own answer, in a list.",
    ),
    click.option(
        "--min-top1",
        type=number(ranges.MIN_TOP1),
        help="Find the fastest architecture with at least this top-1 in percent; --budget may be added.",
    ),
    click.option(
        "--confidence",
        type=number(ranges.CONFIDENCE),
        default=0.9,
        show_default=True,
        help="How sure the cost model must be that a latency holds the budget.",
    ),
)
# How files of architectures look depends on the bundle's family of networks.
table_help = "CSV file with the columns of the bundle's space (MobileNetV3: ks, e, d, r), or JSON of dictionaries."
arch_help = "Text form of an architecture, or a dictionary (ks, e, d, r); may be repeated."
architecture_options = options(
    click.option("--arch", "architectures", multiple=True, help=arch_help),
    click.option("--archs", "table", type=click.Path(exists=True, dir_okay=False), help=table_help),
)
data_argument = click.argument("data", type=click.Path(file_okay=False))
data_option = click.option(
    "--data", type=click.Path(exists=True, file_okay=False), help="Folder of images with the bundle's classes."
)
skip_broken_option = click.option(
    "--skip-broken", is_flag=True, help="Leave out images that cannot be decoded, instead of failing."
)
generator_option = click.option(
    "--generator/--no-generator",
    default=True,
    show_default=True,
    help="Train the bundle's generator at the end, about ten minutes.",
)


def asked_budgets(
    texts: tuple[str, ...], budgets: str | None, min_top1: float | None, confidence: float
) -> list[list[Any]]:
    """Reads the budgets of a command.

    Args:
        texts: Values of --budget.
        budgets: Value of --budgets.
        min_top1: Value of --min-top1.
        confidence: Value of --confidence.

    Returns:
        Lists of budgets; the budgets of one list must hold together, and each list gets its own answer.
    """
    from nagsdk.plugin.units import read_budget

    if (bool(texts) + (budgets is not None) != 1) if min_top1 is None else budgets is not None:
        raise click.UsageError("Give either --budget or --budgets, or --min-top1 with or without --budget.")
    if budgets is not None:
        return [[read_budget(text, confidence)] for text in budgets.split(",")]
    together = [read_budget(text, confidence) for text in texts]
    return [together] if together else []


def target_options(
    *, several: bool = False, required: bool = True, inference: bool = False, patterns: bool = False
) -> Callable[[F], F]:
    """Gives a command its target, and adds the options that describe it.

    Args:
        several: Whether --device may be repeated; the command then gets a list of `targets`.
        required: Whether a device must be given; if not, the command also gets `bundle`, and `target` may be None.
        inference: Whether the command only infers; numpy's threads then sleep while they are idle.
        patterns: Whether --device may also be ``all`` or a pattern; the command then gets `devices`, see `Devices`.
    """

    def apply(function: F) -> F:
        @functools.wraps(function)
        def run(*arguments: Any, device: Any, bundle: str, **rest: Any) -> Any:
            if inference:
                from nagsdk.common.blas import load_numpy

                load_numpy()
            from nagsdk.bundle.bundle import load_bundle
            from nagsdk.pipeline.asked import refuse_repeated
            from nagsdk.pipeline.target import Target

            own = {name: rest.pop(name) for name in ("threads", "batch", "precision", "io", "serial", "lab", "store")}
            if not device:
                if required:
                    # The option is not `required`, because click would take the missing setting for a value.
                    hint = "`nagsdk devices` lists the devices; NAGSDK_DEVICE sets one for all commands."
                    raise click.MissingParameter(hint, param_hint="'--device'", param_type="option")
                return function(*arguments, target=None, bundle=bundle, **rest)
            opened = load_bundle(bundle)
            if patterns:
                return function(*arguments, devices=Devices(device, {"bundle": opened, **own}), **rest)
            on_event = listener()
            targets = [Target(name, opened, **own, on_event=on_event) for name in (device if several else [device])]
            if several:
                refuse_repeated(targets)
                return function(*arguments, targets=targets, **rest)
            return function(*arguments, target=targets[0], **rest, **({} if required else {"bundle": bundle}))

        return _target_options(several, patterns)(run)  # type: ignore[return-value]

    return apply


def _target_options(several: bool, patterns: bool) -> Callable[[F], F]:
    what = "Id, alias or description file of a device; see 'nagsdk devices'"
    what += "; all, or a pattern such as 'pixel*', for several" if patterns else ""
    device: dict[str, Any] = {"default": setting("device"), "help": f"{what} [default: NAGSDK_DEVICE]."}
    if several:
        device = {
            "default": lambda: [name for name in [setting("device")()] if name],
            "multiple": True,
            "help": f"{what}; several get one architecture that holds on all [default: NAGSDK_DEVICE].",
        }
    return options(
        click.option("--device", shell_complete=completing("devices"), **device),
        bundle_option,
        click.option(
            "--threads",
            type=Threads(),
            help="Threads of one inference; several such as 1,2, or any, let the device decide "
            "[default: the device's].",
        ),
        click.option("--batch", type=number(ranges.BATCH), help="Images of one inference [default: the device's]."),
        click.option(
            "--precision",
            help="Number format, such as fp32, fp16 or int8; several such as fp32,int8, or any, let the device decide "
            "[default: the device's].",
        ),
        click.option(
            "--io",
            help="Input and output of an int8 file: float, int8, or uint8, which takes a camera's pixels as they are "
            "[default: the device's].",
        ),
        serial_option,
        lab_option,
        store_option,
    )
