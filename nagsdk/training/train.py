"""Bundles from a folder of images: training, true accuracy of subnets, accuracy predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import DESCRIPTION, GENERATOR, Bundle, load_bundle
from nagsdk.common.files import check_replaceable, sweep
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.space.architecture import Architecture

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
) -> dict[str, Any]:
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
        The plan and the counts of images; the figures, or with `dry_run` the estimate. Only counts in processes but the first. Where the
        finished bundle is there already, ``already_finished`` is true and nothing was done.

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
        return {**report, **_images(found, used), "already_finished": True, **facts["figures"]}

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
        listener = on_event if ranks.first else ignore
        for note in found.notes:
            listener(Notice(note, warning=True))
        work = folder.with_name(f"{folder.name}.work")
        curves = Curves(work, Path(tensorboard) if tensorboard is not None and ranks.first and not dry_run else None, listener)
        parts = decode(found, square_side(chosen, preprocessing_of(chosen)), skip_broken, listener)
        report |= {**_images(found, counts(parts, len(found.classes))), "already_finished": False, "processes": ranks.count}
        run = TrainingRun(plan, found, parts, chosen, folder, ranks, curves.listen if ranks.first else ignore)
        if dry_run:
            run.check()
            return {
                **report,
                "steps": run.steps,
                "passes": [asdict(r) for r in run.recipes],
                "estimate": run.estimate() | {"generator_s": _GENERATOR_S if generator else 0.0},
            }
        sweep(folder.parent)
        with curves:
            figures = run.run()
        first = ranks.first
    if first and generator:
        add_generator(folder, seed, on_event)
    return {**report, **figures}


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


def middle_budget(bundle: str | Path) -> str:
    """A budget that limits something for any device: half-way between the MACs of the smallest and of the largest architecture.

    Args:
        bundle: Name or folder of a bundle.
    """
    from nagsdk.budget import MACS, Budget
    from nagsdk.space.space import extremes

    space = load_bundle(bundle).space
    ends = [space.macs(a) for a in space.decode(extremes(space))]
    return str(Budget(MACS, float(f"{sum(ends) / 2:.2g}")))


def add_generator(folder: Path, seed: int, on_event: Listener) -> None:
    """Trains a bundle's generator and puts it into its folder."""
    import tempfile

    from nagsdk.bundle.write import rewrite_bundle
    from nagsdk.training.generator import train_generator

    bundle = Bundle(folder)
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        train_generator(bundle=bundle, output=Path(work) / GENERATOR, seed=seed, on_event=on_event)
        rewrite_bundle(bundle, folder, [Path(work) / GENERATOR])


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
    from nagsdk.api import read
    from nagsdk.space.space import extremes
    from nagsdk.supernet.evaluate import measure, wilson
    from nagsdk.supernet.processes import together
    from nagsdk.training.source import Source

    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    opened.require_weights()
    given = read(opened, architectures, table) if architectures or table is not None else opened.space.decode(extremes(opened.space))
    with together() as ranks:
        listener = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, listener)
        top1 = measure(opened.supernet, given, source.recalibration, source.shown("test"), listener, ranks)
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


def fit_predictor(
    *,
    bundle: str | Path | Bundle,
    data: str | Path,
    output: str | Path,
    subnets: int = 300,
    skip_broken: bool = False,
    generator: bool = True,
    seed: int = 0,
    on_event: Listener = ignore,
) -> dict[str, Any]:
    """Measures subnets of a bundle on a folder of images and leaves the bundle with a predictor fitted on them.

    Subnets are chosen all over the space first, then near the frontier. What was measured is kept beside the output, in
    ``<output>.work``, so that a run that was killed goes on; under torchrun the processes share the subnets.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        data: Folder of images, whose ``val`` part counts.
        output: Folder of the new bundle; may be that of the old.
        subnets: How many to measure.
        skip_broken: See `train`.
        generator: See `train`; an earlier generator belongs to the earlier predictor and is left out.
        seed: Of everything random.
        on_event: Receives progress.

    Returns:
        The predictor's card; empty in processes but the first.
    """
    from nagsdk.bundle.write import rewrite_bundle
    from nagsdk.predictor.model import CARD, WEIGHTS
    from nagsdk.supernet.evaluate import measure
    from nagsdk.supernet.processes import together
    from nagsdk.training.source import Source
    from nagsdk.training.subnets import fit_measured, measure_subnets, require_enough

    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    opened.require_weights()
    folder = Path(output)
    check_replaceable(folder, DESCRIPTION, "a bundle")
    require_enough(opened.space, subnets)
    with together() as ranks:
        listener = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, listener)
        # What is kept belongs to one supernet, one folder as it is now, and one choice of subnets.
        work = folder.with_name(f"{folder.name}.work") / f"{opened.weights_sha256[:16]}-{source.fingerprint}-{subnets}-{seed}"
        codes, top1 = measure_subnets(
            opened.space,
            lambda given: measure(opened.supernet, given, source.recalibration, source.shown("val"), listener, ranks),
            subnets,
            work / "measured.csv",
            seed,
            ranks,
            listener,
        )
        if not ranks.first:
            return {}
    card = dict(fit_measured(opened.space, codes, top1, source.count("val"), work, seed, on_event).card)
    rewrite_bundle(opened, folder, [work / name for name in (WEIGHTS, CARD, "measured.csv")], without=[GENERATOR])
    if generator:
        add_generator(folder, seed, on_event)
    return card
