"""What commands share: options, progress on a terminal, and the ways results are printed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nagsdk.errors import NagsdkError
from nagsdk.events import Advanced, Event, Finished, Listener, Notice, Started
from nagsdk.wording import command

if TYPE_CHECKING:
    from nagsdk.manifest import Result

F = TypeVar("F", bound=Callable[..., Any])
Named = TypeVar("Named", str | None, tuple[str, ...])


class Seconds(click.ParamType[float]):
    """A time such as 60, 60s or 2min, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads it."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min)?", str(value).strip())
        seconds = float(match[1]) * (60 if match[2] == "min" else 1) if match else 0.0
        if seconds < 1:
            self.fail(f"{value!r} is no time of a second or more; write 60s or 2min.", param, ctx)
        return seconds


def examples(*lines: str) -> str:
    """The epilog of a command: examples that a reader can run."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def setting(name: str) -> Callable[[], str | None]:
    """The default of an option that a user may set once for all commands."""

    def default() -> str | None:
        from nagsdk import config

        value: str | None = config.value(name)
        return value

    return default


def completing(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes the value of an option with the names that are known here; with nothing where they cannot be told."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from nagsdk import housekeeping

        try:
            return [name for name in housekeeping.names(kind) if name.startswith(incomplete)]
        except NagsdkError:
            return []

    return complete


def device_named(ctx: click.Context, param: click.Parameter, value: Named) -> Named:
    """Refuses where neither the option nor the setting names a device."""
    # The option is not `required`: click would take the setting that is not there for a value.
    if not value:
        raise click.MissingParameter("`nagsdk devices` lists what can be named; NAGSDK_DEVICE names one for all commands.", ctx, param)
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else to standard output.")
device_option = click.option(
    "--device",
    callback=device_named,
    default=setting("device"),
    shell_complete=completing("devices"),
    help="Device id or alias; see 'nagsdk devices' [default: NAGSDK_DEVICE].",
)
strategy_option = click.option(
    "--strategy",
    default="nag",
    show_default=True,
    shell_complete=completing("strategies"),
    help="How architectures are found: nag, lookup, polished, nsga2, evolution, random, or a plugin's.",
)
bundle_option = click.option(
    "--bundle",
    default=setting("bundle"),
    shell_complete=completing("bundles"),
    help="Name of a bundle or its folder [default: NAGSDK_BUNDLE, or glyphs].",
)
resolution_option = click.option("--resolution", type=int, help="Pin the input size in pixels.")
seed_option = click.option("--seed", default=0, show_default=True, help="Seed of every random choice.")
images_option = click.option(
    "--images", type=click.Path(file_okay=False), help="Folder of images to recalibrate batch normalisation on [default: the bundle's own]."
)
timing_only_option = click.option(
    "--timing-only", is_flag=True, help="Go on without images; the model's accuracy is worthless and marked so."
)


def budget_option(required: bool) -> Callable[[F], F]:
    """The option of budgets that hold together."""
    return click.option(
        "--budget",
        multiple=True,
        required=required,
        help="Such as 80ms, 80ms@p90, 12MB, 300MMACs or, of a GPU's memory, 300MiB; repeated ones hold together.",
    )


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Applies options in the order in which help shall list them."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


device_settings = options(
    click.option("--threads", type=click.IntRange(1, 1024), help="Threads of one inference [default: the device's]."),
    click.option("--batch", type=click.IntRange(1, 4096), help="Images of one inference [default: the device's]."),
    click.option("--precision", help="Such as fp32 or fp16 [default: the device's]."),
    click.option("--serial", help="Which of several attached phones, or host:port of one [default: ANDROID_SERIAL]."),
)


data_argument = click.argument("data", type=click.Path(file_okay=False))
skip_broken_option = click.option("--skip-broken", is_flag=True, help="Leave images out that cannot be decoded, instead of refusing.")
generator_option = click.option(
    "--generator/--no-generator", default=True, show_default=True, help="Train the bundle's generator at the end (ten minutes)."
)


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener for progress: bars on a terminal, only warnings elsewhere. Everything goes to standard error."""
    if not sys.stderr.isatty():
        yield _warn
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True)
    # Architectures are long, and what devices tell is no markup.
    told = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=48, overflow="ellipsis"))
    columns = (SpinnerColumn(), told, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = []

        def show(event: Event) -> None:
            match event:
                case Started(text, total):
                    tasks.append(progress.add_task(text, total=total))
                case Advanced(text, done) if tasks:
                    progress.update(tasks[-1], completed=done, description=text)
                case Finished() if tasks:
                    progress.remove_task(tasks.pop())
                case Notice(text, warning):
                    console.print(Text("Warning: ", "yellow") + Text(text, "default") if warning else Text(text))

        yield show


def _warn(event: Event) -> None:
    if isinstance(event, Notice) and event.warning:
        click.echo(f"Warning: {event.text}", err=True)


def speaks() -> bool:
    """Whether this process prints results: of those that torchrun started, the first."""
    return os.environ.get("RANK", "0") == "0"


def print_json(content: object) -> None:
    """Prints one JSON document."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a plain table with aligned columns."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_doubt(card: Mapping[str, Any]) -> None:
    """Prints why an accuracy predictor is of no use, where it is of none."""
    if card.get("doubt"):
        click.secho(card["doubt"], fg="yellow")


def print_deploy(bundle: str) -> None:
    """Prints the command that makes use of a new bundle."""
    from nagsdk import own_data

    # A bare name would be that of a shipped bundle.
    path = bundle if len(Path(bundle).parts) > 1 else f"./{bundle}"
    deploy = command("nagsdk", "deploy", "--bundle", path, "--device", "cpu", "--budget", own_data.middle_budget(bundle))
    click.echo(f"Deploy it: {deploy}")


def latency(value: float | None) -> str:
    """A latency for people."""
    return "–" if value is None else f"{value:.3g} ms" if value < 1 else f"{value:.4g} ms"


def percent(value: float | None, low: float | None, high: float | None) -> str:
    """A top-1 with its interval for people."""
    return "–" if value is None else f"{value:.2f} % ({low:.2f}–{high:.2f})"


def print_result(result: Result) -> None:
    """Prints one result for people."""
    from nagsdk.budget import shown_unit

    p, m = result.predicted, result.measured
    color = {"held": "green", "missed": "red"}.get(result.verdict, "yellow")
    click.secho(result.verdict, fg=color, bold=True, nl=False)
    click.echo(f"  {result.architecture}")
    lines = [("budget", " and ".join(map(str, result.budgets)) or None), ("device", result.device)]
    upper = f", at most {latency(p.latency_upper_ms)}" if p.latency_upper_ms is not None else ""
    lines.append(("predicted", f"{latency(p.latency_ms)}{upper}; top-1 {percent(p.top1, p.top1_low, p.top1_high)}"))
    if m.latency_p50_ms is not None:
        limit = f", upper limit {latency(m.latency_limit_ms)}" if m.latency_limit_ms is not None else ""
        lines.append(("measured", f"p50 {latency(m.latency_p50_ms)}, p90 {latency(m.latency_p90_ms)}{limit}"))
    if m.top1 is not None:
        lines.append(("", f"top-1 {percent(m.top1, m.top1_low, m.top1_high)} on the bundle's test images"))
    for name, value in result.metrics.items():
        per, unit = shown_unit(name)
        lines.append((name, f"{value / per:.4g} {unit}"))
    lines.append(("size", f"{result.macs / 1e6:.4g} MMACs, {result.parameters / 1e6:.3g} M parameters"))
    if result.artifact.path is not None:
        lines.append(
            ("file", f"{result.artifact.path} ({(result.artifact.bytes or 0) / 1e6:.2f} MB, sha256 {str(result.artifact.sha256)[:16]}…)")
        )
    for label, text in lines:
        if text is not None:
            click.echo(f"  {label:<10}{text}")
    for warning in result.warnings:
        click.secho(f"  warning   {warning}", fg="yellow")
