"""Trains a bundle from a folder of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk import ranges
from nagsdk.bundle.ownership import BUNDLE
from nagsdk.common.memory import memory_kept
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.common.outputs import check_replaceable
from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, heard_by, ignore
from nagsdk.training.predictor import add_generator
from nagsdk.training.report import TrainingReport
from nagsdk.training.work import work_of

if TYPE_CHECKING:
    from nagsdk.bundle.bundle import Bundle
    from nagsdk.images.folder import ImageFolder

# From so many times as many images in the largest class as in the smallest on, training balances them.
_UNBALANCED = 10


@naming_os_errors
@memory_kept()
def train(
    *,
    data: str | Path,
    output: str | Path,
    space: str = "mobilenetv3",
    init: str = "none",
    recipe: str = "sandwich",
    minutes: float | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    subnets: int | None = None,
    flip: bool = True,
    group_by: str | None = None,
    balance: bool | None = None,
    skip_broken: bool = False,
    generator: bool = True,
    baseline: bool = False,
    tensorboard: str | Path | None = None,
    dry_run: bool = False,
    seed: int = 0,
    on_event: Listener = ignore,
) -> TrainingReport:
    """Turns a folder of images into a bundle; see docs/training.md.

    A killed run resumes from where it was when it is started again with the same arguments. Under torchrun, all
    processes share the work.

    Args:
        data: Folder with one subfolder of images for each class, or with such subfolders in folders ``train`` and
            ``val`` (and ``test``).
        output: Folder of the bundle, whose name becomes the bundle's name; unfinished work is stored next to it, in
            ``<output>.work``.
        space: Search space: ``mobilenetv3`` (160 to 224 pixels), ``efficientnet-lite0`` (96 to 224 pixels), ``small``
            (32 to 48 pixels) or another one by its name, or a JSON file.
        init: Initial weights: ``none``, ``ofa`` (see 'nagsdk bundle pull imagenet'), the name of a finished network
            that the space contains (``efficientnet-lite0``; needs the extra ``pretrained``), or a file of weights: of a
            supernet of the space, or of a finished network of torchvision or timm.
        recipe: Training recipe: ``sandwich`` (BigNAS) or ``shrinking`` (Once-for-All).
        minutes: The time of the whole training on this machine, which is planned from a short measurement. None: 15
            if there are fewer than 1000 images for training and validation and `epochs` is None.
        epochs: Number of epochs over the training images, instead of a time; None: 60 if there is no time.
        batch: Number of images per step, over all processes; None: 64, or what the time allows.
        subnets: Number of subnets measured for the accuracy predictor; None: 300, or what the time allows.
        flip: Whether training mirrors images; use False for letters and signs.
        group_by: Regular expression that is searched in the path of every image inside its class folder; images in
            which it finds the same (a patient, a camera) go to one part.
        balance: Whether training shows images of rare classes more often; if None, where the largest class has more
            than ten times as many images as the smallest.
        skip_broken: Whether to leave out images that cannot be decoded, instead of raising an error.
        generator: Whether to train the bundle's generator at the end (ten minutes, or what the time allows); `deploy`
            trains one if the bundle has none.
        baseline: Whether to train plain networks alone, each as long as the supernet was, and to compare the bundle's
            networks with them: one of the same family, and a well-known one.
        tensorboard: Folder for TensorBoard curves; needs the extra ``tensorboard``.
        dry_run: Whether to only report what would be done, how long it would take and what it needs.
        seed: Seed of all random choices.
        on_event: Receives progress.

    Returns:
        The settings, the numbers of images, and the figures of the training or, with `dry_run`, its estimate. Processes
        but the first get no figures. If the bundle was finished before, `already_finished` is true and nothing was
        done.

    Raises:
        DataError: The images cannot be used for training.
        OutputError: The folder cannot be written, or the disk has too little free space.
        UsageError: Settings are invalid, or the folder contains a run with other settings.
        WeightsMissingError: The initial weights are not on this machine.
    """
    from dataclasses import asdict

    from nagsdk.bundle.split import split_beside
    from nagsdk.bundle.task import TASK, task_of
    from nagsdk.bundle.write import check_name
    from nagsdk.images.folder import scan
    from nagsdk.training.plan import (
        DEFAULT_BATCH,
        DEFAULT_EPOCHS,
        DEFAULT_SUBNETS,
        Plan,
        finished,
        preprocessing_of,
        space_of,
    )
    from nagsdk.training.schedule import DEFAULT_MINUTES, SMALL, Counts

    ranges.check(epochs=epochs, batch=batch, subnets=subnets, seed=seed, minutes=minutes)
    if minutes is not None and (epochs is not None or recipe != "sandwich"):
        raise UsageError(
            "A time plans the recipe sandwich in steps, and leaves nothing to epochs or to other recipes.",
            "Give --minutes, or --epochs and --recipe.",
        )
    folder = Path(output)
    check_name(folder.name)
    check_replaceable(folder, BUNDLE)
    work = work_of(folder)
    found = scan(Path(data), split_beside(init), group_by, on_event)
    sizes = found.counts()["train"]
    if balance is None:
        balance = max(sizes) > _UNBALANCED * min(sizes)
    chosen = space_of(space, len(found.classes))
    amounts = Counts(*(len(found.parts[part].labels) for part in ("train", "val", "test")))
    few = amounts.train + amounts.val < SMALL and recipe == "sandwich"
    by_default = minutes is None and epochs is None and few
    if by_default:
        minutes = DEFAULT_MINUTES
    if minutes is None:
        epochs, batch, subnets = epochs or DEFAULT_EPOCHS, batch or DEFAULT_BATCH, subnets or DEFAULT_SUBNETS
    plan = Plan(
        found.fingerprint,
        chosen.to_dict(),
        init,
        recipe,
        epochs,
        batch,
        subnets,
        flip,
        seed,
        group_by,
        balance or None,
        minutes,
    )
    report: dict[str, Any] = {
        "bundle": str(folder),
        "split": found.split,
        "near_duplicates": found.alike.to_dict(),
        "plan": {key: value for key, value in asdict(plan).items() if key != "space"},
    }
    if (done := finished(folder, plan)) is not None:
        if baseline and not dry_run and not (task_of(done) or {}).get("plain"):
            raise UsageError(
                f"{folder} was finished without plain networks to compare with.",
                "Give another folder with --output, or leave out --baseline.",
            )
        facts = done.description.provenance
        used = {name: facts["images"][name] for name in found.parts}
        if not dry_run:
            done = _made_up(done, data, seed, generator, found.notes, skip_broken, on_event)
        task = {"task": task_of(done)} if TASK in done.files else {}
        return TrainingReport.of(
            {**report, **_images(found, used), "already_finished": True, **facts["figures"], **task}
        )

    # Importing torch takes seconds, so all checks that do not need it come before. A family that is told by how its
    # networks are built finds its layers now.
    with heard_by(on_event):
        _ = chosen.forest
    from nagsdk.images.decoded import counts, decode, square_side
    from nagsdk.supernet.passes import RECIPES
    from nagsdk.supernet.processes import together
    from nagsdk.training.baseline import PLAIN_NETWORKS
    from nagsdk.training.curves import Curves
    from nagsdk.training.estimate import estimate
    from nagsdk.training.planning import schedule_of
    from nagsdk.training.run import TrainingRun
    from nagsdk.training.start import first_weights
    from nagsdk.training.study import add_study
    from nagsdk.training.subnets import LEAST, require_enough
    from nagsdk.training.trained_time import SECONDS, TrainingTime
    from nagsdk.training.work import begun

    if recipe not in RECIPES:
        raise UsageError(f"{recipe!r} is not a training recipe.", f"Give one of {', '.join(RECIPES)}.")
    require_enough(chosen, subnets or LEAST)
    first_weights(init, chosen)
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        for note in found.notes:
            on_event(Notice(note, warning=True))
        if by_default:
            images = counted(amounts.train + amounts.val, "image")
            on_event(
                Notice(
                    f"A training of {minutes:g} minutes is planned, because {images} for training and validation are "
                    "few. --minutes sets another time, --epochs a number of epochs instead.",
                    warning=True,
                )
            )
        watch = TrainingTime(work / SECONDS, on_event)
        board = Path(tensorboard) if tensorboard is not None and ranks.first and not dry_run else None
        curves = Curves(work, board, watch.listen)
        schedule = begun(work, plan) or schedule_of(
            plan, chosen, preprocessing_of(chosen, init), amounts, generator, ranks, on_event
        )
        if not schedule.enough:
            weights = "pretrained weights (--init), " if init == "none" else ""
            on_event(
                Notice(
                    "In this time, the images are seen too seldom for a useful training. Give more --minutes, "
                    f"{weights}or a --space of smaller networks.",
                    warning=True,
                )
            )
        chosen = schedule.of(chosen)
        require_enough(chosen, schedule.subnets)
        parts = decode(found, square_side(chosen, preprocessing_of(chosen, init)), skip_broken, on_event)
        report |= {
            **_images(found, counts(parts, len(found.classes))),
            "already_finished": False,
            "processes": ranks.count,
        }
        listen = curves.listen if ranks.first else ignore
        run = TrainingRun(plan, schedule, found, parts, chosen, folder, ranks, lambda: watch.seconds, listen)
        if dry_run:
            run.check()
            facts = estimate(run)
            facts["estimate"]["baseline_s"] = PLAIN_NETWORKS * schedule.seconds["training"] if baseline else 0.0
            return TrainingReport.of({**report, **facts})
        with curves:
            figures = run.run()
        first = ranks.first
    if first:
        rival = (run.fresh(), watch.seconds) if baseline else None
        figures["task"] = add_study(folder, data, rival, found.notes, skip_broken, on_event)
    if first and generator and schedule.generator:
        with run.whole.part("generator"):
            add_generator(folder, seed, run.whole.listen, schedule.generator)
    return TrainingReport.of({**report, **figures})


def _images(found: ImageFolder, used: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "classes": {name: dict(zip(found.classes, counts, strict=True)) for name, counts in used.items()},
        "left_out": sum(map(sum, found.counts().values())) - sum(map(sum, used.values())),
    }


def _made_up(
    done: Bundle,
    data: str | Path,
    seed: int,
    generator: bool,
    notes: Sequence[str],
    skip_broken: bool,
    on_event: Listener,
) -> Bundle:
    """A finished bundle with its page and its generator, which an interrupted run may not have got to."""
    from nagsdk.bundle.bundle import Bundle
    from nagsdk.bundle.task import TASK

    lacks_page, lacks_generator = TASK not in done.files, generator and done.generator_file is None
    if not (lacks_page or lacks_generator):
        return done
    from nagsdk.supernet.processes import together
    from nagsdk.training.study import add_study

    with together() as ranks:
        first = ranks.first
    if first and lacks_page:
        add_study(done.folder, data, None, notes, skip_broken, on_event)
    if first and lacks_generator:
        add_generator(done.folder, seed, on_event)
    return Bundle(done.folder)
