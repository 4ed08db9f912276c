"""What a finished bundle is worth on its task: plain networks beside it, classes, labels to look at, and the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.task import TASK, TASK_PAGE
from nagsdk.bundle.write import rewrite_bundle
from nagsdk.common.temporary import temporary_folder
from nagsdk.events import Listener, stage
from nagsdk.families.protocol import Supernet
from nagsdk.images.batches import ArrayBatches, Augmentation
from nagsdk.manifest.task_schema import GainRecord, NetworkRecord, TaskRecord
from nagsdk.measuring.accuracy import paired_gain
from nagsdk.networks.catalogue import NETWORKS
from nagsdk.reports.images import images_page
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.training.answers import MOST_WRONG, Answers
from nagsdk.training.baseline import REFERENCE, network_record, record_of, reference_network, train_alone
from nagsdk.training.reference import macs_of
from nagsdk.training.source import Source

# The learning rate of plain networks from random weights, and from those of an earlier training.
_RATE = {False: 4e-3, True: 1e-3}
_BATCH = 64
_CANDIDATES = 512
_THUMBNAIL = 96


def add_study(
    folder: Path,
    data: str | Path,
    rival: tuple[Supernet, float] | None,
    notes: Sequence[str],
    skip_broken: bool,
    on_event: Listener,
) -> dict[str, Any]:
    """Measures what a bundle is worth on its task, and adds the figures and a page to it.

    Args:
        folder: Folder of the bundle.
        data: The images that it was trained on.
        rival: The supernet as it was before the first step, from which the plain network starts, and for how many
            seconds each plain network is trained; None trains none.
        notes: Messages about the images, for the page.
        skip_broken: Whether the training left out images that cannot be decoded.
        on_event: Receives progress.

    Returns:
        The content of the bundle's ``task.json``.
    """
    bundle = Bundle(folder)
    source = Source.of(bundle, data, skip_broken, on_event)
    space = bundle.space
    smallest, largest = space.decode(extremes(space))
    middle = middle_of(bundle)
    with stage(on_event, "Looking at classes and labels"):
        answers = {a: Answers.of(source, bundle.supernet, a) for a in dict.fromkeys((smallest, middle, largest))}
        # Images that were trained on may have wrong labels, too.
        others = [Answers.of(source, bundle.supernet, largest, part) for part in ("val", "train")]
    records = {
        a: network_record(a.text, space.macs(a), float(of.right.mean()), len(of.labels)) for a, of in answers.items()
    }
    gain = asdict(paired_gain(answers[smallest].right, answers[largest].right))
    task = TaskRecord(
        images=len(answers[largest].labels),
        smallest=records[smallest],
        middle=records[middle],
        largest=records[largest],
        gain=GainRecord(**{name: gain[name] for name in ("points", "low", "high", "noise")}),
        plain=[] if rival is None else plain_networks(source, rival[0], middle, rival[1], on_event),
        seconds=None if rival is None else rival[1],
    )
    page = page_of(source, answers[largest], largest.resolution, others, task.model_dump(), notes)
    with temporary_folder() as work:
        (work / TASK).write_text(task.model_dump_json(indent=1), "utf-8", newline="\n")
        (work / TASK_PAGE).write_text(page, "utf-8", newline="\n")
        rewrite_bundle(bundle, folder, [work / TASK, work / TASK_PAGE])
    return task.model_dump()


def page_of(
    source: Source,
    answers: Answers,
    resolution: int,
    others: Sequence[Answers] = (),
    task: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page about the answers of one network.

    Args:
        source: The images.
        answers: The answers for test images.
        resolution: Side of the images that it was shown.
        others: Its answers for other parts, of which wrong ones are shown, too.
        task: Content of the bundle's task.json.
        notes: Messages about the images.
    """
    wrong = _wrong_images(source, [answers, *others], resolution)
    return images_page(source.bundle.name, task, answers.to_dict(), answers.confusion.tolist(), wrong, notes)


def middle_of(bundle: Bundle) -> Architecture:
    """The architecture of at most half the multiply-accumulates in between whose predicted top-1 is the highest."""
    space = bundle.space
    ends = extremes(space)
    codes = np.vstack([ends, space.sample(_CANDIDATES, np.random.default_rng(0))])
    macs = np.array([space.macs(a) for a in space.decode(codes)])
    few = macs <= macs[:2].mean()
    best = int(np.argmax(np.where(few, bundle.predictor.predict(codes).mean, -np.inf)))
    (found,) = space.decode(codes[best : best + 1])
    return found


def plain_networks(
    source: Source, fresh: Supernet, middle: Architecture, seconds: float, on_event: Listener
) -> list[NetworkRecord]:
    """Trains a network of the family and a well-known one alone, each for the given time, and measures them."""
    assert source.parts is not None
    bundle, train = source.bundle, source.parts["train"]
    plan: Mapping[str, Any] = bundle.description.provenance["plan"]
    batch, side = min(_BATCH, len(train.labels)), max(bundle.space.resolutions)
    batches = ArrayBatches(
        train.images, train.labels, batch, bundle.preprocessing, plan["seed"], Augmentation(flip=plan["flip"]),
        balanced=bool(plan.get("balance")),
    )  # fmt: skip
    title = NETWORKS[REFERENCE].title
    reference = reference_network(bundle.space.classes, plan["seed"])
    found = []
    for name, macs, network, resolution, learnt in (
        (middle.text, bundle.space.macs(middle), fresh.extract(middle), middle.resolution, plan["init"] != "none"),
        (title, macs_of(NETWORKS[REFERENCE].build(), side), reference, side, False),
    ):
        train_alone(network, batches, resolution, seconds, _RATE[learnt], f"Training {title} alone", on_event)
        shown = source.recalibration(resolution), source.shown("test")(resolution)
        found.append(record_of(name, macs, network, *shown))
    return found


def _wrong_images(source: Source, answers: Sequence[Answers], resolution: int) -> list[dict[str, Any]]:
    """The surest wrong answers over several parts, each with its image as a data URI."""
    every = [(given, place, answer) for given in answers for place, answer in given.wrong()]
    every.sort(key=lambda found: found[2].label_probability - found[2].probability)
    shown = every[:MOST_WRONG]
    pixels = {
        of.part: _pixels(source, of.part, resolution, {place for given, place, _ in shown if given is of})
        for of in answers
    }
    return [{**asdict(answer), "uri": _uri(pixels[given.part][place])} for given, place, answer in shown]


def _pixels(source: Source, part: str, resolution: int, places: set[int]) -> dict[int, NDArray[np.uint8]]:
    """Pixels of some images of a part, shape (resolution, resolution, 3) each."""
    found, first = {}, 0
    for images, _ in source.shown(part)(resolution):
        for place in places & set(range(first, first + len(images))):
            pixels = source.bundle.preprocessing.pixels(images[place - first][None].contiguous().numpy())[0]
            found[place] = pixels.astype(np.uint8).transpose(1, 2, 0)
        first += len(images)
    return found


def _uri(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    content = BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    image.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
