"""``nagsdk calibrate``."""

from __future__ import annotations

import click

from nagsdk.cli import output as o


@click.command("calibrate", epilog="Example: nagsdk calibrate --device cpu --bundle imagenet --samples 30")
@o.options(
    o.device_option,
    o.bundle_option,
    click.option("--samples", default=30, show_default=True, type=click.IntRange(5, 1000), help="Reference architectures to measure."),
    click.option("--within", "within_s", type=click.FloatRange(min=1), help="Stop measuring after so many seconds."),
    o.threads_option,
    o.batch_option,
    o.precision_option,
    o.seed_option,
    o.json_option,
)
def command(
    device: str,
    bundle: str,
    samples: int,
    within_s: float | None,
    threads: int | None,
    batch: int | None,
    precision: str | None,
    seed: int,
    as_json: bool,
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
            threads=threads,
            batch=batch,
            precision=precision,
            seed=seed,
            on_event=listener,
        )
    if as_json:
        o.print_json(summary)
        return
    for name, value in summary.items():
        click.echo(f"{name:<28}{value if not isinstance(value, float) else format(value, '.4g')}")
