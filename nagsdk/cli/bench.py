"""``nagsdk bench``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say, say_warning

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@click.group("bench", cls=o.Group)
def command() -> None:
    """Compare ways to find architectures."""


@command.command(
    "strategies",
    epilog=o.example_lines(
        "nagsdk bench strategies --bundle glyphs --device cpu",
        "nagsdk bench strategies --device cpu --metric macs \\\n    --strategies nag,linas,gradient:form=gumbel",
    ),
)
@o.target_options()
@o.options(
    click.option(
        "--metric",
        default="latency",
        show_default=True,
        help="What the budgets limit: latency, size, macs or a plugin's metric.",
    ),
    click.option(
        "--strategies",
        metavar="IDS",
        help="Strategies, separated by spaces or commas, maybe with one option each [default: all installed ones].",
    ),
    click.option(
        "--evaluations",
        type=o.number(ranges.EVALUATIONS),
        default=1000,
        show_default=True,
        help="How many architectures a strategy may ask the accuracy predictor about, for all budgets together.",
    ),
    click.option("--seeds", type=o.number(ranges.SEEDS), default=3, show_default=True, help="Number of seeds."),
    click.option("--points", type=o.number(ranges.POINTS), default=10, show_default=True, help="Number of budgets."),
    click.option(
        "--measured",
        type=click.Path(dir_okay=False),
        help="CSV file of measured subnets with the column top1 [default: the bundle's own].",
    ),
    click.option(
        "--plot", type=click.Path(dir_okay=False), help="File for a picture: .svg, .png or .pdf (needs nagsdk[report])."
    ),
    o.resolution_option,
    o.seed_option,
    o.json_option,
)
def strategies(target: Target, strategies: str | None, plot: str | None, as_json: bool, **settings: Any) -> None:
    """Compare strategies on a bundle and a device.

    All get the same number of evaluations. Half of the bundle's measured subnets steers them; predictors of the other
    half, which are of several kinds if scikit-learn is installed, judge what they pick.
    """
    from nagsdk.pipeline.bench import bench_strategies

    named = (strategies or "").replace(",", " ").split()
    found = bench_strategies(target, strategies=named, plot=plot, **settings)
    places = found.places()
    if as_json:
        printing.print_json({**asdict(found), "places": [asdict(place) for place in places]})
        return
    for warning in found.warnings:
        say_warning(warning)
    judges = ", ".join(f"{kind} (RMSE {rmse:.3f})" for kind, rmse in found.judges.items()) or "the steering predictor"
    say(f"{found.bundle} on {found.device}, {len(found.limits)} budgets of {found.metric}; judges: {judges}")
    rows = [
        (
            place.strategy,
            f"{place.improvement:+.3f} %" + ("" if place.error is None else f" ± {place.error:.3f}"),
            f"{place.rank:.1f} ({place.ranks[0]}–{place.ranks[1]})",
            f"{place.top1:.3f} %",
            f"{place.seconds:.2f} s",
        )
        for place in places
    ]
    printing.print_table(("strategy", "over the average random one", "rank", "top-1", "time"), rows)
    for name, why in found.left_out.items():
        say_warning(f"{name} is left out: {why}")
    if plot is not None:
        say(f"Picture: {plot}")
