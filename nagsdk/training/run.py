"""One run from decoded images to a bundle; if it is killed, it resumes from where it was."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nagsdk.bundle.description import Footing
from nagsdk.bundle.imported import SUPERNET_WEIGHTS
from nagsdk.bundle.write import RECALIBRATION, TEST, TEST_LABELS, Facts, write_bundle
from nagsdk.common.files import write_atomically
from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.decoded import Labelled, counts, require_space, square_side
from nagsdk.images.folder import ImageFolder
from nagsdk.images.split import SPLIT
from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import measure, wilson
from nagsdk.supernet.initial import adopt
from nagsdk.supernet.passes import train_passes
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.weights import half, load_supernet
from nagsdk.training.adjust import adjusted
from nagsdk.training.footing import footing_of
from nagsdk.training.losses import LOSS_IMAGES, card_of_losses
from nagsdk.training.material import Material
from nagsdk.training.plan import MADE_BY, Plan, preprocessing_of
from nagsdk.training.schedule import Schedule
from nagsdk.training.sheets import Sheets
from nagsdk.training.start import first_weights
from nagsdk.training.subnets import fit_measured, measure_subnets
from nagsdk.training.whole import Whole
from nagsdk.training.work import begin, begun, work_of

_ADAM_COPIES = 5
_LEARNT = "learnt.safetensors"


class TrainingRun:
    """Makes a bundle from decoded images.

    Args:
        plan: Settings that determine the result.
        schedule: How much of everything is done.
        folder: Names of images and classes.
        parts: Decoded images.
        space: Search space of the supernet, with the resolutions of the schedule.
        output: Folder of the bundle.
        ranks: Processes that work together.
        trained_s: Tells the seconds of the passes so far, of all runs that were killed too; asked in the first process.
        on_event: Receives progress.

    Raises:
        UsageError: The batch size does not fit the images or the processes.
    """

    def __init__(
        self,
        plan: Plan,
        schedule: Schedule,
        folder: ImageFolder,
        parts: dict[str, Labelled],
        space: NetworkSpace,
        output: Path,
        ranks: Ranks,
        trained_s: Callable[[], float],
        on_event: Listener = ignore,
    ) -> None:
        self.plan, self.schedule, self.folder, self.parts, self.space, self.output, self.ranks = (
            plan, schedule, folder, parts, space, output, ranks,
        )  # fmt: skip
        self.trained_s = trained_s
        self.whole = Whole(schedule, on_event)
        self.on_event: Listener = self.whole.listen
        self.work = work_of(output)
        self.preprocessing = preprocessing_of(space, plan.init)
        side = square_side(space, self.preprocessing)
        self.sheets = Sheets(self.work, parts, side, self.preprocessing, schedule.recalibration, plan.seed)
        self.material = Material(
            parts, schedule, self.preprocessing, space.classes, plan.flip, bool(plan.balance), plan.seed
        )
        images, batch = len(parts["train"].labels) - schedule.held_out, schedule.batch
        # Batch normalisation needs two images in every process.
        if not 2 * ranks.count <= batch <= images or batch % ranks.count:
            raise UsageError(
                f"A batch of {batch} does not fit {images} training images and "
                f"{counted(ranks.count, 'process', 'processes')}.",
                f"Give a batch size from {2 * ranks.count} to {images} that is divisible by {ranks.count}.",
            )

    @property
    def steps(self) -> int:
        """Number of steps of all passes together."""
        return self.schedule.steps

    def check(self) -> None:
        """Checks that the run fits the work folder and the disk.

        Raises:
            UsageError: The work folder belongs to a training with other settings.
            OutputError: The disk has too little free space.
        """
        begun(self.work, self.plan)
        require_space(self.work, self.disk_bytes(), "Checkpoints and bundle")

    def disk_bytes(self) -> int:
        """Number of bytes of checkpoints and bundle.

        There is one checkpoint per pass, plus one while the next is written; each has weights, average, both moments
        and the best weights so far.
        """
        size = 4 * _ADAM_COPIES * sum(p.numel() for p in self.space.supernet().parameters())
        return size * (len(self.schedule.recipes) + 1) + (10 << 20)

    def fresh(self) -> Supernet:
        """Returns the supernet as it is before the first step."""
        supernet = self.space.supernet()
        supernet.initialise(self.plan.seed)
        if (source := first_weights(self.plan.init, self.space)) is not None:
            adopt(supernet, source)
            for note in source.notes:
                self.on_event(Notice(note))
        supernet.to(torch_device())
        return supernet

    def run(self) -> dict[str, Any]:
        """Trains the supernet, measures subnets, fits the accuracy predictor and writes the bundle.

        Returns:
            Figures of the run; empty in all processes but the first.

        Raises:
            NagsdkError: A step fails; see `check`, `train_passes` and `write_bundle`.
        """
        self.check()
        if self.ranks.first:
            begin(self.work, self.plan, self.schedule)
            self.sheets.write()
        self.ranks.wait()
        recipes = self.schedule.recipes
        early = sum(recipe.held_out for recipe in recipes) or len(recipes)
        learnt = self._trained(_LEARNT if early < len(recipes) else SUPERNET_WEIGHTS, None, range(early))
        with self.whole.part("measuring"):
            codes, top1 = measure_subnets(
                self.space,
                lambda subnets: self.evaluate(learnt, subnets, self.material.choosing),
                self.schedule.subnets,
                self.work / "measured.csv",
                self.plan.seed,
                self.ranks,
                self.on_event,
            )
        images, predictor = len(self.material.choosing.labels), None
        if self.ranks.first:
            with self.whole.part("predictor"):
                predictor = fit_measured(self.space, codes, top1, images, self.work, self.plan.seed, self.on_event)
        last = range(early, len(recipes))
        supernet = self._trained(SUPERNET_WEIGHTS, learnt, last) if last else learnt
        with self.whole.part("measuring"):
            ends = self.evaluate(supernet, self.space.decode(extremes(self.space)), self.sheets.tests)
            seen, judging = self._seen(supernet), self.material.judging(self.sheets.tests)
            footing = footing_of(
                self.space,
                predictor,
                codes,
                lambda subnets: self.evaluate(supernet, subnets, judging),
                f"{counted(images, 'image')} for choices"
                if self.schedule.held_out
                else counted(images, "validation image"),
                self.plan.seed,
                self.ranks,
                self.schedule.footing,
                len(judging.labels),
            )
            if predictor is None:
                return {}
            card = predictor.card = {**predictor.card, **self._losses(supernet)}
        predictor.save(self.work)
        figures = {
            "steps": self.steps,
            "smallest": self._figure(float(ends[0])),
            "largest": self._figure(float(ends[1])),
            "seen": seen,
            "guessing": self._guessing,
            "predictor": {
                **card["folds"],
                "coverage_90": round(float(np.mean([g["coverage_90"] for g in card["left_out"]])), 3),
                "by_cost": card["by_cost"],
                "doubt": card["doubt"],
            },
        }
        self._write(figures, footing)
        return figures

    def _trained(self, name: str, before: Supernet | None, which: range) -> Supernet:
        """The supernet after some passes, as it is shipped, in half precision; it is trained unless it was before."""
        weights = self.work / name
        if not weights.is_file():
            supernet = self.fresh() if before is None else before.to(torch_device())
            with self.whole.part("training"):
                if self.schedule.passes_s:
                    self._train(supernet, which[:1])
                    self._adjust()
                    which = which[1:]
                self._train(supernet, which)
            if self.ranks.first:
                write_atomically(weights, half(supernet))
            self.ranks.wait()
        return load_supernet(self.space, weights.read_bytes())

    def _train(self, supernet: Supernet, which: range) -> None:
        train_passes(
            supernet,
            lambda recipe: self.material.batches(recipe, self.ranks),
            self.schedule.recipes[: which.stop],
            self._teacher_images,
            self.on_event,
            self.work,
            self.ranks,
            lambda recipe: self.material.validation(recipe, self.space, self.sheets),
            which.start,
        )

    def _adjust(self) -> None:
        """Adjusts the later passes to how long the first one took, the same in every process and every later run."""
        planned = self.schedule.steps
        made, told = adjusted(self.schedule, self.trained_s()) if self.ranks.first else (self.schedule, "")
        self.schedule = Schedule.from_dict(self.ranks.of_first(made.to_dict()))
        self.whole.expect(self.schedule)
        if self.ranks.first:
            begin(self.work, self.plan, self.schedule)
        if told:
            self.on_event(Notice(told, warning=self.schedule.steps < planned))

    def _seen(self, supernet: Supernet) -> float:
        """The top-1 of the largest network on images that it was trained on, which tells whether it overfits."""
        return float(self.evaluate(supernet, self.space.decode(extremes(self.space)[1:]), self.material.seen)[0])

    @property
    def _guessing(self) -> float:
        """The top-1 in per cent of always naming the most frequent class of the test images."""
        labels = self.sheets.tests.labels
        return 100 * float(np.bincount(labels).max()) / len(labels)

    def _figure(self, top1: float) -> dict[str, Any]:
        low, high = wilson(top1 / 100, self.sheets.counts[1])
        return {"top1": top1, "interval_95": [100 * low, 100 * high]}

    def evaluate(
        self, supernet: Supernet, subnets: Sequence[Architecture], labelled: Labelled
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Measures the top-1 of subnets on images, in per cent."""
        return measure(
            supernet,
            subnets,
            self.sheets.shown,
            self.material.shown(labelled),
            self.on_event,
            self.ranks,
        )

    def _losses(self, supernet: Supernet) -> dict[str, Any]:
        val = self.material.for_losses(LOSS_IMAGES)
        images = (self.sheets.shown, self.material.shown(val), len(val.labels))
        count = self.schedule.losses
        return card_of_losses(self.space, supernet, *images, self.plan.seed, self.on_event, count)

    def _teacher_images(self) -> Tensor:
        return self.sheets.shown(max(self.space.resolutions))

    def _write(self, figures: dict[str, Any], footing: Footing) -> None:
        with stage(self.on_event, "Writing the bundle"):
            names = (SUPERNET_WEIGHTS, "measured.csv", RECALIBRATION, TEST, TEST_LABELS, PREDICTOR_WEIGHTS, CARD, SPLIT)
            same = self.plan.space == self.space.to_dict()
            left_out = ("images", "space") if same else ("images",)
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
                "plan": {key: value for key, value in asdict(self.plan).items() if key not in left_out},
                "schedule": {key: value for key, value in self.schedule.to_dict().items() if key != "recipes"},
                "passes": [asdict(recipe) for recipe in self.schedule.recipes],
                "spent_s": {part: round(seconds, 1) for part, seconds in self.whole.spent.items() if seconds},
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
                (self.sheets.side, *self.sheets.counts),
                footing,
            )
