"""``nagsdk evaluate``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.progress import listener, speaks
from nagsdk.common.wording import counted


@o.command("evaluate", "nagsdk evaluate --bundle ./flowers --data photos --archs candidates.csv")
@o.options(
    o.bundle_option,
    click.option(
        "--arch",
        "architectures",
        multiple=True,
        help="Text form of an architecture; may be repeated [default: the smallest and the largest].",
    ),
    click.option("--archs", "table", type=click.Path(dir_okay=False), help=o.table_help),
    click.option(
        "--data",
        type=click.Path(exists=True, file_okay=False),
        help="Folder of images with the bundle's classes; the test part is used [default: the bundle's images].",
    ),
    o.skip_broken_option,
    o.lab_option,
    o.json_option,
)
def command(
    bundle: str,
    architectures: tuple[str, ...],
    table: str | None,
    data: str | None,
    skip_broken: bool,
    lab: str | None,
    as_json: bool,
) -> None:
    """Measure the top-1 of subnets.

    The batch normalisation of each subnet is recalibrated first. Under torchrun, the processes share the subnets; with
    --lab, the hosts of a lab do, on the bundle's own images.
    """
    if lab is None:
        from nagsdk.training.evaluate import evaluate

        rows = evaluate(
            bundle=bundle,
            architectures=architectures,
            table=table,
            data=data,
            skip_broken=skip_broken,
            on_event=listener(),
        )
    elif data is not None:
        raise click.UsageError("--lab uses the bundle's own images; leave out --data.")
    else:
        from nagsdk.lab.evaluation import evaluate_in_lab

        rows = evaluate_in_lab(lab, bundle=bundle, architectures=architectures, table=table, on_event=listener())
    if not speaks():
        return
    if as_json:
        printing.print_json([row.to_dict() for row in rows])
        return
    shown = [
        (
            f"{row.macs / 1e6:.4g}",
            printing.percent(row.top1, row.top1_low, row.top1_high),
            "–" if row.predicted_top1 is None else f"{row.predicted_top1:.2f} %",
            row.architecture,
        )
        for row in rows
    ]
    printing.print_table(("MMACs", f"top-1 on {counted(rows[0].images, 'image')}", "predicted", "architecture"), shown)
