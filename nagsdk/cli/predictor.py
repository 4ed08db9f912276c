"""``nagsdk predictor``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener, speaks
from nagsdk.common.wording import counted


@click.group("predictor", cls=o.Group)
def command() -> None:
    """Fit accuracy predictors to measured subnets."""


@command.command(
    "fit",
    epilog=o.example_lines(
        "nagsdk predictor fit photos --bundle ./flowers --output ./flowers",
        "nagsdk predictor fit photos --bundle ./flowers --output ./new --recipe linas",
    ),
)
@o.options(
    o.data_argument,
    o.bundle_option,
    click.option(
        "--output", type=click.Path(), required=True, help="Folder of the new bundle; may be that of the old one."
    ),
    click.option(
        "--subnets",
        type=o.number(ranges.SUBNETS),
        default=300,
        show_default=True,
        help="Number of subnets to measure for the accuracy predictor.",
    ),
    click.option(
        "--recipe",
        default="frontier",
        show_default=True,
        help="How they are chosen: frontier (all over the space, then near the frontier), or by a strategy that learns "
        "from what is measured, such as linas.",
    ),
    o.skip_broken_option,
    o.generator_option,
    o.seed_option,
    o.json_option,
)
def fit(as_json: bool, output: str, **settings: Any) -> None:
    """Fit a bundle's accuracy predictor on a folder of images.

    Subnets are measured on the images in DATA, in rounds: each is chosen by what the ones before have shown. Under
    torchrun, the processes share them.
    """
    from nagsdk.training.predictor import fit_predictor

    card = fit_predictor(**settings, output=output, on_event=listener())
    if not speaks():
        return
    if as_json:
        printing.print_json(card)
        return
    folds = card["folds"]
    quality = f"RMSE {folds['rmse']:.2f} points, Kendall tau {folds['kendall_tau']:.2f}"
    say(f"{output}: {counted(folds['evaluations'], 'subnet')}; five folds: {quality}")
    rows = [
        [
            g["left_out"],
            f"{g['rmse']:.2f}",
            f"{g['kendall_tau']:.2f}",
            f"{100 * g['coverage_90']:.0f} %",
            f"{g['mean_half_width']:.2f}",
        ]
        for g in card["left_out"]
    ]
    printing.print_table(("left out", "RMSE", "tau", "90 % intervals cover", "half-width"), rows)
    printing.print_doubt(card)
    printing.print_deploy(output)
