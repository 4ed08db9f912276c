"""`nagsdk build`: brings the deployments that an app declares up to date, and pins them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import bundle_at_hand, load_bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.files import line_ends_advice, only_line_ends_differ
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import Failure, LockError, NagsdkError, UnknownNameError, UnverifiedError, UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.manifest.manifest import MANIFEST, pinned_files
from nagsdk.manifest.result import HELD, MISSED, Measured, Predicted, Result, result_of
from nagsdk.plugin.host import host
from nagsdk.project import artifacts
from nagsdk.project.inputs import changed, inputs_of
from nagsdk.project.lock import LOCK, Entry, Inputs, LockFile, entry_of, read_lock, write_lock
from nagsdk.project.restore import is_current, restore
from nagsdk.project.toml import PROJECT, Declared, read_project
from nagsdk.project.waiting import alone

CURRENT, DEPLOYED, FAILED = "current", "deployed", "failed"


@dataclass(frozen=True)
class Outcome:
    """What `nagsdk build` did with one declared deployment.

    Attributes:
        name: Name of its table in nagsdk.toml.
        state: ``current`` (nothing was done), ``cache``, ``mirror`` or ``rebuilt`` (restored as it is pinned),
            ``deployed`` (built and pinned again), ``missed`` or ``failed``; the last two do not change earlier output.
        output: Folder of the deployment.
        budgets: What was asked for, as texts.
        verdict: ``held``, ``missed`` or ``unverified``; None if it failed.
        architecture: Text form of the architecture; None if it failed.
        predicted: Its predicted latency and top-1; None if it failed.
        measured: Its measured latency and top-1; None if it failed.
        sha256: SHA-256 of the artifact; None if there is none.
        measured_at: Time when the artifact was measured (ISO 8601, UTC); None if it never was.
        age_days: Days since that time.
        device: Device on which it was measured; None if it never was.
        device_fingerprint: Fingerprint of that device and its runtime.
        warnings: Things that the user should know.
        error: The error, if it failed.
    """

    name: str
    state: str
    output: str
    budgets: tuple[str, ...] = ()
    verdict: str | None = None
    architecture: str | None = None
    predicted: Predicted | None = None
    measured: Measured | None = None
    sha256: str | None = None
    measured_at: str | None = None
    age_days: float | None = None
    device: str | None = None
    device_fingerprint: str | None = None
    warnings: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def exit_code(self) -> int:
        """0 for success, 3 if the budget was missed, or the exit code of the error."""
        return self.error.exit_code if self.error is not None else 3 if self.state == MISSED else 0


@dataclass(frozen=True)
class BuildReport:
    """What `nagsdk build` did.

    Attributes:
        deployments: The deployments in the order of nagsdk.toml.
        lock: Path of nagsdk.lock.
    """

    deployments: tuple[Outcome, ...]
    lock: str

    @property
    def exit_code(self) -> int:
        """The exit code of the first deployment that did not succeed, else 0."""
        return next((outcome.exit_code for outcome in self.deployments if outcome.exit_code), 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything above, ready for JSON."""
        return asdict(self)


