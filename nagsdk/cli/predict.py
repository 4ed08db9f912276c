"""``nagsdk predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@o.command(
    "predict",
    "nagsdk predict --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2",
    "nagsdk predict --bundle imagenet --archs nets.csv --device cpu --json",
)
@o.target_options(required=False, inference=True)
@o.options(
    o.architecture_options,
    click.option(
        "--network",
        "networks",
        multiple=True,
        metavar="NAME",
        help="A well-known network, such as mobilenet_v3_large, in place of an architecture; repeatable.",
    ),
    o.json_option,
)
def command(
    target: Target | None,
    bundle: str,
    architectures: tuple[str, ...],
    table: str | None,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict accuracy and cost of given architectures.

    With --device, the latency on the device is predicted too. In a CSV file for MobileNetV3, the columns ks and e hold
    one digit per layer position, d one per stage, and r the resolution.
    """
    if networks:
        if architectures or table is not None:
            raise click.UsageError("Give either architectures or networks.")
        _networks(target, networks, as_json)
        return
    if not architectures and table is None:
        raise click.UsageError("Give architectures by --arch or --archs, or a well-known network by --network.")
    from nagsdk.api import predict

    settings: dict[str, Any] = {"bundle": bundle} if target is None else {}
    results = predict(target, architectures, table=table, **settings)
    if as_json:
        printing.print_json([r.to_dict() for r in results])
        return
    rows = [
        (
            printing.percent(r.predicted.top1, r.predicted.top1_low, r.predicted.top1_high)
            + (" extrapolated" if r.predicted.extrapolated else ""),
            printing.latency(r.predicted.latency_ms),
            printing.latency(r.predicted.latency_upper_ms),
            f"{r.macs / 1e6:.4g}",
            f"{r.parameters / 1e6:.3g}",
            r.architecture,
        )
        for r in results
    ]
    printing.print_table(("top-1", "latency", "at most", "MMACs", "M params", "architecture"), rows)
    for warning in dict.fromkeys(w for r in results for w in r.warnings):
        say(f"Warning: {warning}", fg="yellow", err=True)


def _networks(target: Target | None, networks: tuple[str, ...], as_json: bool) -> None:
    from nagsdk.pipeline.readings import predict_networks

    found = predict_networks(list(networks), None if target is None else target.device)
    if as_json:
        printing.print_json([one.to_dict() for one in found])
        return
    rows = [
        (
            one.title,
            printing.latency(one.latency_ms),
            printing.latency(one.latency_upper_ms),
            f"{one.macs / 1e6:.4g}",
            f"{one.parameters / 1e6:.3g}",
        )
        for one in found
    ]
    printing.print_table(("network", "latency", "at most", "MMACs", "M params"), rows)
    for basis in dict.fromkeys(one.rests_on for one in found if one.rests_on):
        say(f"The latencies rest on: {basis}.", err=True)
