"""`nagsdk build`: brings the deployments that an app declares up to date, and pins them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import load_bundle
from nagsdk.common.files import writing
from nagsdk.common.folders import cache_folder
from nagsdk.errors import Failure, LockError, NagsdkError, OutputError, UnverifiedError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.manifest.manifest import MANIFEST, pinned_files
from nagsdk.manifest.result import HELD, MISSED
from nagsdk.plugin.host import host
from nagsdk.project import artifacts
from nagsdk.project.inputs import changed, inputs_of
from nagsdk.project.lock import LOCK, Entry, Inputs, LockFile, entry_of, read_lock, write_lock
from nagsdk.project.restore import is_current, restore
from nagsdk.project.toml import PROJECT, Declared, read_project

CURRENT, DEPLOYED, FAILED = "current", "deployed", "failed"
_WAIT_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What became of one declared deployment.

    Attributes:
        name: Of its table in nagsdk.toml.
        state: ``current`` (nothing was done), ``cache``, ``mirror`` or ``rebuilt`` (brought as it is pinned), ``deployed`` (built and
            pinned anew), ``missed`` or ``failed``; the last two leave an earlier output as it was.
        output: Its folder.
        verdict: ``held``, ``missed`` or ``unverified``; None where it failed.
        architecture: Text form; None where it failed.
        sha256: Of the artifact; None where none was left.
        measured_at: When the artifact was measured (ISO 8601, UTC); None where it never was.
        age_days: How long ago that is.
        device: On which device; None where it never was.
        device_fingerprint: Of that device and its runtime.
        warnings: What must not be overlooked.
        error: Why it failed.
    """

    name: str
    state: str
    output: str
    verdict: str | None = None
    architecture: str | None = None
    sha256: str | None = None
    measured_at: str | None = None
    age_days: float | None = None
    device: str | None = None
    device_fingerprint: str | None = None
    warnings: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def exit_code(self) -> int:
        """0, 3 where the budget was missed, or that of the error."""
        return self.error.exit_code if self.error is not None else 3 if self.state == MISSED else 0


