"""``nagsdk frontier``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import output as o


@click.command(
    "frontier",
    epilog=o.examples(
        "nagsdk frontier --device cpu --points 20", "nagsdk frontier --device cpu --bundle imagenet --metric macs --plot frontier.svg"
    ),
)
@o.options(
    o.device_option,
    o.bundle_option,
    click.option(
        "--metric", type=click.Choice(["latency", "size", "macs"]), default="latency", show_default=True, help="What budgets limit."
    ),
    click.option("--strategy", multiple=True, default=("nag", "lookup"), show_default=True, help="Repeatable: nag, lookup, nsga2, …"),
    click.option("--points", type=click.IntRange(2, 10_000), default=100, show_default=True, help="Budgets."),
    click.option("--plot", type=click.Path(dir_okay=False), help="Draw a picture: .svg, .png or .pdf (needs nagsdk[report])."),
    o.resolution_option,
    o.device_settings,
    o.seed_option,
    o.json_option,
)
def command(
    device: str,
    bundle: str,
    metric: str,
    strategy: tuple[str, ...],
    points: int,
    plot: str | None,
    resolution: int | None,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """What accuracy is to be had for every budget, from the cheapest to the dearest architecture.

    Answers come from models alone; predicted accuracy is that of the predictor which the strategies obey.
    """
    from nagsdk import api

    with o.listening() as listener:
        rows = api.frontier(
            device=device,
            metric=metric,
            strategies=strategy,
            points=points,
            plot=plot,
            bundle=bundle,
            resolution=resolution,
            seed=seed,
            on_event=listener,
            **settings,
        )
    if as_json:
        o.print_json(rows)
    else:
        head = ("strategy", metric, "top-1", "architecture")
        o.print_table(head, [(r["strategy"], f"{r['cost']:.5g}", f"{r['predicted_top1']:.2f}", r["architecture"]) for r in rows])
