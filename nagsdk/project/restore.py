"""Restores a deployment as nagsdk.lock pins it: by hash, or built again byte for byte from the stored statistics."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.bundle.bundle import bundle_at_hand
from nagsdk.common.files import line_ends_advice, sha256
from nagsdk.common.outputs import check_replaceable, staged
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import LockError, NagsdkError
from nagsdk.events import Listener, Notice, stage
from nagsdk.manifest.manifest import (
    COMPANIONS,
    DEPLOYMENT,
    MANIFEST,
    MODEL,
    REPORT,
    companions,
    is_pinned,
    pinned_files,
    precision_of,
    with_other_line_ends,
)
from nagsdk.plugin.host import host
from nagsdk.project import artifacts
from nagsdk.project.inputs import device_of
from nagsdk.project.lock import LOCK, Entry
from nagsdk.project.toml import Declared

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target

REBUILT = "rebuilt"


def is_current(entry: Entry, folder: Path) -> bool:
    """Whether the content of a folder is as pinned."""
    manifest = folder / MANIFEST
    if not manifest.is_file() or manifest.read_bytes() != entry.manifest_bytes() or not (folder / REPORT).is_file():
        return False
    return all(is_pinned(folder / name, record) for name, record in pinned_files(entry.manifest).items())


def restore(declared: Declared, entry: Entry, mirror: str | None, listener: Listener) -> str:
    """Writes a deployment's folder as it is pinned.

    Args:
        declared: The declaration: output folder and inputs.
        entry: The pinned deployment.
        mirror: See `nagsdk.project.artifacts.take`.
        listener: Receives progress events.

    Returns:
        Where the artifact came from: ``cache``, ``mirror`` or ``rebuilt``.

    Raises:
        LockError: A file cannot be restored with the pinned hash.
        OutputError: The output folder holds something else, or cannot be written.
    """
    from nagsdk.reports.page import deployment_page

    manifest = entry.manifest
    _check_names(declared, manifest)
    if rewritten := with_other_line_ends(declared.output, manifest):
        listener(Notice(f"{declared.name}: {line_ends_advice(declared.output, rewritten)}.", warning=True))
    check_replaceable(declared.output, DEPLOYMENT)
    with staged(declared.output, DEPLOYMENT) as folder:
        artifact, compiled = manifest["artifact"], manifest.get("compiled")
        model = folder / artifact["path"]
        source = artifacts.take(artifact, model, mirror, listener)
        if source is None:
            listener(
                Notice(
                    f"{declared.name}: neither cache nor mirror has the artifact; it is built again from the pinned "
                    "statistics."
                )
            )
            # Built elsewhere, since backends may leave other files beside an artifact.
            with temporary_folder() as work:
                built = work / artifact["path"]
                _rebuild(declared, entry, built, listener)
                artifacts.keep(built, artifact["sha256"])
                shutil.copyfile(built, model)
            source = REBUILT
        if compiled is not None and artifacts.take(compiled, folder / compiled["path"], mirror, listener) is None:
            _compile(declared, entry, model, folder, listener)
        bundle = bundle_at_hand(declared.arguments["bundle"])
        labels = None if bundle is None or declared.arguments["model"] is not None else bundle.labels
        for name, content in companions(manifest["preprocessing"], labels).items():
            (folder / name).write_bytes(content)
        for name, record in pinned_files(manifest).items():
            if bundle is None and not (folder / name).is_file():
                artifacts.take(record, folder / name, mirror, listener)
            if not is_pinned(folder / name, record):
                raise LockError(
                    f"{name} of {declared.name} cannot be restored as it is pinned.",
                    "Use the pinned bundle, or a cache or mirror that has the file, or build again without --locked.",
                )
        (folder / MANIFEST).write_bytes(entry.manifest_bytes())
        (folder / REPORT).write_bytes(deployment_page(manifest).encode())
    return source


def _check_names(declared: Declared, manifest: dict[str, Any]) -> None:
    """Refuses names that no deployment for this device has: a lock file decides what is written, not where.

    Raises:
        LockError: The lock file has one.
    """
    backend = host().backends.get(device_of(declared.arguments["device"]).backend)
    wrong = {manifest["artifact"]["path"]} - {f"{MODEL}{backend.suffix}"} | set(manifest["files"]) - COMPANIONS
    if (compiled := manifest.get("compiled")) is not None:
        wrong |= {compiled["path"]} - ({f"{MODEL}{backend.compiled_suffix}"} if backend.compiled_suffix else set())
    if wrong:
        raise LockError(
            f"{LOCK} names {', '.join(sorted(wrong))}, which is no file of a deployment for this device.",
            f"Restore {LOCK} as it was checked in, or build again without --locked.",
        )


def _rebuild(declared: Declared, entry: Entry, path: Path, listener: Listener) -> None:
    """Writes the model file again, from the pinned weights and statistics or from the file of a finished network.

    Raises:
        LockError: An input is not as it is pinned, or the file has another hash.
    """
    manifest, model = entry.manifest, declared.arguments["model"]
    with stage(listener, f"Building {declared.name} again"):
        try:
            target = _target(declared, manifest, listener)
            if model is None:
                _extract(declared, entry, target, path)
            else:
                from nagsdk.pipeline.given import write_given

                write_given(target, Path(model), path)
        except LockError:
            raise
        except NagsdkError as error:
            raise LockError(f"{declared.name} cannot be built again: {error.message}", error.next_step) from error
    if sha256(path) != manifest["artifact"]["sha256"]:
        others = ", ".join(
            f"{name} {pinned} instead of {installed}"
            for name, pinned, installed in _other_versions(manifest["versions"])
        )
        raise LockError(
            f"{declared.name} was built again, and the result is another file than the pinned one "
            f"({manifest['artifact']['sha256'][:16]}…).",
            f"Use the pinned versions ({others}), or a mirror that has the file." if others else _FIX,
        )


def _extract(declared: Declared, entry: Entry, target: Target, path: Path) -> None:
    """Cuts the subnet out of the pinned weights, sets the pinned statistics and exports it."""
    from nagsdk.graph.integer_passes import fed_with
    from nagsdk.graph.ranges import PREFIX
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import restore_statistics

    manifest = entry.manifest
    weights = target.bundle.weights_sha256
    architecture = target.bundle.architecture(manifest["architecture"])
    for what, found in (("space", target.bundle.space.fingerprint), ("weights", weights)):
        if manifest["hashes"].get(what) != found:
            raise LockError(
                f"The hash of the {what} of {target.bundle.name} on this machine differs from the one that "
                f"{declared.name} is pinned to.",
                _FIX,
            )
    subnet = target.bundle.supernet.extract(architecture)
    kept = entry.statistics_bytes()
    restore_statistics(subnet, {name: content for name, content in kept.items() if not name.startswith(PREFIX)})
    backend, device, steps = target.backend, target.device, target.bundle.preprocessing
    traced = trace(subnet, architecture.resolution, device.batch)
    graph = fed_with(traced, device.io, steps.mean, steps.std)
    if device.precision in backend.integer_precisions:
        graph = backend.quantised(graph, device, None, kept)
    backend.export(graph, path, device)


def _compile(declared: Declared, entry: Entry, model: Path, folder: Path, listener: Listener) -> None:
    """Compiles the model again with the device's backend, as a last resort: compilers rarely give the same bytes."""
    pinned, target = entry.manifest["compiled"], _target(declared, entry.manifest, listener)
    target.require_presence()
    with temporary_folder() as work:
        compiled = target.backend.compile(model, target.device, work)
        if not is_pinned(compiled, pinned):
            raise LockError(
                f"Compiling {declared.name} again gives another file than the pinned {pinned['path']}.", _FIX
            )
        artifacts.keep(compiled, pinned["sha256"])
        shutil.copyfile(compiled, folder / pinned["path"])


def _target(declared: Declared, manifest: dict[str, Any], on_event: Listener) -> Target:
    from nagsdk.pipeline.target import Target

    arguments = declared.arguments
    # Of several precisions and numbers of threads, the pinned ones are those that were chosen.
    settings = {"threads": manifest["threads"], "batch": manifest["batch"], "precision": precision_of(manifest)}
    settings["io"] = arguments["io"]
    target = Target(arguments["device"], arguments["bundle"], **settings, on_event=on_event)
    # The pinned rewrite is used, whatever timings on this machine chose.
    target.write_as((manifest["rewrite"] or {}).get("name"))
    return target


def _other_versions(pinned: dict[str, str]) -> list[tuple[str, str, str]]:
    """Packages whose installed version is not the pinned one: name, pinned and installed version."""
    found = []
    for name, then in pinned.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue  # Python itself
        if installed != then:
            found.append((name, then, installed))
    return found


_FIX = "Name a mirror or fill the cache with the pinned file, or build again without --locked."
