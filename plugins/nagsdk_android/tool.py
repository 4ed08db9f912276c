"""The benchmark_model binary. No package contains it, so users provide their own or have it downloaded once."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from nagsdk.common.files import replacing, sha256, write_atomically, writing
from nagsdk.common.folders import data_folder
from nagsdk.common.reading import opened, read_json
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import BundleError, DeviceError, DeviceUnavailableError
from nagsdk.events import Listener, ignore

ADDRESS = "https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model"
DOWNLOADED_ABI = "arm64-v8a"
ANY = "any"
_MOST_BYTES, _MOST_RECORD = 200 * 10**6, 64 * 1024
# The field e_machine of an ELF file -> Android's name of the ABI.
_MACHINES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86"}
_SETUP = "Run: nagsdk android setup (or, with a binary of your own: nagsdk android setup --from FILE)."
_RECORD = "benchmark_model.json"


def folder() -> Path:
    """Folder of the binaries and of the key."""
    return data_folder() / "android"


def install(source: Path | None, on_event: Listener = ignore) -> dict[str, str]:
    """Installs a binary: a given file, or the official build for 64-bit ARM.

    The hash of the first download is recorded; a later download must have the same hash.

    Args:
        source: File of the binary; None to download it.
        on_event: Receives progress.

    Returns:
        The record of the installed binary: abi, source, sha256, installed_at.

    Raises:
        DeviceError: The download failed or has changed, or the file is not a program for phones.
    """
    if source is not None:
        if not source.is_file():
            raise DeviceError(f"{source} is not a file.", "Name the benchmark_model that was built for the phone.")
        return _install(source, str(source.resolve()))
    from nagsdk.common.download import download

    known = _known(DOWNLOADED_ABI)
    with writing(folder()):
        folder().mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder()) as work:
        path = work / "benchmark_model"
        try:
            download(ADDRESS, path, _MOST_BYTES, on_event)
        except BundleError as error:
            raise DeviceError(
                error.message, "Download it yourself and run: nagsdk android setup --from FILE."
            ) from error
        if known and known["source"] == ADDRESS and known["sha256"] != sha256(path):
            raise DeviceError(
                f"{ADDRESS} no longer has the hash recorded at the first download "
                f"({known['sha256'][:16]}…, now {sha256(path)[:16]}…).",
                f"The old binary stays in use. To use the newer build, delete {_place(DOWNLOADED_ABI)} and run "
                "this again.",
            )
        return _install(path, ADDRESS)


def find(abi: str) -> tuple[Path, str]:
    """Finds the binary for a phone, and its hash.

    Args:
        abi: ABI of the phone, such as ``arm64-v8a``.

    Raises:
        DeviceUnavailableError: No binary is installed for this ABI.
        DeviceError: The file is not the one that was recorded.
    """
    # The phone chooses what it says as its ABI, which becomes a part of a path.
    for name in (abi, ANY) if abi in _MACHINES.values() else (ANY,):
        known = _known(name)
        if known:
            path = _place(name) / "benchmark_model"
            if not path.is_file() or sha256(path) != known["sha256"]:
                raise DeviceError(f"{path} is not the file that was recorded.", _SETUP)
            return path, known["sha256"]
    raise DeviceUnavailableError(f"There is no benchmark_model for {abi} phones on this computer.", _SETUP)


def abi_of(path: Path) -> str:
    """ABI for which a program was built; `ANY` for a script.

    Raises:
        DeviceError: The file is not a program for phones.
    """
    with opened(path) as file:
        head = file.read(20)
    if head[:2] == b"#!":
        return ANY
    abi = _MACHINES.get(int.from_bytes(head[18:20], "little")) if head[:4] == b"\x7fELF" and len(head) == 20 else None
    if abi is None:
        raise DeviceError(
            f"{path.name} is not a program that a phone can run.",
            f"Name a benchmark_model for Android; there is one at {ADDRESS}.",
        )
    return abi


def _install(path: Path, source: str) -> dict[str, str]:
    abi = abi_of(path)
    place = _place(abi)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source_file, replacing(place / "benchmark_model") as copy:
            shutil.copyfileobj(source_file, copy)
    record = {
        "abi": abi,
        "source": source,
        "sha256": sha256(place / "benchmark_model"),
        "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomically(place / _RECORD, json.dumps(record, indent=2).encode())
    return record


def _place(abi: str) -> Path:
    return folder() / "tools" / abi


def _known(abi: str) -> dict[str, str]:
    try:
        content = read_json(_place(abi) / _RECORD, _MOST_RECORD)
        return {key: str(content[key]) for key in ("abi", "source", "sha256", "installed_at")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(
            f"{_place(abi) / _RECORD} cannot be read: {error}.", f"Delete {_place(abi)}. {_SETUP}"
        ) from error
