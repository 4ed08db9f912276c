"""Bundles from a folder of images: training, true accuracy of subnets, accuracy predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import DESCRIPTION
from nagsdk.common.files import check_replaceable, sweep
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.training.predictor import add_generator
from nagsdk.training.report import TrainingReport

if TYPE_CHECKING:
    from nagsdk.images.folder import ImageFolder

# docs/generator.md: on one core, for the space mobilenetv3.
_GENERATOR_S = 600.0


def train(
    *,
    data: str | Path,
    output: str | Path,
    space: str = "mobilenetv3",
    init: str = "none",
    recipe: str = "sandwich",
    epochs: int = 60,
    batch: int = 64,
    subnets: int = 300,
    flip: bool = True,
    skip_broken: bool = False,
    generator: bool = True,
    tensorboard: str | Path | None = None,
    dry_run: bool = False,
    seed: int = 0,
    on_event: Listener = ignore,
) -> TrainingReport:
    """Turns a folder of images into a bundle; see docs/training.md.

    A run that was killed goes on where it was when it is started again with the same arguments. Under torchrun all processes
    share the work.

    Args:
        data: Folder with one subfolder of images for each class, or with such folders ``train`` and ``val`` (and ``test``).
        output: The bundle's folder, whose name is the bundle's; the work in progress lies beside it, in ``<output>.work``.
        space: ``mobilenetv3`` (160 to 224 pixels), ``small`` (32 to 48 pixels), or a JSON file.
        init: ``none``, ``ofa`` (see 'nagsdk bundle pull imagenet'), or a file of weights of the space.
        recipe: ``sandwich`` (BigNAS) or ``shrinking`` (Once-for-All).
        epochs: Over the training images.
        batch: Images per step, of all processes together.
        subnets: Measured for the accuracy predictor.
        flip: Whether training mirrors images; letters and signs must not be.
        skip_broken: Leaves images out that cannot be decoded, instead of refusing them.
        generator: Whether the bundle's generator is trained at the end (ten minutes); `deploy` makes one where a bundle brings none.
        tensorboard: Folder for TensorBoard's curves; needs the extra ``tensorboard``.
        dry_run: Only tells what would be done, how long it would take and what it needs.
        seed: Of everything random.
        on_event: Receives progress.

    Returns:
        The plan and the counts of images; the figures, or with `dry_run` the estimate. In processes but the first only counts. Where
        the finished bundle is there already, `already_finished` is true and nothing was done.

    Raises:
        DataError: Nothing can be trained on the images.
        OutputError: The folder cannot be written, or the disk has too little room.
        UsageError: Settings that do not fit, or a run with other settings was begun or finished here.
        WeightsMissingError: Once-for-All's weights are not on this machine.
    """
    from dataclasses import asdict

    from nagsdk.bundle.write import check_name
    from nagsdk.images.folder import scan
    from nagsdk.training.plan import Plan, finished, space_of

    folder = Path(output)
    check_name(folder.name)
    check_replaceable(folder, DESCRIPTION, "a bundle")
    found = scan(Path(data))
    chosen = space_of(space, len(found.classes))
    plan = Plan(found.fingerprint, chosen.to_dict(), init, recipe, epochs, batch, subnets, flip, seed)
    report: dict[str, Any] = {
        "bundle": str(folder),
        "split": found.split,
        "plan": {key: value for key, value in asdict(plan).items() if key != "space"},
    }
    if (done := finished(folder, plan)) is not None:
        facts = done.description.provenance
        used = {name: facts["images"][name] for name in found.parts}
        if generator and not dry_run and done.generator_file is None:
            _add_generator_once(folder, seed, on_event)
        return TrainingReport.of({**report, **_images(found, used), "already_finished": True, **facts["figures"]})

    # Torch takes seconds to import: all that needs none is refused before.
    from nagsdk.images.decoded import counts, decode, square_side
    from nagsdk.supernet.passes import RECIPES
    from nagsdk.supernet.processes import together
    from nagsdk.training.curves import Curves
    from nagsdk.training.run import TrainingRun, first_weights, preprocessing_of
    from nagsdk.training.subnets import require_enough

    if recipe not in RECIPES:
        raise UsageError(f"{recipe!r} is no recipe.", f"Known: {', '.join(RECIPES)}.")
    if epochs < 1 or batch < 2:
        raise UsageError("Too few epochs or images per batch.", "Give at least 1 and 2.")
    require_enough(chosen, subnets)
    first_weights(init, chosen)
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        for note in found.notes:
            on_event(Notice(note, warning=True))
        work = folder.with_name(f"{folder.name}.work")
        curves = Curves(
            work, Path(tensorboard) if tensorboard is not None and ranks.first and not dry_run else None, on_event
        )
        parts = decode(found, square_side(chosen, preprocessing_of(chosen)), skip_broken, on_event)
        report |= {
            **_images(found, counts(parts, len(found.classes))),
            "already_finished": False,
            "processes": ranks.count,
        }
        run = TrainingRun(plan, found, parts, chosen, folder, ranks, curves.listen if ranks.first else ignore)
        if dry_run:
            run.check()
            estimate = run.estimate() | {"generator_s": _GENERATOR_S if generator else 0.0}
            return TrainingReport.of(
                {**report, "steps": run.steps, "passes": [asdict(r) for r in run.recipes], "estimate": estimate}
            )
        sweep(folder.parent)
        with curves:
            figures = run.run()
        first = ranks.first
    if first and generator:
        add_generator(folder, seed, on_event)
    return TrainingReport.of({**report, **figures})


def _images(found: ImageFolder, used: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "classes": {name: dict(zip(found.classes, counts, strict=True)) for name, counts in used.items()},
        "left_out": sum(map(sum, found.counts().values())) - sum(map(sum, used.values())),
    }


def _add_generator_once(folder: Path, seed: int, on_event: Listener) -> None:
    from nagsdk.supernet.processes import together

    with together() as ranks:
        first = ranks.first
    if first:
        add_generator(folder, seed, on_event)
