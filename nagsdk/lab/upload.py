"""Sends artifacts to a worker, by their hash and only once, and fetches what a worker made."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.files import replacing, sha256
from nagsdk.errors import ConnectionLostError, DeviceError
from nagsdk.lab.messages import CHUNK_BYTES, unexpected

if TYPE_CHECKING:
    from nagsdk.lab.taking import Taken, Taking

_MOST_STALLS, _NO_SUFFIX = 5, ".file"


def send(lab: Taking, files: Sequence[Path], taken: Taken) -> list[str]:
    """Sends those of some files that the worker does not have; returns their names there.

    Raises:
        DeviceError: A file cannot be read.
        ConnectionLostError: The worker is gone, or has no room.
    """
    suffixes = [s for s in (lab.backend.compiled_suffix, lab.backend.suffix) if s]
    names = []
    for path in files:
        suffix = next((s for s in suffixes if path.name.endswith(s)), path.suffix or _NO_SUFFIX)
        try:
            names.append(sha256(path) + suffix)
        except OSError as error:
            raise DeviceError(f"{path} cannot be read: {error}.", "Export it again.") from error
    try:
        answer, _ = lab.ask(taken, "missing", {"names": list(dict.fromkeys(names))})
        for name in answer["missing"]:
            _upload(lab, taken, name, files[names.index(name)].read_bytes())
    except ConnectionLostError:
        lab.lose(taken)
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise unexpected(error) from error
    return names


def _upload(lab: Taking, taken: Taken, name: str, content: bytes) -> None:
    upload, offset, stalls = uuid.uuid4().hex, 0, 0
    while True:
        part = content[offset : offset + CHUNK_BYTES]
        asked = {"name": name, "offset": offset, "size": len(content), "upload": upload}
        answer, _ = lab.ask(taken, "put", asked, part)
        here = int(answer["here"])
        stalls = stalls + 1 if here <= offset else 0
        if here >= len(content):
            return
        if stalls > _MOST_STALLS or here < 0:
            raise unexpected(ValueError("a file does not arrive"))
        offset = here


def fetch(lab: Taking, name: str, path: Path, taken: Taken) -> None:
    """Fetches a file that a worker made, and checks its hash.

    Raises:
        DeviceError: It is not what its name says.
    """
    digest = hashlib.sha256()
    with replacing(path) as file:
        while True:
            answer, part = lab.ask(taken, "get", {"name": name, "offset": file.tell()})
            file.write(part)
            digest.update(part)
            if not part or file.tell() >= int(answer["size"]):
                break
        if digest.hexdigest() != name[:64]:
            raise unexpected(ValueError("a file arrived damaged"))
