"""``nagsdk predict``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o


@click.command(
    "predict",
    epilog=o.examples(
        "nagsdk predict --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2 --device cpu",
        "nagsdk predict --bundle imagenet --archs nets.csv --device cpu --json",
    ),
)
@o.options(
    click.option("--arch", "texts", multiple=True, help="Text form of an architecture; may be repeated."),
    click.option("--archs", type=click.Path(exists=True, dir_okay=False), help="CSV file with the columns ks, e, d, r."),
    click.option("--device", help="Predict the latency on this device too."),
    o.bundle_option,
    o.device_settings,
    o.json_option,
)
def command(
    texts: tuple[str, ...],
    archs: str | None,
    device: str | None,
    bundle: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Accuracy and cost of given architectures, by the models alone.

    The CSV columns ks and e hold one digit per layer position, d one per stage, r the resolution.
    """
    if not texts and archs is None:
        raise click.UsageError("Give architectures by --arch or --archs.")
    from nagsdk import api

    with o.listening() as listener:
        results = api.predict(
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
        (
            r.architecture,
            o.percent(r.predicted.top1, r.predicted.top1_low, r.predicted.top1_high)
            + (" extrapolated" if r.predicted.extrapolated else ""),
            o.latency(r.predicted.latency_ms),
            o.latency(r.predicted.latency_upper_ms),
            f"{r.macs / 1e6:.4g}",
            f"{r.parameters / 1e6:.3g}",
        )
        for r in results
    ]
    o.print_table(("architecture", "top-1", "latency", "at most", "MMACs", "M params"), rows)
    for warning in dict.fromkeys(w for r in results for w in r.warnings):
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
