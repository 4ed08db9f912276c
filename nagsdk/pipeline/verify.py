"""`nagsdk verify`: checks whether a deployment is still what its manifest says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import ENERGY, LATENCY, MEASURED, Budget
from nagsdk.bundle.bundle import Bundle, bundle_at_hand, load_bundle
from nagsdk.common.files import line_ends_advice
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.common.temporary import temporary_folder
from nagsdk.common.wording import counted
from nagsdk.errors import DeviceError, Failure, NagsdkError, UnknownNameError
from nagsdk.events import Listener, ignore
from nagsdk.graph.parity import FEW_IMAGES, check, probe_image
from nagsdk.manifest.app_probe import read_probe
from nagsdk.manifest.manifest import MANIFEST, pinned_files, read_manifest, with_other_line_ends
from nagsdk.manifest.result import Measured, budget_of
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.app_evidence import judged, require_same_model
from nagsdk.pipeline.energy import energy_of
from nagsdk.pipeline.hot import longest_load, time_under_load, told_under_load
from nagsdk.pipeline.opened import OpenedDeployment, wrong_files
from nagsdk.pipeline.round import upper_limit
from nagsdk.pipeline.rule import Rule
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts
from nagsdk.pipeline.told import told
from nagsdk.pipeline.verdict import measured

PASSED, NOT_PASSED, SKIPPED = "passed", "failed", "skipped"
# Sessions in which other work slowed the device down all the time are taken again, at most so many.
_AGAIN = 2


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: ``hashes``, ``parity``, ``latency``, ``init`` and ``ram`` where budgets limit them, or ``probe``.
        state: ``passed``, ``failed`` or ``skipped``.
        detail: What was found, or why it was skipped.
    """

    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        folder: Folder of the deployment.
        checks: The checks of hashes, parity, latency, and of other limited figures.
        measured: The latencies measured now; empty if none were measured.
        error: The error that ended the checks early, such as a failed device; the remaining checks are ``skipped``.
    """

    folder: str
    checks: tuple[Check, ...]
    measured: Measured
    error: Failure | None = None

    @property
    def exit_code(self) -> int:
        """The error's exit code; 7 if files or outputs changed, 3 if a latency budget is missed, else 0."""
        failed = {check.name for check in self.checks if check.state == NOT_PASSED}
        if self.error is not None:
            return self.error.exit_code
        return 7 if failed & {"hashes", "parity"} else 3 if failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Everything above, ready for JSON."""
        return asdict(self)


@naming_os_errors
def verify(
    folder: str | Path,
    *,
    device: str | Path | None = None,
    bundle: str | Path | None = None,
    serial: str | None = None,
    probe: str | Path | None = None,
    lab: str | None = None,
    on_event: Listener = ignore,
) -> Verification:
    """Checks a deployment again: the hashes of its files, its outputs and, if the device is available, its latency.

    The outputs are compared with those of torch at the time of the deployment, which the manifest stores for an image
    made of integers: neither torch's weights nor images are needed. If the budgets limit the latency, it is measured
    in as many fresh sessions as the verdict rests on and compared as in `deploy`; only this needs the bundle.

    Args:
        folder: Folder that holds the manifest.json.
        device: Device to run the model on; the manifest's device if None. Needed if the manifest's device was
            described by a file.
        bundle: Bundle whose reference network is timed beside the model; the manifest's bundle if None.
        serial: Which of several attached phones is meant, or ``"host:port"`` of a phone that listens on the network.
        probe: File that the probe in an app wrote; the budgets are judged by it too. See docs/in-app.md.
        lab: Address of a lab whose device is meant, or ``"local"``; a device of this machine if None.
        on_event: Receives progress events.

    Returns:
        The results of all checks. A failure of the device is part of them and is not raised.

    Raises:
        UsageError: The folder is not a deployment, or the probe's file is not one or is about another model.
        DamagedBundleError: Its manifest is not valid.
        UnknownNameError: The given device or bundle is unknown.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    named = None if bundle is None else load_bundle(bundle, on_event)
    wrong, rewritten = wrong_files(folder, manifest), with_other_line_ends(folder, manifest)
    changed = [name for name in wrong if name not in rewritten]
    said = [f"{', '.join(changed)}: missing, or the hash differs from the manifest"] if changed else []
    said += [line_ends_advice(folder, rewritten)] if rewritten else []
    state, unchanged = NOT_PASSED if said else PASSED, f"{counted(len(pinned_files(manifest)), 'file')} unchanged"
    hashes = Check("hashes", state, "; ".join(said) or unchanged)
    budgets = [budget_of(record) for record in manifest["budgets"]]
    evidence = [] if probe is None else [_in_app(Path(probe), manifest, budgets)]
    names = ("parity", "latency", *(budget.metric for budget in budgets if budget.metric in MEASURED))
    # Labels and preprocessing mean the same with other line ends, a model does not.
    if changed or not set(rewritten) <= {MANIFEST, *manifest["files"]}:
        untrusted = (Check(name, SKIPPED, "files that were changed are not run") for name in names)
        return Verification(str(folder), (hashes, *untrusted, *evidence), Measured())
    checks, now, failure = [hashes], Measured(), None
    try:
        opened = OpenedDeployment.of(folder, device, serial, lab, on_event)
        checks.append(_parity(opened))
        if checks[-1].state == NOT_PASSED:
            checks += [Check(name, SKIPPED, "the model's outputs are wrong") for name in names[1:]]
        else:
            found, now = _figures(opened, budgets, named, on_event)
            checks += found
    except NagsdkError as error:
        unknown = isinstance(error, UnknownNameError)
        if unknown and device is not None:
            raise
        failure = None if unknown else Failure.of(error)
        why = (
            f"{error.message} Name the device, or the file that describes it, with --device"
            if unknown
            else error.message
        )
        checks += [Check(name, SKIPPED, why) for name in names[len(checks) - 1 :]]
    return Verification(str(folder), (*checks, *evidence), now, failure)


