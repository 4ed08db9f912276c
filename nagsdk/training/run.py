"""One run from decoded images to a bundle; if it is killed, it resumes from where it was."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.description import Footing
from nagsdk.bundle.imported import SUPERNET_WEIGHTS
from nagsdk.bundle.write import RECALIBRATION, TEST, TEST_LABELS, Facts, write_bundle
from nagsdk.common.files import write_atomically, writing
from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.batches import ArrayBatches, Augmentation, Shown, prepare, stratified
from nagsdk.images.decoded import Labelled, counts, require_space, square_side
from nagsdk.images.folder import ImageFolder
from nagsdk.images.sheets import most_on_sheet, read_sheet, write_sheet
from nagsdk.images.split import SPLIT
from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import measure, wilson
from nagsdk.supernet.initial import adopt, read_weights
from nagsdk.supernet.passes import passes, train_passes
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.weights import half, load_supernet
from nagsdk.training.footing import footing_of
from nagsdk.training.losses import LOSS_IMAGES, card_of_losses
from nagsdk.training.plan import LARGE, MADE_BY, MOST_PLAN, PLAN, Plan, preprocessing_of, start_of
from nagsdk.training.subnets import fit_measured, measure_subnets
from nagsdk.training.work import work_of

_MOST_LABELS = 10**7
_RATE_BATCH = 64
_RECALIBRATION, _TEST = {True: 512, False: 1024}, 2560
_CHECKPOINTS = 50
_ADAM_COPIES = 4


def first_weights(init: str, space: NetworkSpace) -> Supernet | None:
    """Returns a supernet with the initial weights of a training; None if it starts with random weights.

    Args:
        init: ``none``, ``ofa``, the name of a finished network, or a file of weights; see `read_weights`.
        space: Search space of the training.

    Raises:
        UsageError: The file does not exist, or Once-for-All has no weights for this space.
        BundleError: The weights are not on this machine, or a file is damaged or belongs to another space.
    """
    if init == "none":
        return None
    if (network := start_of(init)) is not None:
        return network.supernet(space)
    if init != "ofa":
        return read_weights(Path(init), space)
    ofa = load_bundle("imagenet")
    if space.with_classes(ofa.space.classes) != ofa.space:
        raise UsageError(
            "Once-for-All's weights belong to the space mobilenetv3.", "Use --space mobilenetv3, or --init none."
        )
    return ofa.supernet


class TrainingRun:
    """Makes a bundle from decoded images.

    Args:
        plan: Settings that determine the result.
        folder: Names of images and classes.
        parts: Decoded images.
        space: Search space of the supernet.
        output: Folder of the bundle.
        ranks: Processes that work together.
        on_event: Receives progress.

    Raises:
        UsageError: The batch size does not fit the images or the processes.
    """

    def __init__(
        self,
        plan: Plan,
        folder: ImageFolder,
        parts: dict[str, Labelled],
        space: NetworkSpace,
        output: Path,
        ranks: Ranks,
        on_event: Listener = ignore,
    ) -> None:
        self.plan, self.folder, self.parts, self.space, self.output, self.ranks, self.on_event = (
            plan, folder, parts, space, output, ranks, on_event,
        )  # fmt: skip
        self.work = work_of(output)
        self.preprocessing = preprocessing_of(space, plan.init)
        self.side = square_side(space, self.preprocessing)
        images = len(parts["train"].labels)
        # Batch normalisation needs two images in every process.
        if not 2 * ranks.count <= plan.batch <= images or plan.batch % ranks.count:
            raise UsageError(
                f"A batch of {plan.batch} does not fit {images} training images and "
                f"{counted(ranks.count, 'process', 'processes')}.",
                f"Give a batch size from {2 * ranks.count} to {images} that is divisible by {ranks.count}.",
            )
        steps = max(1, plan.epochs * (images // plan.batch))
        rate = space.peak_rate * (plan.batch / _RATE_BATCH) ** 0.5
        every = max(1, min(500, steps // _CHECKPOINTS))
        self.recipes = passes(plan.recipe, space, steps, rate, plan.seed, plan.init != "none", every)

    @property
    def steps(self) -> int:
        """Number of steps of all passes together."""
        return sum(recipe.steps for recipe in self.recipes)

    def check(self) -> None:
        """Checks that the run fits the work folder and the disk.

        Raises:
            UsageError: The work folder belongs to a training with other settings.
            OutputError: The disk has too little free space.
        """
        file = self.work / PLAN
        if file.is_file():
            try:
                known = read_json(file, MOST_PLAN)
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"{file} cannot be read: {what_is_wrong(error)}.", f"Delete {self.work} to start again."
                ) from error
            differing = self.plan.differing(known if isinstance(known, dict) else {})
            if differing:
                raise UsageError(
                    f"{self.work} contains a training with other settings ({', '.join(differing)}).",
                    f"Use the same settings, give another folder with --output, or delete {self.work}.",
                )
        require_space(self.work, self.disk_bytes(), "Checkpoints and bundle")

    def disk_bytes(self) -> int:
        """Number of bytes of checkpoints and bundle.

        There is one checkpoint per pass, plus one while the next is written; each has weights, average and both
        moments.
        """
        size = 4 * _ADAM_COPIES * sum(p.numel() for p in self.space.supernet().parameters())
        return size * (len(self.recipes) + 1) + (10 << 20)

    def batches(self, seed: int) -> ArrayBatches:
        """Returns the training data of a pass: this process's part of every batch."""
        train = self.parts["train"]
        return ArrayBatches(
            train.images, train.labels, self.plan.batch, self.preprocessing, seed, Augmentation(flip=self.plan.flip),
            self.ranks.rank, self.ranks.count, bool(self.plan.balance),
        )  # fmt: skip

    def fresh(self) -> Supernet:
        """Returns the supernet as it is before the first step."""
        supernet = self.space.supernet()
        supernet.initialise(self.plan.seed)
        if (source := first_weights(self.plan.init, self.space)) is not None:
            adopt(supernet, source)
            for note in source.notes:
                self.on_event(Notice(note))
        return supernet.to(torch_device())

    def run(self) -> dict[str, Any]:
        """Trains the supernet, measures subnets, fits the accuracy predictor and writes the bundle.

        Returns:
            Figures of the run; empty in all processes but the first.

        Raises:
            NagsdkError: A step fails; see `check`, `train_passes` and `write_bundle`.
        """
        self.check()
        if self.ranks.first:
            write_atomically(self.work / PLAN, json.dumps(asdict(self.plan), indent=1).encode())
            self._write_sheets()
        self.ranks.wait()
        weights = self.work / SUPERNET_WEIGHTS
        if not weights.is_file():
            supernet = self.fresh()
            train_passes(
                supernet, self.batches, self.recipes, self._teacher_images, self.on_event, self.work, self.ranks
            )
            if self.ranks.first:
                write_atomically(weights, half(supernet))
            self.ranks.wait()
        # Subnets are measured with the weights as they are shipped, in half precision.
        supernet = load_supernet(self.space, weights.read_bytes())
        codes, top1 = measure_subnets(
            self.space,
            lambda subnets: self.evaluate(supernet, subnets, self.parts["val"]),
            self.plan.subnets,
            self.work / "measured.csv",
            self.plan.seed,
            self.ranks,
            self.on_event,
        )
        ends = self.evaluate(supernet, self.space.decode(extremes(self.space)), self.tests)
        images, predictor = len(self.parts["val"].labels), None
        if self.ranks.first:
            predictor = fit_measured(self.space, codes, top1, images, self.work, self.plan.seed, self.on_event)
        footing = footing_of(
            self.space,
            predictor,
            codes,
            lambda subnets: self.evaluate(supernet, subnets, self.tests),
            counted(images, "validation image"),
            self.plan.seed,
            self.ranks,
        )
        if predictor is None:
            return {}
        card = predictor.card = {**predictor.card, **self._losses(supernet)}
        predictor.save(self.work)
        figures = {
            "steps": self.steps,
            "smallest": self._figure(float(ends[0])),
            "largest": self._figure(float(ends[1])),
            "predictor": {
                **card["folds"],
                "coverage_90": round(float(np.mean([g["coverage_90"] for g in card["left_out"]])), 3),
                "doubt": card["doubt"],
            },
        }
        self._write(figures, footing)
        return figures

    def _figure(self, top1: float) -> dict[str, Any]:
        low, high = wilson(top1 / 100, self.sheet_counts[1])
        return {"top1": top1, "interval_95": [100 * low, 100 * high]}

    def evaluate(
        self, supernet: Supernet, subnets: Sequence[Architecture], labelled: Labelled
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Measures the top-1 of subnets on images, in per cent."""
        return measure(
            supernet,
            subnets,
            self._recalibration,
            self._shown(labelled),
            self.on_event,
            self.ranks,
        )

    def _shown(self, labelled: Labelled) -> Callable[[int], Shown]:
        return lambda resolution: Shown(labelled.images, labelled.labels, resolution, self.preprocessing)

    def _losses(self, supernet: Supernet) -> dict[str, Any]:
        val = self.parts["val"]
        rows = stratified(val.labels, min(LOSS_IMAGES, len(val.labels)), self.plan.seed)
        shown = self._shown(Labelled(val.images[rows], val.labels[rows]))
        images = (self._recalibration, shown, len(rows))
        return card_of_losses(self.space, supernet, *images, self.plan.seed, self.on_event)

    @cached_property
    def sheet_counts(self) -> tuple[int, int]:
        """Number of images in the bundle for recalibration and for the test."""
        most = most_on_sheet(self.side)
        wanted = _RECALIBRATION[self.side >= LARGE]
        return min(wanted, most, len(self.parts["train"].labels)), min(_TEST, most, len(self.parts["test"].labels))

    @property
    def tests(self) -> Labelled:
        """The test images as the bundle has them, so that `evaluate` and `deploy` measure the same figures."""
        labels = np.array(read_json(self.work / TEST_LABELS, _MOST_LABELS), np.int64)
        return Labelled(read_sheet(self.work / TEST, self.sheet_counts[1], self.side), labels)

    def _write_sheets(self) -> None:
        for (part, file), count in zip((("train", RECALIBRATION), ("test", TEST)), self.sheet_counts, strict=True):
            labelled = self.parts[part]
            rows = stratified(labelled.labels, count, self.plan.seed)
            with writing(self.work):
                write_sheet(labelled.images[rows], self.work / file)
            if part == "test":
                write_atomically(self.work / TEST_LABELS, json.dumps(labelled.labels[rows].tolist()).encode())

    def _recalibration(self, resolution: int) -> Tensor:
        images = read_sheet(self.work / RECALIBRATION, self.sheet_counts[0], self.side)
        return prepare(images, resolution, self.preprocessing)

    def _teacher_images(self) -> Tensor:
        return self._recalibration(max(self.space.resolutions))

    def _write(self, figures: dict[str, Any], footing: Footing) -> None:
        with stage(self.on_event, "Writing the bundle"):
            names = (SUPERNET_WEIGHTS, "measured.csv", RECALIBRATION, TEST, TEST_LABELS, PREDICTOR_WEIGHTS, CARD, SPLIT)
            write_atomically(self.work / SPLIT, json.dumps(self.folder.division.to_dict()).encode())
            low, high = min(self.space.resolutions), max(self.space.resolutions)
            provenance = {
                "made_by": MADE_BY,
                "images": {
                    **counts(self.parts, len(self.folder.classes)),
                    "split": self.folder.split,
                    "near_duplicates": self.folder.alike.to_dict(),
                    "fingerprint": self.plan.images,
                },
                "plan": {key: value for key, value in asdict(self.plan).items() if key not in ("images", "space")},
                "passes": [asdict(recipe) for recipe in self.recipes],
                "figures": figures,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in ("torch", "pillow", "numpy")},
                },
                "built": time.strftime("%Y-%m-%d", time.gmtime()),
            }
            facts = Facts(
                self.output.name,
                f"{len(self.folder.classes)} classes, {low} to {high} pixels",
                "the user's own: nagsdk train gives none",
                provenance,
            )
            write_bundle(
                self.output,
                facts,
                self.space,
                self.preprocessing,
                self.folder.classes,
                [self.work / name for name in names],
                (self.side, *self.sheet_counts),
                footing,
            )
