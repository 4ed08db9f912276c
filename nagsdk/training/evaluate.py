"""True top-1 of subnets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.events import Listener, ignore
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class SubnetAccuracy:
    """The measured accuracy of one subnet; top-1 in per cent.

    Attributes:
        architecture: Text form.
        macs: Multiply-accumulates, exact.
        top1: Measured.
        top1_low: Lower end of its 95 % interval (Wilson).
        top1_high: Upper end.
        predicted_top1: What the accuracy predictor says; None where the bundle has none.
        images: Images that it was measured on.
    """

    architecture: str
    macs: int
    top1: float
    top1_low: float
    top1_high: float
    predicted_top1: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """What `nagsdk evaluate --json` prints of it."""
        return asdict(self)


def evaluate(
    *,
    bundle: str | Path | Bundle = "glyphs",
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    data: str | Path | None = None,
    skip_broken: bool = False,
    on_event: Listener = ignore,
) -> list[SubnetAccuracy]:
    """True top-1 of subnets, each with batch normalisation recalibrated; under torchrun the processes share them.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        architectures: Text forms or architectures of the bundle's space; the smallest and the largest where none are given.
        table: CSV file with the columns ks, e, d, r; its rows follow `architectures`.
        data: Folder of images, whose test part counts; the bundle's own test images where None.
        skip_broken: Leaves out images that cannot be decoded, instead of refusing them.
        on_event: Receives progress.

    Returns:
        The accuracy of each, in the order of the architectures.

    Raises:
        ImagesMissingError: There are none.
        WeightsMissingError: The bundle has no weights here.
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
