"""``nagsdk frontier``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.several import Devices, print_outcomes
from nagsdk.manifest.result import arm_name

if TYPE_CHECKING:
    from nagsdk.pipeline.frontier import Frontier
    from nagsdk.pipeline.target import Target

_MOST_ROWS = 20


@o.command(
    "frontier",
    "nagsdk frontier --device cpu --points 20",
    "nagsdk frontier --device cpu --bundle imagenet \\\n    --metric macs --plot frontier.svg",
)
@o.target_options(inference=True, patterns=True)
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
@click.pass_context
def command(
    ctx: click.Context,
    /,
    devices: Devices,
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

    def work(target: Target) -> tuple[str, Frontier, str | None]:
        name = target.device.id
        picture = devices.beside(plot, name)
        return (
            name,
            frontier(target, metric=metric, strategies=strategy, points=points, plot=picture, **settings),
            picture,
        )

    def show(answer: tuple[str, Frontier, str | None]) -> None:
        name, found, picture = answer
        if devices.several:
            say(name, bold=True)
        _print(found)
        if picture is not None:
            say(f"Picture: {picture}")

    ctx.exit(print_outcomes(devices.each(work), devices.several, as_json, show, lambda one: one[1].rows()))


def _print(found: Frontier) -> None:
    """Prints some of the budgets, from the smallest to the largest, and the answer of every strategy to each."""
    unit, per = found.unit
    count = min(len(found), _MOST_ROWS)
    shown = [number * (len(found) - 1) // (count - 1) for number in range(count)]
    several = len({arm for listed in found.arms.values() for arm in listed}) > 1
    shown_of = (found.metric, "top-1", *(["arm"] if several else []))
    head = [f"budget in {unit}", *(f"{name}: {what}" for name in found.codes for what in shown_of)]
    rows = [
        (
            f"{found.limits[number] / per:.4g}",
            *(
                text
                for name in found.codes
                for text in (
                    f"{found.cost[name][number] / per:.4g}",
                    f"{found.top1[name][number]:.2f} %",
                    *([arm_name(*found.arms[name][number])] if several else []),
                )
            ),
        )
        for number in shown
    ]
    printing.print_table(head, rows)
    what = "all" if count == len(found) else f"{count} of {len(found)}"
    say(f"\nShown: {what} budgets. --json prints all of them, with the architectures.")
