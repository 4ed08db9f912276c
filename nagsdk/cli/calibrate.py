"""``nagsdk calibrate``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o


@click.command(
    "calibrate",
    epilog=o.examples(
        "nagsdk calibrate --device cpu --samples 20 --within 60s", "nagsdk calibrate --device cpu --bundle imagenet --plot calibration.svg"
    ),
)
@o.options(
    o.device_option,
    o.bundle_option,
    click.option("--samples", default=30, show_default=True, type=click.IntRange(5, 1000), help="Reference architectures to measure."),
    click.option("--within", "within_s", type=o.Seconds(), metavar="TIME", help="Stop measuring after so long, such as 60s or 2min."),
    o.device_settings,
    o.seed_option,
    click.option("--plot", type=click.Path(dir_okay=False), help="Draw predicted against measured (.svg, .png, .pdf)."),
    o.json_option,
)
def command(
    device: str,
    bundle: str,
    samples: int,
    within_s: float | None,
    seed: int,
    plot: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fit the cost model of a device from a few measured reference architectures.

    Readings are kept as they are taken: a calibration that was interrupted goes on where it stopped.
    """
    from nagsdk import api

    with o.listening() as listener:
        summary = api.calibrate(
            device=device,
            bundle=bundle,
            samples=samples,
            within_s=within_s,
            seed=seed,
            plot=plot,
            on_event=listener,
            **settings,
        )
    if as_json:
        o.print_json(summary)
        return
    click.echo(
        f"{summary['device']}, {summary['bundle']}: {summary['samples']} networks, {summary['readings']} readings, {summary['seconds']:.0f} s"
    )
    rows = [("after, each left out", summary)]
    if summary["before"] is not None:
        rows.insert(0, ("before, shipped prior", summary["before"]))
    shares = [(label, f"{r['within_5_percent']:.0%}", f"{r['within_10_percent']:.0%}", f"{r['rmspe']:.1%}") for label, r in rows]
    o.print_table(("predictions", "within 5 %", "within 10 %", "RMS error"), shares)
    if summary["interval"] is not None:
        click.echo(f"At confidence 0.9 a budget is compared with {summary['interval']:.1%} more than the prediction.")
    if not summary["complete"]:
        click.echo("Time ran out before all readings were taken; run it again with more time for a better model.")
    if plot is not None:
        click.echo(f"Drawn: {plot}")