@naming_os_errors
def build(
    project: str | Path = PROJECT,
    names: Sequence[str] = (),
    *,
    locked: bool = False,
    require_verified: bool = False,
    on_event: Listener = ignore,
) -> BuildReport:
    """Brings declared deployments up to date.

    If the content of a deployment's inputs is as pinned, it is left alone, or restored if its output is missing or
    changed: by hash from the cache or mirror, or else by building it again from the pinned statistics. Other
    deployments are deployed and pinned. Each one is pinned as soon as it is finished, so that a failure of one does not
    affect the others. Failures that can be foreseen are reported before anything is built.

    Args:
        project: The nagsdk.toml, or its folder.
        names: Names of the deployments to bring up to date; all of them if empty. The others are left alone.
        locked: Deploys nothing: a deployment that is not pinned, or cannot be restored with the pinned hash, fails.
        require_verified: Refuses deployments that were never measured; an earlier measurement of the same artifact that
            the lock records counts.
        on_event: Receives progress events.

    Returns:
        The outcome of each of these deployments. Failures of deployments are part of it and are not raised.

    Raises:
        UsageError: nagsdk.toml is missing or not valid.
        UnknownNameError: It declares no deployment of a name.
        LockError: nagsdk.lock cannot be read.
        OutputError: nagsdk.lock cannot be written.
    """
    path = Path(project)
    path = path / PROJECT if path.is_dir() else path
    read = read_project(path)
    lock_path = read.folder / LOCK
    declares = [declared.name for declared in read.deployments]
    for name in names:
        if name not in declares:
            raise UnknownNameError.among("deployment", name, declares)
    updates = [
        _Update(declared, lock_path, read.mirror, locked, require_verified, on_event)
        for declared in read.deployments
        if not names or declared.name in names
    ]
    # Where nothing is to do, nothing is written, so that a read-only checkout is enough.
    if (done := _all_current(updates, read_lock(lock_path), declares)) is not None:
        return BuildReport(done, str(lock_path))
    outcomes = []
    with alone(read.folder):
        lock = read_lock(lock_path)
        plans: list[tuple[_Update, _Plan | NagsdkError]] = []
        for update in updates:
            try:
                plans.append((update, update.plan(lock.deployments.get(update.declared.name))))
            except NagsdkError as error:
                on_event(Notice(f"{update.declared.name} cannot be built. {error.message} {error.next_step}"))
                plans.append((update, error))
        for update, plan in plans:
            declared = update.declared
            try:
                if isinstance(plan, NagsdkError):
                    raise plan
                outcome, entry = update.run(plan)
            except NagsdkError as error:
                outcome, entry = update.outcome(FAILED, error=Failure.of(error)), None
            outcomes.append(outcome)
            if entry is not None:
                lock = LockFile(deployments={**lock.deployments, declared.name: entry})
                write_lock(lock_path, lock)
        kept = {name: entry for name, entry in lock.deployments.items() if name in declares}
        if not locked and len(kept) < len(lock.deployments):
            write_lock(lock_path, LockFile(deployments=kept))
    return BuildReport(tuple(outcomes), str(lock_path))


@dataclass(frozen=True)
class _Plan:
    """What to do for a deployment.

    Attributes:
        inputs: The inputs as they are now.
        pinned: The entry to restore; None if the deployment has to be built again.
        why: The reason for building it again.
    """

    inputs: Inputs
    pinned: Entry | None
    why: str


