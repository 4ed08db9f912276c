"""Adds an accuracy predictor, fitted to subnets measured on a folder of images, and a generator to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nagsdk import ranges
from nagsdk.bundle.bundle import GENERATOR, Bundle, load_bundle
from nagsdk.bundle.ownership import BUNDLE
from nagsdk.common.memory import memory_kept
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.common.outputs import check_replaceable
from nagsdk.common.temporary import temporary_folder
from nagsdk.common.wording import counted
from nagsdk.events import Listener, ignore
from nagsdk.training.labelling import FRONTIER


def add_generator(folder: Path, seed: int, on_event: Listener, length: float = 1.0) -> None:
    """Trains the generator of the bundle in a folder and adds it to the bundle.

    Args:
        folder: Folder of the bundle.
        seed: Seed of all random choices.
        on_event: Receives progress.
        length: Length of the training as a share of the usual one.
    """
    from nagsdk.bundle.write import rewrite_bundle
    from nagsdk.training.generator import train_generator

    bundle = Bundle(folder)
    with temporary_folder() as work:
        train_generator(bundle=bundle, output=work / GENERATOR, seed=seed, length=length, on_event=on_event)
        rewrite_bundle(bundle, folder, [work / GENERATOR])


@naming_os_errors
@memory_kept()
def fit_predictor(
    *,
    bundle: str | Path | Bundle,
    data: str | Path,
    output: str | Path,
    subnets: int = 300,
    recipe: str = FRONTIER,
    skip_broken: bool = False,
    generator: bool = True,
    seed: int = 0,
    on_event: Listener = ignore,
) -> dict[str, Any]:
    """Measures subnets of a bundle on a folder of images and writes the bundle with a predictor fitted to them.

    Measurements are stored next to the output, in
    ``<output>.work``, so that a killed run can be resumed. Under torchrun, the processes share the subnets.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        data: Folder of images, whose ``val`` part is used.
        output: Folder of the new bundle, which may be that of the old one.
        subnets: Number of subnets to measure.
        recipe: How they are chosen: ``frontier`` takes them all over the space first, then near the frontier; the name
            of a strategy that learns from what is measured, such as ``linas``, takes those that it evaluates.
        skip_broken: Whether to leave out images that cannot be decoded, instead of raising an error.
        generator: Whether to train a generator at the end (ten minutes). An earlier generator belongs to the earlier
            predictor and is removed in any case.
        seed: Seed of all random choices.
        on_event: Receives progress.

    Returns:
        The card of the predictor; empty in all processes but the first.

    Raises:
        UnknownNameError: There is no such recipe.
    """
    from nagsdk.bundle.description import Footing
    from nagsdk.bundle.write import rewrite_bundle
    from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS
    from nagsdk.supernet.evaluate import measure
    from nagsdk.supernet.processes import together
    from nagsdk.training.footing import footing_of
    from nagsdk.training.labelling import labelling
    from nagsdk.training.losses import card_of_losses
    from nagsdk.training.schedule import BESIDE, BESIDE_FEW, FEW_SUBNETS
    from nagsdk.training.source import Source
    from nagsdk.training.subnets import fit_measured, measure_subnets, require_enough
    from nagsdk.training.work import work_of

    ranges.check(subnets=subnets, seed=seed)
    strategy = labelling(recipe)
    opened = load_bundle(bundle, on_event)
    opened.require_weights()
    folder = Path(output)
    check_replaceable(folder, BUNDLE)
    unfinished = work_of(folder)
    require_enough(opened.space, subnets)
    amounts = BESIDE if subnets > FEW_SUBNETS else BESIDE_FEW
    with together() as ranks:
        on_event = on_event if ranks.first else ignore
        source = Source.of(opened, data, skip_broken, on_event)
        # Measurements are valid for one supernet, one state of the folder of images and one choice of subnets only.
        choice = "" if strategy is None else f"-{strategy.id}"
        work = unfinished / f"{opened.weights_sha256[:16]}-{source.fingerprint}-{subnets}-{seed}{choice}"
        codes, top1 = measure_subnets(
            opened.space,
            lambda given: measure(opened.supernet, given, source.recalibration, source.shown("val"), on_event, ranks),
            subnets,
            work / "measured.csv",
            seed,
            ranks,
            on_event,
            strategy,
        )
        images, predictor = source.count("val"), None
        if ranks.first:
            predictor = fit_measured(opened.space, codes, top1, images, work, seed, on_event, strategy)
        footing = Footing(predicted_on=counted(images, "validation image"))
        if opened.has_test_images:
            own = Source(opened, None)
            tests = own.shown("test")
            footing = footing_of(
                opened.space,
                predictor,
                codes,
                lambda given: measure(opened.supernet, given, source.recalibration, tests, on_event, ranks),
                footing.predicted_on,
                seed,
                ranks,
                amounts.footing,
                own.count("test"),
            )
        if predictor is None:
            return {}
    shown = (source.recalibration, source.shown("val"), source.count("val"))
    predictor.card = {
        **predictor.card,
        **card_of_losses(opened.space, opened.supernet, *shown, seed, on_event, amounts.losses),
    }
    predictor.save(work)
    files = [work / name for name in (PREDICTOR_WEIGHTS, CARD, "measured.csv")]
    rewrite_bundle(opened, folder, files, without=[GENERATOR], footing=footing)
    if generator:
        add_generator(folder, seed, on_event)
    return dict(predictor.card)
