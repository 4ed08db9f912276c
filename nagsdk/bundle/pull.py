"""Fetches or imports the weights of a bundle, and records the hash of the checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from nagsdk.bundle.bundle import SUPERNET_WEIGHTS, Bundle
from nagsdk.bundle.imported import read_weights_record, user_folder
from nagsdk.common.download import download
from nagsdk.common.files import PARTIAL, sha256, write_atomically, writing
from nagsdk.errors import BundleError, DamagedBundleError
from nagsdk.events import Listener, Notice, ignore, stage


def pull(bundle: Bundle, source: Path | None = None, on_event: Listener = ignore) -> Path:
    """Fetches a bundle's supernet weights to this machine.

    Args:
        bundle: The bundle.
        source: A checkpoint file; if None, it is downloaded from the address in the bundle.
        on_event: Receives progress events.

    Returns:
        The imported weight file.

    Raises:
        BundleError: The download failed, or there is nothing to download.
        DamagedBundleError: The checkpoint differs from the one that was imported first, or does not fit the space.
    """
    from nagsdk.families.space import MOST_BYTES

    folder = user_folder(bundle.name)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if source is not None:
        return _import(bundle, source, str(source.resolve()), on_event, pinned=False)
    address = bundle.description.weights_source
    if address is None:
        raise BundleError(f"Bundle {bundle.name} ships its weights; there is nothing to pull.", "Use it as it is.")
    checkpoint = folder / f"{PARTIAL}checkpoint"
    with writing(checkpoint):
        download(address, checkpoint, MOST_BYTES, on_event)
    try:
        return _import(bundle, checkpoint, address, on_event, pinned=True)
    finally:
        checkpoint.unlink(missing_ok=True)


def _import(bundle: Bundle, checkpoint: Path, source: str, on_event: Listener, *, pinned: bool) -> Path:
    from nagsdk.supernet.weights import save_supernet

    if not checkpoint.is_file():
        raise BundleError(f"{checkpoint} is not a file.", f"Name the released checkpoint of the bundle {bundle.name}.")
    folder = user_folder(bundle.name)
    digest = sha256(checkpoint)
    if pinned and (folder / "weights.json").is_file():
        known = read_weights_record(folder)
        if known["source"] == source and known["checkpoint_sha256"] != digest:
            raise DamagedBundleError(
                f"{source} no longer has the hash recorded at the first download "
                f"({known['checkpoint_sha256'][:16]}…, now {digest[:16]}…).",
                f"The old weights stay in use. If you trust the new file, delete {folder} and pull again.",
            )
    with stage(on_event, "importing the checkpoint"):
        supernet = bundle.space.import_released(checkpoint)
        target = folder / SUPERNET_WEIGHTS
        with writing(target):
            save_supernet(supernet, target)
    record = {
        "source": source,
        "checkpoint_sha256": digest,
        "sha256": sha256(target),
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomically(folder / "weights.json", json.dumps(record, indent=2).encode())
    on_event(Notice(f"Weights of {bundle.name} imported; sha256 {digest} recorded."))
    return target
