"""``nagsdk build``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener

if TYPE_CHECKING:
    from nagsdk.project.build import Outcome

# The word of the JSON output comes first.
_STATES = {
    "current": "current",
    "cache": "cache: taken from it",
    "mirror": "mirror: taken from it",
    "rebuilt": "rebuilt from the lock",
    "deployed": "deployed",
    "missed": "missed",
    "failed": "failed",
}


@o.command("build", "nagsdk build", "nagsdk build small", "nagsdk build --locked --require-verified")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--project",
    default="nagsdk.toml",
    show_default=True,
    type=click.Path(),
    help="File that declares the deployments, or its folder.",
)
@click.option(
    "--locked",
    is_flag=True,
    help="Deploy nothing: restore what nagsdk.lock pins, byte for byte, or fail with exit code 7.",
)
@click.option(
    "--require-verified",
    is_flag=True,
    help="Fail with exit code 6 if a model was not and cannot be measured; a measurement in nagsdk.lock counts.",
)
@o.json_option
@click.pass_context
def command(
    ctx: click.Context, /, names: tuple[str, ...], project: str, locked: bool, require_verified: bool, as_json: bool
) -> None:
    """Bring the deployments declared in nagsdk.toml up to date: those named, or all.

    Does nothing if the content of inputs and outputs is as nagsdk.lock pins it. A missing output is taken from the
    cache or mirror by its hash, or built again from the pinned statistics. If inputs changed, the deployment is built
    again and pinned.
    """
    from nagsdk.project.build import build

    report = build(project, names, locked=locked, require_verified=require_verified, on_event=listener())
    if as_json:
        printing.print_json(report.to_dict())
    else:
        for outcome in report.deployments:
            color = "red" if outcome.exit_code else "green"
            printing.say_beside(f"{outcome.name}  ", _STATES[outcome.state], fg=color, bold=True)
            if outcome.error is not None:
                say(f"  {outcome.error.message}\n  {outcome.error.next_step}", err=True)
                continue
            say(f"  {outcome.verdict}  {', '.join(_figures(outcome))}")
            say(f"  {outcome.architecture}")
            if outcome.age_days is not None:
                say(f"  measured {_ago(outcome.age_days)} on {outcome.device} ({outcome.device_fingerprint})")
            if outcome.sha256 is not None:
                say(f"  {outcome.output} (sha256 {outcome.sha256[:16]}…)")
            for warning in outcome.warnings:
                printing.say_warning(warning)
    ctx.exit(report.exit_code)


def _figures(outcome: Outcome) -> Iterator[str]:
    """What was asked for, and the latency and top-1 that were measured, or else predicted."""
    yield f"budget {' and '.join(outcome.budgets)}"
    measured, predicted = outcome.measured, outcome.predicted
    if measured is not None and predicted is not None:
        if measured.latency_p50_ms is not None:
            yield f"p50 {printing.latency(measured.latency_p50_ms)}"
        elif predicted.latency_ms is not None:
            yield f"predicted {printing.latency(predicted.latency_ms)}"
        if measured.top1 is not None:
            yield f"top-1 {measured.top1:.2f} %"
        elif predicted.top1 is not None:
            yield f"predicted top-1 {predicted.top1:.2f} %"


def _ago(days: float) -> str:
    for size, unit in ((1.0, "day"), (1 / 24, "hour"), (1 / 1440, "minute")):
        count = int(days / size)
        if count >= 2:
            return f"{count} {unit}s ago"
    return "just now"