@dataclass(frozen=True)
class _Update:
    """Brings one deployment up to date; see `build` for the attributes."""

    declared: Declared
    lock: Path
    mirror: str | None
    locked: bool
    require_verified: bool
    listener: Listener

    def plan(self, entry: Entry | None) -> _Plan:
        """Decides what to do with the deployment.

        Raises:
            NagsdkError: It can be foreseen that the deployment fails.
        """
        now = inputs_of(self.declared)
        differs = [] if entry is None else changed(entry.inputs, now)
        unverified = self.require_verified and entry is not None and entry.manifest["verdict"] != HELD
        if self.locked:
            self._check_locked(entry, differs, unverified)
        if entry is not None and not differs and not unverified:
            return _Plan(now, entry, "")
        why = (
            "it is not pinned yet"
            if entry is None
            else f"{', '.join(differs)} changed"
            if differs
            else "it was never measured"
        )
        model = self.declared.arguments["model"]
        if model is None:
            host().strategy(self.declared.arguments["strategy"], load_bundle(self.declared.arguments["bundle"]))
        elif not Path(model).is_file():
            raise UsageError(f"The model {model} does not exist.", f"Correct model in {PROJECT}, or fetch the file.")
        return _Plan(now, None, why)

    def run(self, plan: _Plan) -> tuple[Outcome, Entry | None]:
        """Carries a plan out; returns the outcome, and the entry to pin if the deployment was built again."""
        if (entry := plan.pinned) is None:
            self.listener(Notice(f"{self.declared.name} is deployed: {plan.why}."))
            return self._deploy(plan.inputs)
        return self.current(plan) or self._done(
            restore(self.declared, entry, self.mirror, self.listener), entry.manifest
        ), None

    def current(self, plan: _Plan) -> Outcome | None:
        """The outcome if nothing is to do."""
        entry = plan.pinned
        if entry is None or not is_current(entry, self.declared.output):
            return None
        return self._done(CURRENT, entry.manifest)

    def _check_locked(self, entry: Entry | None, differs: list[str], unverified: bool) -> None:
        name = self.declared.name
        if entry is None:
            problem = f"{LOCK} does not pin {name}" if self.lock.exists() else f"There is no {LOCK} that pins {name}"
            raise LockError(f"{problem}.", f"Run nagsdk build without --locked, and check {LOCK} in.")
        bundle = bundle_at_hand(self.declared.arguments["bundle"])
        if entry is not None and "bundle" in differs and bundle is not None:
            digest = entry.inputs.bundle or ""
            if only_line_ends_differ(bundle.folder / DESCRIPTION, digest):
                raise LockError(f"{line_ends_advice(bundle.folder, [DESCRIPTION])}.", "Then build again.")
        if differs:
            raise LockError(
                f"{name} is no longer as {LOCK} pins it: {', '.join(differs)} changed.",
                f"Run nagsdk build without --locked, and check {LOCK} in.",
            )
        if unverified:
            raise UnverifiedError(
                f"{LOCK} has no measurement of {name}: it was built without its device.",
                "Build it on a machine that reaches the device, and check the lock in.",
            )

    def _deploy(self, now: Inputs) -> tuple[Outcome, Entry | None]:
        from nagsdk import api

        declared = self.declared
        arguments = dict(declared.arguments)
        deployment = api.deploy(
            arguments.pop("device"),
            **arguments,
            output=declared.output,
            require_verified=self.require_verified,
            on_event=self.listener,
        )
        if deployment.folder is None:
            return self.outcome(MISSED, deployment.result), None
        manifest = json.loads((deployment.folder / MANIFEST).read_bytes())
        for name, record in pinned_files(manifest).items():
            artifacts.keep(deployment.folder / name, record["sha256"])
        return self._done(DEPLOYED, manifest), entry_of(now, manifest, deployment.statistics)

    def _done(self, state: str, manifest: dict[str, Any]) -> Outcome:
        outcome = replace(self.outcome(state, result_of(manifest)), sha256=manifest["artifact"]["sha256"])
        if manifest["verdict"] != HELD:
            return outcome
        age = (datetime.now(UTC) - datetime.fromisoformat(manifest["created_at"])).total_seconds() / 86400
        return replace(
            outcome,
            measured_at=manifest["created_at"],
            age_days=round(age, 3),
            device=manifest["device"],
            device_fingerprint=manifest["device_fingerprint"],
        )

    def outcome(self, state: str, result: Result | None = None, error: Failure | None = None) -> Outcome:
        """The outcome of the deployment.

        Args:
            state: See `Outcome`.
            result: What is known about its model; None if it failed.
            error: Why it failed.
        """
        arguments = self.declared.arguments
        top1 = [] if arguments["min_top1"] is None else [f"a top-1 of at least {arguments['min_top1']:g} %"]
        outcome = Outcome(
            self.declared.name, state, str(self.declared.output), (*map(str, arguments["budget"]), *top1), error=error
        )
        return (
            outcome
            if result is None
            else replace(
                outcome,
                verdict=result.verdict,
                architecture=result.architecture,
                predicted=result.predicted,
                measured=result.measured,
                warnings=result.warnings,
            )
        )


def _all_current(updates: Sequence[_Update], lock: LockFile, declares: Sequence[str]) -> tuple[Outcome, ...] | None:
    """The outcomes if nothing is to do for any deployment, and the lock needs no change."""
    # What is no longer declared leaves the lock; what is not pinned yet is not current.
    if not all(update.locked for update in updates) and not lock.deployments.keys() <= set(declares):
        return None
    outcomes = []
    for update in updates:
        try:
            outcome = update.current(update.plan(lock.deployments.get(update.declared.name)))
        except NagsdkError:
            return None  # reported when it is tried again, by the one process that may build
        if outcome is None:
            return None
        outcomes.append(outcome)
    return tuple(outcomes)
