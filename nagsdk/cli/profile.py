"""``nagsdk profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@o.command(
    "profile",
    "nagsdk profile --device cpu \\\n    --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2",
    "nagsdk profile --device cpu --bundle imagenet --archs nets.csv --json",
    "nagsdk profile --device cpu model.onnx",
)
@o.target_options()
@click.argument("model", required=False, type=click.Path(dir_okay=False))
@o.options(o.architecture_options, o.json_option)
def command(
    target: Target, model: str | None, architectures: tuple[str, ...], table: str | None, as_json: bool
) -> None:
    """Measure given architectures on a device, with random weights, or a finished MODEL (ONNX or .pt2).

    Random weights take as long as trained ones, so the bundle's weights are not needed.
    """
    if not architectures and table is None and model is None:
        raise click.UsageError("Give architectures by --arch or --archs, or an ONNX file.")
    from nagsdk.api import profile

    results = profile(target, architectures, table=table, model=model)
    if as_json:
        printing.print_json([r.to_dict() for r in results])
        return
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
