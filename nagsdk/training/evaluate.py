"""Measures the top-1 of subnets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.events import Listener, ignore
from nagsdk.space.architecture import Architecture


@dataclass(frozen=True)
class SubnetAccuracy:
    """The measured accuracy of one subnet; top-1 in per cent.

    Attributes:
        architecture: Text form of the architecture.
        macs: Exact number of multiply-accumulates.
        top1: Measured top-1.
        top1_low: Lower end of the 95 % interval of the top-1 (Wilson).
        top1_high: Upper end of the interval.
        predicted_top1: Top-1 according to the accuracy predictor; None if the bundle has none.
        images: Number of images that the subnet was measured on.
    """

    architecture: str
    macs: int
    top1: float
    top1_low: float
    top1_high: float
    predicted_top1: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry that `nagsdk evaluate --json` prints."""
        return asdict(self)


@naming_os_errors
def evaluate(
    *,
    bundle: str | Path | Bundle = "glyphs",
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    data: str | Path | None = None,
    skip_broken: bool = False,
    on_event: Listener = ignore,
) -> list[SubnetAccuracy]:
    """Measures the top-1 of subnets after recalibrating the batch normalisation of each.

    Under torchrun, the processes share the subnets.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        architectures: Text forms or architectures of the bundle's space; by default the smallest and the largest.
        table: CSV file with the columns ks, e, d, r; its rows come after `architectures`.
        data: Folder of images, whose test part is used; None uses the bundle's own test images.
        skip_broken: Whether to leave out images that cannot be decoded, instead of raising an error.
        on_event: Receives progress.

    Returns:
        The accuracy of each subnet, in the order of the architectures.

    Raises:
        ImagesMissingError: There are no labelled images.
        WeightsMissingError: The bundle's weights are not on this machine.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.space.space import extremes
    from nagsdk.supernet.evaluate import measure, wilson
    from nagsdk.supernet.processes import together
    from nagsdk.training.source import Source

    opened = load_bundle(bundle)
    opened.require_weights()
    given = (
        read(opened, architectures, table)
        if architectures or table is not None
        else opened.space.decode(extremes(opened.space))
    )
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, on_event)
        top1 = measure(opened.supernet, given, source.recalibration, source.shown("test"), on_event, ranks)
    count = source.count("test")
    predicted = (
        opened.predictor.predict(opened.space.encode(given)).mean.tolist()
        if opened.has_predictor
        else [None] * len(given)
    )
    rows = []
    for architecture, true, expected in zip(given, top1.tolist(), predicted, strict=True):
        low, high = wilson(true / 100, count)
        rows.append(
            SubnetAccuracy(
                architecture.text, opened.space.macs(architecture), true, 100 * low, 100 * high, expected, count
            )
        )
    return rows
