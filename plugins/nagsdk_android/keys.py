"""The RSA key by which phones know this computer."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from nagsdk.common.files import PARTIAL
from nagsdk.common.wording import command
from nagsdk.errors import DeviceError


def signer(path: Path) -> Any:
    """Reads the key, or makes one, for adb-shell.

    Args:
        path: Of the private key; the public one lies beside it.

    Raises:
        DeviceError: Others may read it, or it is no key.
    """
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    if not path.is_file():
        _make(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise DeviceError(
            f"Others may read the private key {path}.",
            f"Run: {command('chmod', '600', str(path))}; or delete it, and phones will ask again.",
        )
    try:
        return PythonRSASigner(path.with_suffix(".pub").read_text("utf-8"), path.read_text("utf-8"))
    except Exception as error:  # whatever a parser makes of a torn file
        raise DeviceError(
            f"{path} is no RSA key: {error}.", f"Delete {path} and the file beside it; phones will ask again."
        ) from error


def _make(path: Path) -> None:
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(parents=True, exist_ok=True)
    # The package writes the private key for all to read: it gets a private folder, and a file that is private already.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=PARTIAL) as folder:
        private = Path(folder) / "key"
        private.touch(0o600)
        keygen(str(private))
        (private.with_name("key.pub")).replace(path.with_suffix(".pub"))
        private.replace(path)
