"""Fetches or imports the weights of a bundle, and records the hash of the checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.imported import SUPERNET_WEIGHTS, WEIGHTS_RECORD, first_hash, hash_file, record_first_hash
from nagsdk.common.download import download, public
from nagsdk.common.files import sha256
from nagsdk.common.outputs import Kind, check_replaceable, staged
from nagsdk.common.wording import command
from nagsdk.errors import BundleError, DamagedBundleError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.packaged import require_installed

_WEIGHTS = Kind("the weights of a bundle", lambda folder: (SUPERNET_WEIGHTS, WEIGHTS_RECORD))


def pull(bundle: Bundle, source: Path | None = None, on_event: Listener = ignore) -> Path:
    """Fetches a bundle's supernet weights to this machine.

    They are stored for this bundle alone, whatever name it gives itself. A download must have the hash that the bundle
    pins, else the hash of the first download from the same address.

    Args:
        bundle: The bundle.
        source: A checkpoint file; if None, it is downloaded from the address in the bundle.
        on_event: Receives progress events.

    Returns:
        The imported weight file.

    Raises:
        BundleError: The download failed, or there is nothing to download.
        DamagedBundleError: The checkpoint has another hash than it must have, or does not fit the space.
    """
    from nagsdk.families.space import MOST_BYTES

    if bundle.finished:
        require_installed(bundle.finished)
        raise BundleError(f"The weights of {bundle.name} come with packages, which are installed.", "Use it as it is.")
    address, pinned = bundle.description.weights_source, bundle.description.weights_source_sha256
    if SUPERNET_WEIGHTS in bundle.files or (address is None and source is None):
        raise BundleError(f"Bundle {bundle.name} ships its weights; there is nothing to pull.", "Use it as it is.")
    if source is not None and not source.is_file():
        raise BundleError(f"{source} is not a file.", f"Name the released checkpoint of the bundle {bundle.name}.")
    folder = bundle.weights_folder
    check_replaceable(folder, _WEIGHTS)
    if source is not None:
        with staged(folder, _WEIGHTS) as work:
            _import(bundle, source, str(source.resolve()), work, on_event)
        return folder / SUPERNET_WEIGHTS
    assert address is not None
    name = public(address)
    known = pinned or first_hash(name)
    with staged(folder, _WEIGHTS) as work:
        checkpoint = work / "checkpoint"
        try:
            download(address, checkpoint, MOST_BYTES, on_event, hash_known=pinned is not None)
        except BundleError as error:
            raise BundleError(error.message, f"{error.next_step} {_from_file(bundle)}") from error
        digest = sha256(checkpoint)
        if known not in (None, digest):
            raise _another_hash(bundle, digest, pinned, known)
        try:
            _import(bundle, checkpoint, name, work, on_event)
        except DamagedBundleError as error:  # the file has another name for the user
            raise DamagedBundleError(error.message.replace(str(checkpoint), name), error.next_step) from error
        checkpoint.unlink()
    if known is None:
        record_first_hash(name, digest)
        on_event(
            Notice(
                f"No hash of {name} was known, so this first download is trusted, and later ones must equal it. "
                f"Compare its SHA-256 with that of the publisher: {digest}",
                warning=True,
            )
        )
    return folder / SUPERNET_WEIGHTS


def _from_file(bundle: Bundle) -> str:
    return (
        f"If the file is here, import it: {command('nagsdk', 'bundle', 'pull', bundle.argument, '--from', 'FILE')}. "
        "Without weights, 'nagsdk generate' predicts, and 'nagsdk deploy --timing-only' writes a file for timing."
    )


def _another_hash(bundle: Bundle, digest: str, pinned: str | None, known: str | None) -> DamagedBundleError:
    address = public(bundle.description.weights_source or "")
    if pinned is not None:
        return DamagedBundleError(
            f"{address} sends another file than the bundle pins: SHA-256 {digest} instead of {pinned}.",
            f"Nothing was changed. Get the pinned file elsewhere. {_from_file(bundle)}",
        )
    return DamagedBundleError(
        f"{address} no longer sends the file of the first download: SHA-256 {digest} instead of {known}.",
        "Nothing was changed. If the publisher confirms the new hash, delete "
        f"{hash_file(address)} and pull again; else import a file that you trust with --from FILE.",
    )


def _import(bundle: Bundle, checkpoint: Path, source: str, folder: Path, on_event: Listener) -> None:
    from nagsdk.supernet.weights import save_supernet

    digest, target = sha256(checkpoint), folder / SUPERNET_WEIGHTS
    with stage(on_event, "Importing the checkpoint"):
        save_supernet(bundle.space.import_released(checkpoint), target)
    record = {
        "source": source,
        "checkpoint_sha256": digest,
        "sha256": sha256(target),
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (folder / WEIGHTS_RECORD).write_bytes(json.dumps(record, indent=2).encode())
    on_event(Notice(f"Weights of {bundle.name} imported; the checkpoint has the SHA-256 {digest}."))
