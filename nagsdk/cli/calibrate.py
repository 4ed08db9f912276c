"""``nagsdk calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.several import Devices, print_outcomes
from nagsdk.common.wording import counted

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@o.command(
    "calibrate",
    "nagsdk calibrate --device cpu --samples 20 --within 60s",
    "nagsdk calibrate --device cpu --bundle imagenet --plot calibration.svg",
    "nagsdk calibrate --device all --lab tls://lab-server:8786",
)
@o.target_options(patterns=True)
@o.options(
    click.option(
        "--samples",
        default=30,
        show_default=True,
        type=o.number(ranges.SAMPLES),
        help="Number of reference architectures to measure.",
    ),
    click.option(
        "--within",
        "within_s",
        type=o.Seconds(),
        metavar="TIME",
        help="Stop measuring after this time, such as 60s or 2min.",
    ),
    o.seed_option,
    click.option(
        "--plot", type=click.Path(dir_okay=False), help="File for a picture: .svg, .png or .pdf (needs nagsdk[report])."
    ),
    o.json_option,
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    devices: Devices,
    samples: int,
    within_s: float | None,
    seed: int,
    plot: str | None,
    as_json: bool,
) -> None:
    """Fit the cost model of a device from a few measured reference architectures.

    Every reading is stored at once: a calibration that was interrupted continues where it stopped.
    """
    from nagsdk.api import calibrate

    def work(target: Target) -> dict[str, Any]:
        picture = devices.beside(plot, target.device.id)
        done = calibrate(target, samples=samples, within_s=within_s, seed=seed, plot=picture).to_dict()
        return {**done, "picture": picture}

    def plain(summary: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in summary.items() if name != "picture"}

    ctx.exit(print_outcomes(devices.each(work), devices.several, as_json, _print, plain))


def _print(summary: dict[str, Any]) -> None:
    work = ", ".join(
        [
            counted(summary["samples"], "network"),
            counted(summary["readings"], "reading"),
            f"{summary['seconds']:.0f} s",
        ]
    )
    say(f"{summary['device']}, {summary['bundle']}: {work}")
    rows = [("after, each left out", summary)]
    if summary["before"] is not None:
        rows.insert(0, ("before, by the prior", summary["before"]))
    shares = [
        (label, f"{r['within_5_percent']:.0%}", f"{r['within_10_percent']:.0%}", f"{r['rmspe']:.1%}")
        for label, r in rows
    ]
    printing.print_table(("predictions", "within 5 %", "within 10 %", "RMS error"), shares)
    if summary["interval"] is not None:
        say(f"At confidence 0.9, a budget is compared with the prediction plus {summary['interval']:.1%}.")
    if not summary["complete"]:
        say("Time ran out before all readings were taken; run it again with more time for a better model.")
    if summary["picture"] is not None:
        say(f"Picture: {summary['picture']}")
