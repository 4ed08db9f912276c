"""``nagsdk profile``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o


@click.command(
    "profile",
    epilog=o.examples(
        "nagsdk profile --device cpu --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2",
        "nagsdk profile --device cpu --bundle imagenet --archs nets.csv --json",
    ),
)
@o.options(
    o.device_option,
    click.option("--arch", "texts", multiple=True, help="Text form of an architecture; may be repeated."),
    click.option("--archs", type=click.Path(exists=True, dir_okay=False), help="CSV file with the columns ks, e, d, r."),
    o.bundle_option,
    o.device_settings,
    o.json_option,
)
def command(
    device: str,
    texts: tuple[str, ...],
    archs: str | None,
    bundle: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure given architectures on a device.

    The networks get random weights, which cost as much time as trained ones: no weights are needed.
    """
    if not texts and archs is None:
        raise click.UsageError("Give architectures by --arch or --archs.")
    from nagsdk import api

    with o.listening() as listener:
        results = api.profile(
            architectures=texts,
            table=archs,
            device=device,
            bundle=bundle,
            on_event=listener,
            **settings,
        )
    if as_json:
        o.print_json([r.to_dict() for r in results])
        return
    rows = [
        (r.architecture, o.latency(r.measured.latency_p50_ms), o.latency(r.measured.latency_p90_ms), o.latency(r.predicted.latency_ms))
        for r in results
    ]
    o.print_table(("architecture", "p50", "p90", "predicted p50"), rows)
