"""``nagsdk frontier``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@o.command(
    "frontier",
    "nagsdk frontier --device cpu --points 20",
    "nagsdk frontier --device cpu --bundle imagenet \\\n    --metric macs --plot frontier.svg",
)
@o.target_options(inference=True)
@o.options(
    click.option(
        "--metric",
        default="latency",
        show_default=True,
        help="What the budgets limit: latency, size, macs or a plugin's metric.",
    ),
    click.option(
        "--strategy",
        multiple=True,
        default=("nag", "lookup"),
        show_default=True,
        help="How architectures are found: nag, lookup, nsga2, …; may be repeated to compare strategies.",
    ),
    click.option("--points", type=o.number(ranges.POINTS), default=100, show_default=True, help="Number of budgets."),
    click.option(
        "--plot", type=click.Path(dir_okay=False), help="File for a picture: .svg, .png or .pdf (needs nagsdk[report])."
    ),
    o.resolution_option,
    o.seed_option,
    o.json_option,
)
def command(
    target: Target,
    metric: str,
    strategy: tuple[str, ...],
    points: int,
    plot: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show the best accuracy for every budget, over the whole range of costs.

    Nothing is measured: costs and accuracies are predicted by the models that the strategies use.
    """
    from nagsdk.api import frontier

    found = frontier(target, metric=metric, strategies=strategy, points=points, plot=plot, **settings)
    rows = found.rows()
    if as_json:
        printing.print_json(rows)
        return
    per, unit = rows[0]["unit_factor"], rows[0]["unit"]
    # Neighbouring budgets often have the same answer, which is shown once, with their number.
    runs = [list(run) for _, run in groupby(rows, key=lambda row: (row["strategy"], row["architecture"]))]
    shown = [
        (
            r[0]["strategy"],
            f"{len(r)}",
            f"{r[0]['cost'] / per:.5g}",
            f"{r[0]['predicted_top1']:.2f}",
            r[0]["architecture"],
        )
        for r in runs
    ]
    printing.print_table(("strategy", "budgets", f"{metric} in {unit}", "top-1 in %", "architecture"), shown)
    repeated = f"{len(rows) - len(runs)} rows that repeat the answer of the row before are not shown"
    say(f"\n{points} budgets for each strategy; {repeated}.")
    if plot is not None:
        say(f"Picture: {plot}")
