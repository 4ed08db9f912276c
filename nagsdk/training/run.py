"""From a folder of images to a bundle: one run, which may be killed at any time and goes on where it was."""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nagsdk.bundle.bundle import SUPERNET_WEIGHTS, load_bundle
from nagsdk.bundle.write import RECALIBRATION, TEST, TEST_LABELS, Facts, write_bundle
from nagsdk.common.files import write_atomically, writing
from nagsdk.common.processes import peak_memory_bytes
from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.batches import ArrayBatches, Augmentation, Shown, portions, prepare
from nagsdk.images.decoded import Labelled, counts, require_space, square_side
from nagsdk.images.folder import ImageFolder
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.images.sheets import most_on_sheet, read_sheet, write_sheet
from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import SearchSpace, extremes
from nagsdk.supernet.evaluate import measure, wilson
from nagsdk.supernet.initial import adopt, read_weights
from nagsdk.supernet.passes import passes, teacher_of, train_passes
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import optimizer_of, subnets_of, train_step
from nagsdk.supernet.weights import half, load_supernet
from nagsdk.training.plan import MADE_BY, Plan
from nagsdk.training.subnets import fit_measured, fit_seconds, measure_subnets

_LARGE = 128
_RATE, _RATE_BATCH = 4e-3, 64
_PORTION = 256
_RECALIBRATION, _TEST = {True: 512, False: 1024}, 2560
_CHECKPOINTS = 50
_ADAM_COPIES = 4


def first_weights(init: str, space: NetworkSpace) -> Supernet | None:
    """The supernet whose weights a training begins with; None where it begins with random ones.

    Args:
        init: ``none``, ``ofa``, or a file; see `read_weights`.
        space: Of the training.

    Raises:
        UsageError: There is no such file, or Once-for-All has no weights for this space.
        BundleError: Once-for-All's weights are not on this machine, or a file is damaged.
    """
    if init == "none":
        return None
    if init != "ofa":
        return read_weights(Path(init), space)
    ofa = load_bundle("imagenet")
    if space.with_classes(ofa.space.classes) != ofa.space:
        raise UsageError(
            "Once-for-All's weights are of the space mobilenetv3.", "Use --space mobilenetv3, or --init none."
        )
    return ofa.supernet


def preprocessing_of(space: SearchSpace) -> Preprocessing:
    """How images become inputs: as for ImageNet; small pictures are not cropped."""
    return Preprocessing(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875 if max(space.resolutions) >= _LARGE else 1.0
    )


