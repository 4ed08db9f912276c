"""What is on this machine: devices, plugins, bundles and kept measurements."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import bundle_names, load_bundle, read_weights_record, user_folder
from nagsdk.common.folders import cache_folder
from nagsdk.device.backend import Presence
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore
from nagsdk.measuring.store import STORE, Store
from nagsdk.measuring.store_file import export_readings, import_readings
from nagsdk.plugin import template
from nagsdk.plugin.host import host, load_all


def devices() -> list[dict[str, Any]]:
    """Every known device: id, title, aliases, backend, whether it is there, why not, and its properties."""
    loaded, found = host(), []
    for device in loaded.devices:
        entry: dict[str, Any] = {
            "id": device.id,
            "title": device.title,
            "aliases": list(device.aliases),
            "backend": device.backend,
        }
        try:
            presence = presence_of(loaded.backend_of(device), device)
        except DeviceError as error:
            presence = Presence.refused(error)
        found.append(
            {
                **entry,
                "available": presence.available,
                "reason": presence.reason,
                "properties": dict(presence.properties),
            }
        )
    return found


def names(kind: str) -> list[str]:
    """What can be named on this machine: ids and aliases of ``devices`` or ``strategies``, or names of ``bundles``."""
    return bundle_names() if kind == "bundles" else sorted(getattr(host(), kind).names)


def setup(backend: str, source: str | Path | None = None, on_event: Listener = ignore) -> dict[str, str]:
    """Brings what a backend needs on this machine and no package has, such as the tool that measures on Android phones.

    Args:
        backend: Its id.
        source: A file to use; None downloads it.
        on_event: Receives progress.

    Returns:
        What was brought, with its hash.

    Raises:
        UsageError: The backend needs nothing.
        DeviceError: It cannot be had, or is not what was recorded at first.
    """
    return dict(host().backends.get(backend).setup(None if source is None else Path(source), on_event))


def plugins(*, again: bool = False) -> list[dict[str, Any]]:
    """Every plugin found, and whether it is loaded, disabled or broken and why.

    Args:
        again: Looks anew, in a process of its own, also at plugins that are known to be safe or not.
    """
    return [asdict(status) for status in (load_all(again=True) if again else host()).plugins]


def new_plugin(name: str, output: str | Path | None = None) -> dict[str, Any]:
    """Writes a plugin from the template that nagsdk brings.

    Args:
        name: Id of its backend and device.
        output: Folder to make; ``nagsdk-NAME`` where None.

    Returns:
        The folder, the files in it, and the commands to go on with.

    Raises:
        UsageError: The name cannot be used, or is taken.
        OutputError: The folder is there already, or cannot be written.
    """
    return template.write(name, Path(output if output is not None else f"nagsdk-{name}"), host())


def bundles() -> list[dict[str, Any]]:
    """The shipped bundles: name, title, version, and whether weights and images are on this machine."""
    opened = [load_bundle(name) for name in bundle_names()]
    return [
        {
            "name": b.name,
            "title": b.description.title,
            "version": b.description.version,
            "weights": b.has_weights,
            "images": b.has_images,
        }
        for b in opened
    ]


def show_bundle(name: str | Path) -> dict[str, Any]:
    """Everything a bundle says of itself, and its accuracy predictor's card."""
    bundle = load_bundle(name)
    shown = bundle.description.model_dump(exclude={"files"})
    files = {file: record.model_dump() for file, record in bundle.description.files.items()}
    card = dict(bundle.predictor.card) if bundle.has_predictor else None
    return {**shown, "folder": str(bundle.folder), "weights": bundle.has_weights, "files": files, "predictor": card}


def pull_bundle(name: str | Path, source: str | Path | None = None, on_event: Listener = ignore) -> dict[str, str]:
    """Brings the supernet weights of a bundle onto this machine; see `nagsdk.bundle.pull.pull`.

    Returns:
        The record of the import: bundle, source, checkpoint_sha256, sha256, imported_at.
    """
    from nagsdk.bundle.pull import pull

    bundle = load_bundle(name)
    pull(bundle, None if source is None else Path(source), on_event)
    return {"bundle": bundle.name, **read_weights_record(user_folder(bundle.name))}


def export_store(file: str | Path) -> int:
    """Writes all kept measurements to a file; returns how many."""
    return export_readings(_store(), Path(file))


def import_store(file: str | Path) -> int:
    """Adds measurements that another machine exported; returns how many were new.

    Raises:
        NagsdkError: The file is torn or foreign; nothing of it was added.
    """
    return import_readings(_store(), Path(file))


def prune_store(days: float) -> int:
    """Forgets measurements older than so many days; returns how many."""
    return _store().prune(datetime.now(UTC) - timedelta(days=days))


def _store() -> Store:
    return Store(cache_folder() / STORE)


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
