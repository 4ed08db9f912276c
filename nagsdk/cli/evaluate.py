"""``nagsdk evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.progress import listener, speaks
from nagsdk.common.wording import counted

if TYPE_CHECKING:
    from nagsdk.training.evaluate import SubnetAccuracy

_PAIRS = 5


@o.command(
    "evaluate",
    "nagsdk evaluate --bundle ./flowers --data photos --archs candidates.csv",
    "nagsdk evaluate --bundle ./flowers --data photos --report classes.html",
)
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
    click.option("--by-class", is_flag=True, help="Show the accuracy of every class, and what is confused most often."),
    click.option(
        "--predictions", type=click.Path(dir_okay=False), help="CSV file to write: what each subnet says of each image."
    ),
    click.option(
        "--report",
        type=click.Path(dir_okay=False),
        help="HTML page to write about the last subnet: classes, confusion, labels to look at.",
    ),
    o.json_option,
)
def command(architectures: tuple[str, ...], as_json: bool, by_class: bool, lab: str | None, **settings: Any) -> None:
    """Measure the top-1 of subnets.

    The batch normalisation of each subnet is recalibrated first. Under torchrun, the processes share the subnets; with
    --lab, the hosts of a lab do, on the bundle's own images.
    """
    if lab is None:
        from nagsdk.training.evaluate import evaluate

        rows = evaluate(architectures=architectures, by_class=by_class, **settings, on_event=listener())
    else:
        from nagsdk.lab.evaluation import evaluate_in_lab

        bundle, table = settings.pop("bundle"), settings.pop("table")
        if by_class or any(settings.values()):
            raise click.UsageError("--lab measures the top-1 on the bundle's own images; it goes with --arch, --archs.")
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
    for row in rows if by_class else ():
        _print_classes(row)


def _print_classes(row: SubnetAccuracy) -> None:
    found = row.by_class or {}
    printing.say(row.architecture, bold=True)
    head = ("class", "images", "recognised", "precision")
    shown = [
        (
            of["name"],
            str(of["images"]),
            printing.percent(of["top1"], of["top1_low"], of["top1_high"]),
            "–" if of["precision"] is None else f"{of['precision']:.2f} %",
        )
        for of in found["classes"]
    ]
    printing.print_table(head, shown)
    printing.say(f"mean over classes {found['balanced_top1']:.2f} %")
    for pair in found["confused"][:_PAIRS]:
        printing.say(f"{pair['label']} taken for {pair['predicted']}: {counted(pair['images'], 'image')}")
