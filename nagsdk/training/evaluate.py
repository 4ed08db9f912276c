"""Measures the top-1 of subnets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.files import check_file, write_atomically
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.training.answers import Answers


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
        by_class: What it answers: ``balanced_top1`` (the mean over classes), ``classes`` (images, top-1 with its
            interval and precision of each), ``confused`` (pairs of classes, the most frequent first), and ``wrong``
            (the surest wrong answers); None unless it was asked for.
    """

    architecture: str
    macs: int
    top1: float
    top1_low: float
    top1_high: float
    predicted_top1: float | None
    images: int
    by_class: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry that `nagsdk evaluate --json` prints, without `by_class` if it is None."""
        return {name: value for name, value in asdict(self).items() if name != "by_class" or value is not None}


@naming_os_errors
def evaluate(
    *,
    bundle: str | Path | Bundle = "glyphs",
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    data: str | Path | None = None,
    skip_broken: bool = False,
    by_class: bool = False,
    predictions: str | Path | None = None,
    report: str | Path | None = None,
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
        by_class: Whether to return accuracies by class, and the surest wrong answers.
        predictions: CSV file to write, with one row for each image and subnet.
        report: HTML file to write, with accuracies by class and the surest wrong answers of the last subnet.
        on_event: Receives progress.

    Returns:
        The accuracy of each subnet, in the order of the architectures.

    Raises:
        UsageError: A file to write has another ending than .csv or .html.
        OutputError: A file cannot be written.
        ImagesMissingError: There are no labelled images.
        WeightsMissingError: The bundle's weights are not on this machine.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.space.space import extremes
    from nagsdk.supernet.evaluate import measure, wilson
    from nagsdk.supernet.processes import together
    from nagsdk.training.answers import Answers, write_answers
    from nagsdk.training.source import Source
    from nagsdk.training.study import page_of

    for file, ending in ((predictions, ".csv"), (report, ".html")):
        if file is not None and Path(file).suffix != ending:
            raise UsageError(f"{file} does not end in {ending}.", f"Name a file that ends in {ending}.")
        if file is not None:
            check_file(Path(file))
    opened = load_bundle(bundle, on_event)
    opened.require_weights()
    given = (
        read(opened, architectures, table)
        if architectures or table is not None
        else opened.space.decode(extremes(opened.space))
    )
    details: list[dict[str, Any]] = []
    written: list[tuple[object, ...]] = []
    answers: Answers | None = None
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, on_event)
        if not by_class and predictions is None and report is None:
            top1 = measure(opened.supernet, given, source.recalibration, source.shown("test"), on_event, ranks).tolist()
        elif ranks.first:
            with stage(on_event, "Measuring subnets", len(given)) as advance:
                for number, architecture in enumerate(given, 1):
                    # Only those of the last one are kept: of a thousand classes, they may take a gigabyte.
                    answers = Answers.of(source, opened.supernet, architecture)
                    details.append({"top1": answers.top1, **answers.to_dict()})
                    written += answers.rows(architecture.text) if predictions is not None else ()
                    advance(number, f"Measuring subnet {number} of {len(given)}")
            top1 = [of.pop("top1") for of in details]
        else:
            return []
    count = source.count("test")
    predicted = (
        opened.predictor.predict(opened.space.encode(given)).mean.tolist()
        if opened.has_predictor
        else [None] * len(given)
    )
    rows = []
    for number, (architecture, true, expected) in enumerate(zip(given, top1, predicted, strict=True)):
        low, high = wilson(true / 100, count)
        rows.append(
            SubnetAccuracy(
                architecture.text,
                opened.space.macs(architecture),
                true,
                100 * low,
                100 * high,
                expected,
                count,
                details[number] if details else None,
            )
        )
    if predictions is not None:
        write_answers(Path(predictions), written)
    if report is not None and answers is not None:
        write_atomically(Path(report), page_of(source, answers, given[-1].resolution).encode())
    return rows