def _in_app(path: Path, manifest: dict[str, Any], budgets: list[Budget]) -> Check:
    """Judges the budgets by what an app measured."""
    probe = read_probe(path)
    require_same_model(probe, manifest)
    held, told = judged(probe, manifest, budgets)
    return Check("probe", PASSED if held else NOT_PASSED, told)


def _parity(opened: OpenedDeployment) -> Check:
    """Compares the outputs with those that the manifest stores."""
    probe = opened.preprocessing.normalised(probe_image(opened.manifest["resolution"])[None])
    expected = np.array([opened.manifest["probe"]["logits"]], np.float32)
    actual = opened.infer(probe)
    if actual is None:
        return Check("parity", SKIPPED, f"nothing on this machine runs the file: {opened.presence.reason}")
    try:
        of, tolerance = "torch", opened.backend.tolerance(opened.device)
        if opened.manifest.get("integers") is not None:
            of, tolerance = "its simulation in integers", FEW_IMAGES * tolerance
        elif "model" in opened.manifest["hashes"]:
            of = "the deployment"  # of a finished network, which torch did not compute
        error = check(expected, actual, tolerance, of)
    except DeviceError as difference:
        return Check("parity", NOT_PASSED, difference.message)
    return Check("parity", PASSED, f"outputs differ from those of {of} by {error:.1e} of their norm")