class TrainingRun:
    """Everything between decoded images and a bundle.

    Args:
        plan: What decides the outcome.
        folder: The images' names.
        parts: The images, decoded.
        space: Of the supernet.
        output: The bundle's folder.
        ranks: Processes that work together.
        on_event: Receives progress.

    Raises:
        UsageError: The plan does not fit the images, or the run that was begun here.
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
        self.work = output.with_name(f"{output.name}.work")
        self.preprocessing = preprocessing_of(space)
        self.side = square_side(space, self.preprocessing)
        images = len(parts["train"].labels)
        # Batch normalisation needs two images in every process.
        if not 2 * ranks.count <= plan.batch <= images or plan.batch % ranks.count:
            raise UsageError(
                f"A batch of {plan.batch} does not suit {images} training images and {counted(ranks.count, 'process', 'processes')}.",
                f"Give one from {2 * ranks.count} to {images} that {ranks.count} divides.",
            )
        steps = max(1, plan.epochs * (images // plan.batch))
        rate = _RATE * (plan.batch / _RATE_BATCH) ** 0.5
        every = max(1, min(500, steps // _CHECKPOINTS))
        self.recipes = passes(plan.recipe, space, steps, rate, plan.seed, plan.init != "none", every)

    @property
    def steps(self) -> int:
        """Of all passes."""
        return sum(recipe.steps for recipe in self.recipes)

    def check(self) -> None:
        """Refuses what was begun with other settings, or will not fit on the disk.

        Raises:
            UsageError: The work folder belongs to another run.
            OutputError: There is no room.
        """
        file = self.work / "plan.json"
        if file.is_file():
            differing = self.plan.differing(json.loads(file.read_text("utf-8")))
            if differing:
                raise UsageError(
                    f"{self.work} holds a training with other settings ({', '.join(differing)}).",
                    f"Give the same, name another folder with --output, or delete {self.work}.",
                )
        require_space(self.work, self.disk_bytes(), "Checkpoints and bundle")

    def disk_bytes(self) -> int:
        """What checkpoints and bundle take: two checkpoints at a time, of weights, average and both moments, and one per pass."""
        size = 4 * _ADAM_COPIES * sum(p.numel() for p in self.space.supernet().parameters())
        return size * (len(self.recipes) + 1) + (10 << 20)

    def batches(self, seed: int) -> ArrayBatches:
        """Training data of a pass; this process's part of every batch."""
        train = self.parts["train"]
        return ArrayBatches(
            train.images, train.labels, self.plan.batch, self.preprocessing, seed, Augmentation(flip=self.plan.flip), self.ranks.rank, self.ranks.count
        )  # fmt: skip

    def fresh(self) -> Supernet:
        """The supernet before its first step."""
        supernet = self.space.supernet()
        supernet.initialise(self.plan.seed)
        if (source := first_weights(self.plan.init, self.space)) is not None:
            adopt(supernet, source)
        return supernet.to(torch_device())

    def run(self) -> dict[str, Any]:
        """Trains, measures, fits and writes; returns the figures.

        Raises:
            NagsdkError: See `check`, `train_passes` and `write_bundle`.
        """
        self.check()
        if self.ranks.first:
            write_atomically(self.work / "plan.json", json.dumps(asdict(self.plan), indent=1).encode())
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
        # What is measured are the weights as they are shipped.
        supernet = load_supernet(self.space, weights.read_bytes())
        codes, top1 = measure_subnets(
            self.space,
            lambda subnets: self.evaluate(supernet, subnets, "val"),
            self.plan.subnets,
            self.work / "measured.csv",
            self.plan.seed,
            self.ranks,
            self.on_event,
        )
        ends = self.evaluate(supernet, self.space.decode(extremes(self.space)), "test")
        if not self.ranks.first:
            return {}
        card = fit_measured(
            self.space, codes, top1, len(self.parts["val"].labels), self.work, self.plan.seed, self.on_event
        ).card
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
        self._write(figures)
        return figures

    def _figure(self, top1: float) -> dict[str, Any]:
        low, high = wilson(top1 / 100, len(self.parts["test"].labels))
        return {"top1": round(top1, 2), "interval_95": [round(100 * low, 2), round(100 * high, 2)]}

    def evaluate(
        self, supernet: Supernet, subnets: Sequence[Architecture], part: str
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """True top-1 of subnets on a part of the images, in per cent."""
        labelled = self.parts[part]
        return measure(
            supernet,
            subnets,
            self._recalibration,
            lambda r: Shown(labelled.images, labelled.labels, r, self.preprocessing),
            self.on_event,
            self.ranks,
        )

    @cached_property
    def _sheet_counts(self) -> tuple[int, int]:
        """Images shipped for recalibration and for the test."""
        most = most_on_sheet(self.side)
        wanted = _RECALIBRATION[self.side >= _LARGE]
        return min(wanted, most, len(self.parts["train"].labels)), min(_TEST, most, len(self.parts["test"].labels))

    def _write_sheets(self) -> None:
        rng = np.random.default_rng(self.plan.seed)
        for (part, file), count in zip((("train", RECALIBRATION), ("test", TEST)), self._sheet_counts, strict=True):
            labelled = self.parts[part]
            rows = np.sort(rng.permutation(len(labelled.labels))[:count])
            with writing(self.work):
                write_sheet(labelled.images[rows], self.work / file)
            if part == "test":
                write_atomically(self.work / TEST_LABELS, json.dumps(labelled.labels[rows].tolist()).encode())

    def _recalibration(self, resolution: int) -> Sequence[Tensor]:
        count = self._sheet_counts[0]
        images = read_sheet(self.work / RECALIBRATION, count, self.side)
        return portions(prepare(images, resolution, self.preprocessing), min(_PORTION, count))

    def _teacher_images(self) -> Sequence[Tensor]:
        return self._recalibration(max(self.space.resolutions))

    def _write(self, figures: dict[str, Any]) -> None:
        with stage(self.on_event, "Writing the bundle"):
            names = (SUPERNET_WEIGHTS, "measured.csv", RECALIBRATION, TEST, TEST_LABELS, PREDICTOR_WEIGHTS, CARD)
            low, high = min(self.space.resolutions), max(self.space.resolutions)
            provenance = {
                "made_by": MADE_BY,
                "images": {
                    **counts(self.parts, len(self.folder.classes)),
                    "split": self.folder.split,
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
                (self.side, *self._sheet_counts),
            )

    def estimate(self) -> dict[str, Any]:
        """How long the run would take and what it needs, from a few steps on this machine."""
        supernet = self.fresh()
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        supernet.train()
        seconds, fitting = 0.0, fit_seconds(self.space, self.plan.subnets)
        with stage(self.on_event, "Measuring the speed", len(self.recipes)) as advance:
            for number, recipe in enumerate(self.recipes):
                seconds += self._seconds(supernet, recipe)
                advance(number + 1, f"pass {number + 1} of {len(self.recipes)}")
        (probe,) = self.space.decode(
            self.space.sample(1, np.random.default_rng(self.plan.seed), max(self.space.resolutions))
        )
        few = {name: Labelled(part.images[:_PORTION], part.labels[:_PORTION]) for name, part in self.parts.items()}
        began = time.monotonic()
        measure(
            supernet.eval(),
            [probe],
            lambda r: [prepare(few["train"].images, r, self.preprocessing)],
            lambda r: Shown(few["val"].images, few["val"].labels, r, self.preprocessing),
        )
        shown = self._sheet_counts[0] + len(self.parts["val"].labels)
        measuring = (
            (time.monotonic() - began) * shown / (len(few["train"].labels) + len(few["val"].labels)) * self.plan.subnets
        )
        return {
            "seconds_per_step": seconds / self.steps,
            "training_s": seconds,
            "measuring_s": measuring / self.ranks.count,
            "predictor_s": fitting,
            "memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory_bytes(),
            "disk_bytes": self.disk_bytes(),
        }

    def _seconds(self, supernet: Supernet, recipe: TrainRecipe) -> float:
        """Of a pass: the mean of two steps after one that warms up; a pass at one resolution a step takes the largest and the smallest."""
        scratch = copy.deepcopy(supernet)
        optimizer, batches = optimizer_of(scratch, recipe), self.batches(recipe.seed)
        ends = (max(self.space.resolutions), max(self.space.resolutions), min(self.space.resolutions))
        total, taught = 0.0, recipe.opened is not None and recipe is not self.recipes[0]
        teacher = (
            teacher_of(scratch, [prepare(self.parts["train"].images[:2], ends[0], self.preprocessing)])
            if taught
            else None
        )
        # A pass may begin with the largest network alone.
        for steps, at in ((recipe.largest_first, 0), (recipe.steps - recipe.largest_first, recipe.largest_first)):
            seconds = []
            for step, resolution in enumerate(ends if steps else (), at):
                codes = subnets_of(self.space, recipe, step)
                if recipe.opened is not None:
                    codes[:, 0] = self.space.resolution_index(resolution)
                began = time.monotonic()
                train_step(scratch, optimizer, recipe, codes, batches, step, self.ranks, teacher)
                seconds.append(time.monotonic() - began)
            total += steps * float(np.mean(seconds[1:] or [0.0]))
        return total