@dataclass(frozen=True)
class BuildReport:
    """What `nagsdk build` did.

    Attributes:
        deployments: In the order of nagsdk.toml.
        lock: Path of nagsdk.lock.
    """

    deployments: tuple[Outcome, ...]
    lock: str

    @property
    def exit_code(self) -> int:
        """That of the first deployment that did not end well, else 0."""
        return next((outcome.exit_code for outcome in self.deployments if outcome.exit_code), 0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def build(
    project: str | Path = PROJECT, *, locked: bool = False, require_verified: bool = False, on_event: Listener = ignore
) -> BuildReport:
    """Brings all declared deployments up to date.

    One whose inputs are as they are pinned, by content, is left alone, or brought back as it is pinned where its output is missing or
    altered: by hash from the cache or mirror, else built again from the pinned statistics. Others are deployed and pinned. Each is
    pinned as soon as it is there: what ends one leaves the others. What can be known to fail is told before anything is built.

    Args:
        project: The nagsdk.toml, or its folder.
        locked: Deploys nothing: what is not pinned, or cannot be had with the pinned hash, fails.
        require_verified: Refuses deployments that were never measured; a measurement of the very same artifact in the lock counts.
        on_event: Receives progress.

    Returns:
        What became of each; failures are in there and are not raised.

    Raises:
        UsageError: nagsdk.toml is missing or not valid.
        LockError: nagsdk.lock cannot be read.
        OutputError: nagsdk.lock cannot be written.
    """
    path = Path(project)
    path = path / PROJECT if path.is_dir() else path
    read = read_project(path)
    lock_path = read.folder / LOCK
    outcomes = []
    with _alone(read.folder):
        lock = read_lock(lock_path)
        plans: list[tuple[_Bringing, _Plan | NagsdkError]] = []
        for declared in read.deployments:
            bringing = _Bringing(declared, lock_path, read.mirror, locked, require_verified, on_event)
            try:
                plans.append((bringing, bringing.plan(lock.deployments.get(declared.name))))
            except NagsdkError as error:
                on_event(Notice(f"{declared.name} cannot be built. {error.message} {error.next_step}"))
                plans.append((bringing, error))
        for bringing, plan in plans:
            declared = bringing.declared
            try:
                if isinstance(plan, NagsdkError):
                    raise plan
                outcome, entry = bringing.bring(plan)
            except NagsdkError as error:
                outcome, entry = Outcome(declared.name, FAILED, str(declared.output), error=Failure.of(error)), None
            outcomes.append(outcome)
            if entry is not None:
                lock = LockFile(deployments={**lock.deployments, declared.name: entry})
                write_lock(lock_path, lock)
        names = {declared.name for declared in read.deployments}
        if not locked and not lock.deployments.keys() <= names:
            write_lock(
                lock_path,
                LockFile(deployments={name: entry for name, entry in lock.deployments.items() if name in names}),
            )
    return BuildReport(tuple(outcomes), str(lock_path))


@dataclass(frozen=True)
class _Plan:
    """What is to be done for a deployment: bring what is pinned, or, where that is None, build it anew, and why."""

    inputs: Inputs
    pinned: Entry | None
    why: str


@dataclass(frozen=True)
class _Bringing:
    """One deployment's way to being up to date."""

    declared: Declared
    lock: Path
    mirror: str | None
    locked: bool
    require_verified: bool
    listener: Listener

    def plan(self, entry: Entry | None) -> _Plan:
        """What is to be done.

        Raises:
            NagsdkError: It cannot be done, as far as that shows without building anything.
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
        load_bundle(self.declared.arguments["bundle"])
        host().strategies.get(self.declared.arguments["strategy"])
        return _Plan(now, None, why)

    def bring(self, plan: _Plan) -> tuple[Outcome, Entry | None]:
        """What became of it, and what to pin anew, if anything."""
        if (entry := plan.pinned) is None:
            self.listener(Notice(f"{self.declared.name} is deployed: {plan.why}."))
            return self._deploy(plan.inputs)
        state = (
            CURRENT
            if is_current(entry, self.declared.output)
            else restore(self.declared, entry, self.mirror, self.listener)
        )
        return self._outcome(state, entry.manifest), None

    def _check_locked(self, entry: Entry | None, differs: list[str], unverified: bool) -> None:
        name = self.declared.name
        if entry is None:
            lacking = (
                f"{LOCK} does not pin {name}" if self.lock.exists() else f"There is no {LOCK}, which would pin {name}"
            )
            raise LockError(f"{lacking}.", f"Run nagsdk build without --locked, and check {LOCK} in.")
        if differs:
            raise LockError(
                f"{name} is not what {LOCK} pins: {', '.join(differs)} changed.",
                f"Run nagsdk build without --locked, and check {LOCK} in.",
            )
        if unverified:
            raise UnverifiedError(
                f"{LOCK} holds no measurement of {name}: it was built without its device.",
                "Build it where the device is, and check the lock in.",
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
            result = deployment.result
            return Outcome(
                declared.name, MISSED, str(declared.output), MISSED, result.architecture, warnings=result.warnings
            ), None
        manifest = json.loads((deployment.folder / MANIFEST).read_bytes())
        for name, record in pinned_files(manifest).items():
            artifacts.keep(deployment.folder / name, record["sha256"])
        return self._outcome(DEPLOYED, manifest), entry_of(now, manifest, deployment.statistics)

    def _outcome(self, state: str, manifest: dict[str, Any]) -> Outcome:
        known = manifest["verdict"] == HELD
        age = (datetime.now(UTC) - datetime.fromisoformat(manifest["created_at"])).total_seconds() / 86400
        return Outcome(
            self.declared.name,
            state,
            str(self.declared.output),
            manifest["verdict"],
            manifest["architecture"],
            manifest["artifact"]["sha256"],
            manifest["created_at"] if known else None,
            round(age, 3) if known else None,
            manifest["device"] if known else None,
            manifest["device_fingerprint"] if known else None,
            tuple(manifest["warnings"]),
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time build a project: build tools start several."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    path = cache_folder() / "locks" / f"build-{name}.lock"
    lock = FileLock(path, timeout=_WAIT_S)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"Another process has been building {folder} for an hour.", "Wait for it, or end it."
            ) from error
    try:
        yield
    finally:
        lock.release()
