"""``nagsdk profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.several import Devices, print_outcomes

if TYPE_CHECKING:
    from nagsdk.manifest.result import Result
    from nagsdk.pipeline.target import Target


@o.command(
    "profile",
    "nagsdk profile --device cpu \\\n    --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2",
    "nagsdk profile --device cpu --bundle imagenet --archs nets.csv --json",
    "nagsdk profile --device cpu model.onnx",
)
@o.target_options(patterns=True)
@click.argument("model", required=False, type=click.Path(dir_okay=False))
@o.options(o.architecture_options, o.json_option)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    devices: Devices,
    model: str | None,
    architectures: tuple[str, ...],
    table: str | None,
    as_json: bool,
) -> None:
    """Measure given architectures on a device, with random weights, or a finished MODEL (ONNX or .pt2).

    Random weights take as long as trained ones, so the bundle's weights are not needed.
    """
    if not architectures and table is None and model is None:
        raise click.UsageError("Give architectures by --arch or --archs, or an ONNX file.")
    from nagsdk.api import profile

    def work(target: Target) -> list[Result]:
        return profile(target, architectures, table=table, model=model)

    def show(results: list[Result]) -> None:
        if devices.several:
            printing.say(results[0].device, bold=True)
        _print(results)

    outcomes = devices.each(work)
    ctx.exit(print_outcomes(outcomes, devices.several, as_json, show, lambda found: [r.to_dict() for r in found]))


def _print(results: list[Result]) -> None:
    rows = [
        (
            printing.latency(r.measured.latency_p50_ms),
            printing.latency(r.measured.latency_p90_ms),
            printing.latency(r.predicted.latency_ms),
            r.architecture,
        )
        for r in results
    ]
    printing.print_table(("p50", "p90", "predicted p50", "architecture"), rows)
