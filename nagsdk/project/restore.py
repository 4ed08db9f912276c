"""A deployment as nagsdk.lock pins it: taken by hash, or built again from the stored statistics, byte for byte."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import bundle_at_hand
from nagsdk.common.files import check_replaceable, sha256, staged, sweep
from nagsdk.errors import LockError, NagsdkError
from nagsdk.events import Listener, Notice, stage
from nagsdk.manifest.manifest import MANIFEST, companions, is_pinned, pinned_files
from nagsdk.project import artifacts
from nagsdk.project.lock import Entry
from nagsdk.project.toml import Declared

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target

REBUILT = "rebuilt"


def is_current(entry: Entry, folder: Path) -> bool:
    """Whether a folder holds what is pinned, by content."""
    from nagsdk.reports.page import REPORT

    manifest = folder / MANIFEST
    if not manifest.is_file() or manifest.read_bytes() != entry.manifest_bytes() or not (folder / REPORT).is_file():
        return False
    return all(is_pinned(folder / name, record) for name, record in pinned_files(entry.manifest).items())


def restore(declared: Declared, entry: Entry, mirror: str | None, listener: Listener) -> str:
    """Leaves a deployment as it is pinned.

    Args:
        declared: Where to leave it, and what it is built from.
        entry: What is pinned.
        mirror: See `nagsdk.project.artifacts.take`.
        listener: Receives progress.

    Returns:
        Where the artifact came from: ``cache``, ``mirror`` or ``rebuilt``.

    Raises:
        LockError: It cannot be had with the pinned hash.
        OutputError: The output folder holds something else, or cannot be written.
    """
    from nagsdk.reports.page import REPORT, deployment_page

    manifest = entry.manifest
    check_replaceable(declared.output, MANIFEST)
    sweep(declared.output.parent)
    with staged(declared.output) as folder:
        artifact, compiled = manifest["artifact"], manifest.get("compiled")
        model = folder / artifact["path"]
        source = artifacts.take(artifact, model, mirror, listener)
        if source is None:
            listener(
                Notice(
                    f"{declared.name}: no cache and no mirror has the artifact; it is built again from the pinned statistics."
                )
            )
            with tempfile.TemporaryDirectory(
                prefix="nagsdk-"
            ) as work:  # backends may leave other files beside an artifact
                built = Path(work) / artifact["path"]
                _rebuild(declared, entry, built, listener)
                artifacts.keep(built, artifact["sha256"])
                shutil.copyfile(built, model)
            source = REBUILT
        if compiled is not None and artifacts.take(compiled, folder / compiled["path"], mirror, listener) is None:
            _compile(declared, entry, model, folder, listener)
        bundle = bundle_at_hand(declared.arguments["bundle"])
        for name, content in companions(manifest["preprocessing"], None if bundle is None else bundle.labels).items():
            (folder / name).write_bytes(content)
        for name, record in pinned_files(manifest).items():
            if bundle is None and not (folder / name).is_file():
                artifacts.take(record, folder / name, mirror, listener)
            if not is_pinned(folder / name, record):
                raise LockError(
                    f"{name} of {declared.name} cannot be had as it is pinned.",
                    "Use the pinned bundle, or a cache or mirror that has the file, or build again without --locked.",
                )
        (folder / MANIFEST).write_bytes(entry.manifest_bytes())
        (folder / REPORT).write_bytes(deployment_page(manifest).encode())
    return source


def _rebuild(declared: Declared, entry: Entry, path: Path, listener: Listener) -> None:
    """Cuts the subnet out of the pinned weights, puts the pinned statistics in and exports it.

    Raises:
        LockError: Something that it is built from is not as it is pinned, or the file has another hash.
    """
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import restore_statistics

    manifest = entry.manifest
    with stage(listener, f"building {declared.name} again"):
        try:
            target = _target(declared, manifest, listener)
            weights = target.bundle.weights_sha256
            architecture = target.bundle.architecture(manifest["architecture"])
        except NagsdkError as error:
            raise LockError(f"{declared.name} cannot be built again: {error.message}", error.next_step) from error
        for what, here in (("space", target.bundle.space.fingerprint), ("weights", weights)):
            if manifest["hashes"].get(what) != here:
                raise LockError(
                    f"The {what} of {target.bundle.name} on this machine are not those that {declared.name} is pinned to.",
                    _MEND,
                )
        subnet = target.bundle.supernet.extract(architecture)
        restore_statistics(subnet, entry.statistics_bytes())
        target.backend.export(trace(subnet, architecture.resolution, target.device.batch), path, target.device)
    if sha256(path) != manifest["artifact"]["sha256"]:
        others = ", ".join(
            f"{name} {here} instead of {then}" for name, then, here in _other_versions(manifest["versions"])
        )
        raise LockError(
            f"{declared.name} was built again and is another file than the pinned one ({manifest['artifact']['sha256'][:16]}…).",
            f"Use the pinned versions ({others}), or a mirror that has the file." if others else _MEND,
        )


def _compile(declared: Declared, entry: Entry, model: Path, folder: Path, listener: Listener) -> None:
    """Compiles as the device's backend does; compilers seldom give the same bytes, so that a cache or mirror is the usual way."""
    pinned, target = entry.manifest["compiled"], _target(declared, entry.manifest, listener)
    target.require_presence()
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        compiled = target.backend.compile(model, target.device, Path(work))
        if not is_pinned(compiled, pinned):
            raise LockError(
                f"Compiling {declared.name} anew gives another file than the pinned {pinned['path']}.", _MEND
            )
        artifacts.keep(compiled, pinned["sha256"])
        shutil.copyfile(compiled, folder / pinned["path"])


def _target(declared: Declared, manifest: dict[str, Any], on_event: Listener) -> Target:
    from nagsdk.pipeline.target import Target

    arguments = declared.arguments
    settings = {name: arguments[name] for name in ("threads", "batch", "precision")}
    target = Target(arguments["device"], arguments["bundle"], **settings, on_event=on_event)
    # What timings on this machine say does not matter: the graph is written as it was.
    target.write_as((manifest["rewrite"] or {}).get("name"))
    return target


def _other_versions(pinned: dict[str, str]) -> list[tuple[str, str, str]]:
    found = []
    for name, then in pinned.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            continue  # Python itself
        if here != then:
            found.append((name, then, here))
    return found


_MEND = "Name a mirror or fill the cache with the pinned file, or build again without --locked."
