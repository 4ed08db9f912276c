"""True top-1 of subnets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.events import Listener, ignore
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    pass


def evaluate(
    *,
    bundle: str | Path | Bundle = "glyphs",
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    data: str | Path | None = None,
    skip_broken: bool = False,
    on_event: Listener = ignore,
) -> list[dict[str, Any]]:
    """True top-1 of subnets, each with batch normalisation recalibrated; under torchrun the processes share them.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        architectures: Text forms or architectures of the bundle's space; the smallest and the largest where none are given.
        table: See `nagsdk.api.predict`.
        data: Folder of images, whose test part counts; the bundle's own test images where None.
        skip_broken: See `train`.
        on_event: Receives progress.

    Returns:
        One row for each: architecture, macs, top1 with the ends of its 95 % interval, predicted_top1 (None where the bundle has no
        predictor), images.

    Raises:
        ImagesMissingError: There are none.
        WeightsMissingError: The bundle has no weights here.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.space.space import extremes
    from nagsdk.supernet.evaluate import measure, wilson
    from nagsdk.supernet.processes import together
    from nagsdk.training.source import Source

    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    opened.require_weights()
    given = read(opened, architectures, table) if architectures or table is not None else opened.space.decode(extremes(opened.space))
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, on_event)
        top1 = measure(opened.supernet, given, source.recalibration, source.shown("test"), on_event, ranks)
    count = source.count("test")
    predicted = opened.predictor.predict(opened.space.encode(given)).mean.tolist() if opened.has_predictor else [None] * len(given)
    return [
        {
            "architecture": a.text,
            "macs": opened.space.macs(a),
            "top1": float(t),
            **dict(zip(("top1_low", "top1_high"), (100 * end for end in wilson(t / 100, count)), strict=True)),
            "predicted_top1": p,
            "images": count,
        }
        for a, t, p in zip(given, top1, predicted, strict=True)
    ]
