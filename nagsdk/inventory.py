"""What is on this machine: devices, plugins, bundles and stored measurements."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nagsdk import ranges
from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.imported import read_weights_record
from nagsdk.bundle.names import bundle_names
from nagsdk.calibration.lab import Lab, Member
from nagsdk.calibration.learned import learned
from nagsdk.device.backend import Presence
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore
from nagsdk.measuring.store_file import export_readings, import_readings
from nagsdk.measuring.store_place import store_here
from nagsdk.plugin import template
from nagsdk.plugin.host import host, load_all


def devices() -> list[dict[str, Any]]:
    """Every known device: id, title, aliases, backend, whether it is available, why not, and its properties."""
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
    """Known names of one kind: ids and aliases of ``devices`` or ``strategies``, or names of ``bundles``."""
    return bundle_names() if kind == "bundles" else sorted(getattr(host(), kind).names)


def setup(backend: str, source: str | Path | None = None, on_event: Listener = ignore) -> dict[str, str]:
    """Installs what a backend needs and no package provides, such as the tool that measures on Android phones.

    Args:
        backend: Id of the backend.
        source: A file to install; if None, it is downloaded.
        on_event: Receives progress events.

    Returns:
        What was installed, with its hash.

    Raises:
        UsageError: The backend needs nothing.
        DeviceError: The file cannot be fetched, or differs from the one that was installed first.
    """
    return dict(host().backends.get(backend).setup(None if source is None else Path(source), on_event))


def plugins(*, again: bool = False) -> list[dict[str, Any]]:
    """Every installed plugin: whether it is loaded, disabled or broken, and why.

    Args:
        again: Whether plugins that were checked in a subprocess before are checked there again.
    """
    return [asdict(status) for status in (load_all(again=True) if again else host()).plugins]


def new_plugin(name: str, output: str | Path | None = None, *, space: bool = False) -> dict[str, Any]:
    """Writes a new plugin from the template of nagsdk.

    Args:
        name: Id of its backend and device, or of its family of networks.
        output: Folder to create; ``nagsdk-NAME`` if None.
        space: Whether it brings a family of networks instead of a device.

    Returns:
        The folder, the files in it, and the commands for the next steps.

    Raises:
        UsageError: The name is not valid, or is taken.
        OutputError: The folder already exists, or cannot be written.
    """
    folder = Path(output if output is not None else f"nagsdk-{name}")
    return template.write(name, folder, host(), template.SPACE if space else template.DEVICE)


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
    """The description of a bundle, and the facts about its accuracy predictor."""
    bundle = load_bundle(name)
    shown = bundle.description.model_dump(exclude={"files"})
    files = {file: record.model_dump() for file, record in bundle.description.files.items()}
    card = dict(bundle.predictor.card) if bundle.has_predictor else None
    return {**shown, "folder": str(bundle.folder), "weights": bundle.has_weights, "files": files, "predictor": card}


def pull_bundle(name: str | Path, source: str | Path | None = None, on_event: Listener = ignore) -> dict[str, str]:
    """Fetches the supernet weights of a bundle to this machine; see `nagsdk.bundle.pull.pull`.

    Returns:
        The record of the import: bundle, source, checkpoint_sha256, sha256, imported_at.
    """
    from nagsdk.bundle.pull import pull

    bundle = load_bundle(name)
    pull(bundle, None if source is None else Path(source), on_event)
    return {"bundle": bundle.name, **read_weights_record(bundle.weights_folder)}


def export_store(file: str | Path, store: str | Path | None = None) -> int:
    """Writes all stored measurements to a file; returns their number.

    Args:
        file: The file.
        store: File or address of the store; the setting ``store`` if None.
    """
    return export_readings(store_here(store), Path(file))


def import_store(file: str | Path, store: str | Path | None = None) -> int:
    """Adds measurements that another store exported; returns the number of new ones.

    Args:
        file: The file.
        store: File or address of the store; the setting ``store`` if None.

    Raises:
        NagsdkError: The file is damaged or not valid; nothing was added.
    """
    return import_readings(store_here(store), Path(file))


def prune_store(days: float, store: str | Path | None = None) -> int:
    """Deletes measurements that are older than a number of days; returns the number of deleted ones.

    Args:
        days: The age in days.
        store: File or address of the store; the setting ``store`` if None.
    """
    ranges.check(days=days)
    return store_here(store).prune(datetime.now(UTC) - timedelta(days=float(days)))


def pool_members() -> list[dict[str, Any]]:
    """The calibrated devices of this user's pool: name, title, runtime and settings, space, date, samples.

    Raises:
        NagsdkError: A file of the pool is damaged.
    """
    return [_told(member) for member in Lab.here().members()]


def _told(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "title": member.title,
        **{key: value for key, value in member.key.to_dict().items() if key not in ("device", "protocol")},
        "space": member.space,
        "date": member.date,
        "samples": len(member.p50_ms),
    }


def remove_from_pool(name: str) -> None:
    """Removes a device from the pool.

    Raises:
        UnknownNameError: The pool has no such device.
    """
    Lab.here().remove(name)


def export_pool(file: str | Path) -> int:
    """Writes the pool to a file that others import; returns the number of devices.

    Raises:
        OutputError: The pool is empty, or the file cannot be written.
    """
    return Lab.here().export(Path(file))


def import_pool(file: str | Path) -> int:
    """Adds the devices of a file to the pool; returns the number of new ones.

    Raises:
        UsageError: The file is damaged or too large, or a name belongs to another device; nothing was added.
    """
    return Lab.here().take_in(Path(file))


def learn_pool(bundle: str | Path, store: str | Path | None = None) -> list[dict[str, Any]]:
    """Adds every device to the pool that was calibrated with a store; the next calibration starts from them.

    Args:
        bundle: Name or folder of the bundle that they were calibrated for.
        store: File or address of the store; the setting ``store`` if None.

    Returns:
        Name, title, runtime and settings of each, with its number of samples.

    Raises:
        UsageError: The pool has no room for them.
        NagsdkError: The store cannot be read.
    """
    members = learned(store_here(store), load_bundle(bundle).space)
    Lab.here().add(members, replacing=True)
    return [_told(member) for member in members]


def middle_budget(bundle: str | Path) -> str:
    """A budget that works for any device: half-way between the MACs of the smallest and the largest architecture.

    Args:
        bundle: Name or folder of a bundle.
    """
    from nagsdk.budget import MACS, Budget
    from nagsdk.space.space import extremes

    space = load_bundle(bundle).space
    ends = [space.macs(a) for a in space.decode(extremes(space))]
    return str(Budget(MACS, float(f"{sum(ends) / 2:.2g}")))
