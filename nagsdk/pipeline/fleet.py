"""`nagsdk fleet`: the few models that serve a population of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nagsdk import ranges
from nagsdk.budget import LATENCY, Budget
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.common.wording import counted
from nagsdk.cost.table import Floats, exact_table
from nagsdk.errors import BudgetError, InfeasibleError
from nagsdk.events import Listener, ignore, stage
from nagsdk.generator.location import Location, locate
from nagsdk.manifest.fleet import Fleet, FleetDevice, FleetModel, FleetSelector, FleetSize
from nagsdk.pipeline.fleet_candidates import candidates
from nagsdk.pipeline.population import Member, members_of, read_population
from nagsdk.pipeline.selector import Selector, selector
from nagsdk.plugin.units import read_budget
from nagsdk.space.space import Codes

MOST_MODELS = 4
# Each further model is work for the team; it must gain so many points of mean top-1 over the population.
_WORTH = 0.3
_USUAL_CONFIDENCE = 0.9


@naming_os_errors
def fleet(
    population: str | Path,
    budget: str | Budget,
    share: float,
    *,
    bundle: str | Path | Bundle = "glyphs",
    models: int | None = None,
    output: str | Path | None = None,
    threads: int | None = None,
    precision: str | None = None,
    images: str | Path | None = None,
    timing_only: bool = False,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Fleet:
    """Chooses the few models that serve a population of devices, and which device takes which.

    The mean top-1 over the population is the highest that the candidates allow while the budget holds for the share.

    Args:
        population: File that describes the devices and their shares (fleet.toml; docs/fleet.md).
        budget: A latency such as ``"80ms"`` or ``"80ms@p90"``.
        share: Share of the users in per cent for whom the budget shall hold.
        bundle: Name of a shipped bundle, the folder of a bundle, or a `Bundle`.
        models: Number of models, at most 4; the fewest that are worth it if None.
        output: New folder for the models, the selector and the report; nothing is written if None.
        threads: Threads of one inference; each device's default if None.
        precision: Number format; each device's default if None.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        timing_only: Builds without images, so that the accuracy of the files is worthless.
        seed: Seed of all random choices.
        on_event: Called with every progress event.

    Returns:
        The models, the devices, and what fewer and more models would give.

    Raises:
        UsageError: The file is not valid, or the budget is not a latency.
        InfeasibleError: No choice of models holds the budget for that share.
        DeviceUnavailableError: Nothing is known of the latencies of a device.
    """
    from nagsdk.pipeline.fleet_files import FleetFiles

    ranges.check(share=share, models=models, seed=seed)
    asked = _latency(budget)
    path, opened = Path(population), load_bundle(bundle, on_event)
    file = read_population(path)
    opened.require_predictor()
    members = members_of(file, path.parent, opened, threads, precision, on_event)
    files = None if output is None else FleetFiles(Path(output), None if images is None else Path(images), timing_only)
    if files is not None:
        files.check(members)
    with stage(on_event, "Asking for candidates", None):
        codes, top1 = candidates(members, asked, seed)
    fits = np.array([member.chances(codes, asked) for member in members])
    shares = np.array([member.share for member in members])
    found = _located(top1, fits, shares, share, models or MOST_MODELS, asked, on_event)
    best = list(found.values())[-1] if models is not None else _fewest(list(found.values()))
    result, rule = _described(members, asked, share, codes, top1, fits, found, best)
    return result if files is None else files.write(result, rule, members, codes[list(best.models)], best, seed)


def _latency(budget: str | Budget) -> Budget:
    asked = read_budget(budget) if isinstance(budget, str) else budget
    if asked.metric != LATENCY or asked.sustained_s is not None:
        raise BudgetError(f"A fleet cannot be chosen for {asked}.", "Give a latency, such as 80ms or 80ms@p90.")
    return asked


def _located(
    top1: Floats, fits: Floats, shares: Floats, share: float, most: int, budget: Budget, on_event: Listener
) -> dict[int, Location]:
    """The best choice for every number of models with which the budget can be held."""
    found: dict[int, Location] = {}
    failed: InfeasibleError | None = None
    with stage(on_event, "Choosing models", most) as advance:
        for count in range(1, most + 1):
            try:
                found[count] = locate(top1, fits, shares, share / 100, count)
            except InfeasibleError as error:
                failed = error
            advance(count, "Choosing models")
    if not found:
        assert failed is not None
        largest = np.floor(1000 * failed.excess) / 10
        reach = (
            f"one for each device would hold it for {largest:g} %" if largest < share else "more of them would hold it"
        )
        raise InfeasibleError(
            f"{counted(most, 'model')} cannot hold {budget} for {share:g} % of the users; {reach}.",
            "Ask for a larger budget, a smaller share, or more models.",
        ) from failed
    return found


def _fewest(found: Sequence[Location]) -> Location:
    """The smallest number of models than which no larger one gains enough with each further model."""
    for number, one in enumerate(found):
        if all(other.top1 - one.top1 < _WORTH * more for more, other in enumerate(found[number + 1 :], 1)):
            return one
    raise AssertionError("nothing lies behind the largest number")


def _described(
    members: Sequence[Member],
    budget: Budget,
    share: float,
    codes: Codes,
    top1: Floats,
    fits: Floats,
    found: Mapping[int, Location],
    best: Location,
) -> tuple[Fleet, Selector]:
    bundle = members[0].target.bundle
    texts = [a.text for a in bundle.space.decode(codes)]
    macs = exact_table(bundle.space, lambda layer: float(layer.macs)).cost(codes)
    names = {number: f"model-{place}" for place, number in enumerate(best.models, 1)}
    chosen = list(best.models)
    rule = selector(members, codes[chosen], top1[chosen], [names[n] for n in chosen], budget, share / 100)
    devices = [
        _device(member, names[int(number)], codes[[number]], fit[number], budget)
        for member, number, fit in zip(members, best.model_of, fits, strict=True)
    ]
    taken = [FleetModel(
        names[n], texts[n], float(top1[n]), round(float(macs[n])),
        sum(device.share for device in devices if device.model == names[n]), {},
    ) for n in chosen]  # fmt: skip
    sizes = [
        FleetSize(count, one.top1, 100 * one.held, [texts[n] for n in one.models], one.gap, one.seconds)
        for count, one in found.items()
    ]
    told = FleetSelector(
        rule.models[-1], rule.confidence, rule.held, rule.top1, len(rule.text(str(budget), share)), rule.left_out
    )
    warnings = _warnings(devices, rule, share)
    return Fleet(bundle.name, str(budget), share, len(codes), taken, sizes, devices, told, warnings, None), rule


def _device(member: Member, name: str, code: Codes, chance: float, budget: Budget) -> FleetDevice:
    own, model = budget.for_batch(member.device.batch), member.model
    confidence = min(_USUAL_CONFIDENCE, model.most_confidence)
    (latency,), (upper,) = model.mean(code), model.upper(code, confidence, own.percentile)
    factor = model.jitter.factor(own.percentile)
    return FleetDevice(
        member.title, 100 * member.share, name, float(latency) * factor, float(upper), own.limit, float(chance),
        model.source,
    )  # fmt: skip


def _warnings(devices: Sequence[FleetDevice], rule: Selector, share: float) -> list[str]:
    priors = sum(device.source != "calibration" for device in devices)
    found = [f"{priors} of {counted(len(devices), 'device')} are known from priors: nothing was measured on them."]
    found = found if priors else []
    unsuited = [device for device in devices if not device.chance]
    if unsuited:
        found.append(
            f"No chosen model suits {counted(len(unsuited), 'device')} ({sum(d.share for d in unsuited):.1f} % of the "
            "users): they take the fastest one."
        )
    if rule.held < share - 0.05:
        found.append(
            f"By chip and benchmark, phones are expected to hold the budget for {rule.held:.1f} % of the users, less "
            f"than {share:g} %."
        )
    if rule.left_out:
        found.append(f"{counted(rule.left_out, 'chip')} found no room in selector.json and follow the common rule.")
    return found
