"""The RSA key by which phones recognise this computer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nagsdk.common.temporary import temporary_folder
from nagsdk.common.wording import command
from nagsdk.errors import DeviceError


def signer(path: Path) -> Any:
    """Reads the key for adb-shell, or makes one if there is none yet.

    Args:
        path: File of the private key; the public key is in a file beside it.

    Raises:
        DeviceError: Other users may read the file, or it does not contain an RSA key.
    """
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    if not path.is_file():
        _make(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise DeviceError(
            f"Other users may read the private key {path}.",
            f"Run: {command('chmod', '600', str(path))}; or delete it, and phones will ask again.",
        )
    try:
        return PythonRSASigner(path.with_suffix(".pub").read_text("utf-8"), path.read_text("utf-8"))
    except Exception as error:  # the parser raises many kinds of errors for a damaged file
        raise DeviceError(
            f"{path} is not a valid RSA key: {error}.", f"Delete {path} and the file beside it; phones will ask again."
        ) from error


def _make(path: Path) -> None:
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(parents=True, exist_ok=True)
    # The package creates the private key readable by everybody. So it is given a private folder, and a file that
    # exists already and is private.
    with temporary_folder(path.parent) as folder:
        private = folder / "key"
        private.touch(0o600)
        keygen(str(private))
        (private.with_name("key.pub")).replace(path.with_suffix(".pub"))
        private.replace(path)
