"""``nagsdk frontier``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing

if TYPE_CHECKING:
    from nagsdk import Target


@o.command(
    "frontier",
    "nagsdk frontier --device cpu --points 20",
    "nagsdk frontier --device cpu --bundle imagenet --metric macs --plot frontier.svg",
)
@o.target_options(inference=True)
@o.options(
    click.option(
        "--metric", default="latency", show_default=True, help="What budgets limit: latency, size, macs or a plugin's."
    ),
    click.option(
        "--strategy",
        multiple=True,
        default=("nag", "lookup"),
        show_default=True,
        help="Repeatable: nag, lookup, nsga2, …",
    ),
    click.option("--points", type=click.IntRange(2, 10_000), default=100, show_default=True, help="Budgets."),
    click.option(
        "--plot", type=click.Path(dir_okay=False), help="Draw a picture: .svg, .png or .pdf (needs nagsdk[report])."
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
    """What accuracy is to be had for every budget, from the cheapest to the most expensive architecture.

    Answers come from models alone; predicted accuracy is that of the predictor which the strategies obey.
    """
    import nagsdk

    found = nagsdk.frontier(target, metric=metric, strategies=strategy, points=points, plot=plot, **settings)
    rows = found.rows()
    if as_json:
        printing.print_json(rows)
        return
    per, unit = rows[0]["unit_factor"], rows[0]["unit"]
    # Neighbouring budgets often have one answer; it stands once, with their number.
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
    click.echo(
        f"\n{points} budgets for each strategy; {len(rows) - len(runs)} rows with the answer of the budget before are left out."
    )
    if plot is not None:
        click.echo(f"Drawn: {plot}")