def _figures(
    opened: OpenedDeployment, asked: list[Budget], bundle: Bundle | None, on_event: Listener
) -> tuple[list[Check], Measured]:
    """Measures in as many fresh sessions as the verdict rests on, and compares what is limited as `deploy` does."""
    manifest = opened.manifest
    budgets = [budget for budget in asked if budget.metric == LATENCY]
    others = [budget for budget in asked if budget.metric in MEASURED]

    def skipped(why: str) -> tuple[list[Check], Measured]:
        return [Check(name, SKIPPED, why) for name in ("latency", *(budget.metric for budget in others))], Measured()

    if not budgets and not others:
        return skipped("no budget limits the latency")
    if not opened.presence.available:
        return skipped(f"{opened.device.id} is not available: {opened.presence.reason}")
    name = manifest["bundle"]
    bundle = bundle or bundle_at_hand(name)
    # Several bundles may have the same name.
    if bundle is None or bundle.space.fingerprint != manifest["hashes"].get("space"):
        missing = (
            f"the bundle {name}, whose reference network is timed beside the model, was not found; "
            "name its folder with --bundle"
        )
        return skipped(missing)
    target = Target(opened.device, bundle, on_event=on_event, backend=opened.backend)
    then = {"sessions": None, "known_spread": None, "latency_asked_ms": None, **manifest["measured"]}
    rule = Rule.of(target, [b for b in budgets if b.sustained_s is None], then["known_spread"])
    files, hot = {manifest["architecture"]: opened.compiled}, None
    with temporary_folder() as work:

        def session() -> Measurement:
            return time_artifacts(target, files, work, rule.protocol)[manifest["architecture"]]

        sessions = [session() for _ in range((then["sessions"] or rule.least) if rule.timed else 1)]
        for _ in range(_AGAIN):
            slowed = [m for m in sessions if not m.enough_quiet]
            if not slowed or not rule.missed(sessions):
                break
            sessions.remove(slowed[0])
            sessions.append(session())
        if longest_load(budgets) is not None:
            under_load = time_under_load(target, files, budgets)
            (hot,) = under_load.found.values()
        values = told(target, sessions[-1], others)
        if any(budget.metric == ENERGY for budget in others):
            values[ENERGY] = energy_of(target, opened.compiled).energy_mj
    checks = [_only_measured(values[budget.metric], budget) for budget in others]
    if not budgets:
        skips = Check("latency", SKIPPED, "no budget limits the latency")
        return [skips, *checks], measured(sessions, 50.0, rule.known_spread)
    missed, percentile = rule.missed(sessions), budgets[0].percentile
    if hot is not None:
        limits = [(upper_limit(hot, b.percentile), b) for b in budgets if b.sustained_s is not None]
        missed += [(limit, b) for limit, b in limits if limit > b.limit]
    now = measured(sessions if hot is None else [hot], percentile, rule.known_spread)
    pairs = {50.0: (now.latency_p50_ms, then["latency_p50_ms"])}
    pairs |= {percentile: (now.latency_asked_ms, then["latency_asked_ms"])} if percentile != 50 else {}
    detail = "; ".join(_compared(p, "" if hot is None else " under load", *pair) for p, pair in pairs.items())
    if hot is not None:
        cold = measured(sessions, percentile, rule.known_spread).latency_p50_ms
        now = replace(now, latency_cold_ms=cold)
        detail += f". {told_under_load(opened.device.id, under_load.load)} Without load: {cold:.4g} ms"
    detail += f"; means of {len(sessions)} sessions" * (hot is None and len(sessions) > 1)
    slowdown = max((m.typical_slowdown for m in sessions if not m.enough_quiet), default=None)
    if slowdown is not None:
        detail += f"; the device was never quiet ({slowdown:.2f} times slower than when nothing disturbs it)"
    if missed:
        detail += "".join(
            f"; its upper limit of {limit:.4g} ms exceeds the budget of {budget.limit:.4g} ms"
            + ("" if budget.images is None and budget.sustained_s is None else f" ({budget})")
            for limit, budget in missed
        )
        detail += "" if slowdown is None else ", which a quiet device may hold: verify again when nothing else runs"
    return [Check("latency", NOT_PASSED if missed else PASSED, detail), *checks], now


def _compared(percentile: float, load: str, now_ms: float | None, then_ms: float | None) -> str:
    then = "" if then_ms is None else f", {then_ms:.4g} ms when it was deployed"
    return f"p{percentile:g}{load} {now_ms:.4g} ms{then}"


def _only_measured(value: float, budget: Budget) -> Check:
    """Compares a figure that is only measured with its budget."""
    state = NOT_PASSED if value > budget.limit else PASSED
    exceeds = f", which exceeds the budget of {budget}" if value > budget.limit else ""
    return Check(budget.metric, state, f"{budget.text_of(value, 4)}{exceeds}")
