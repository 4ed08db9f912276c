"""The command that brings a package into the environment that nagsdk runs in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nagsdk.common.wording import command


def pip(*arguments: str) -> str:
    """A pip command that can be copied as it stands.

    Args:
        arguments: Such as ``install`` and ``nagsdk[litert]``.

    Returns:
        The command; with this interpreter's path where it belongs to a virtual environment that the shell would not find first.
    """
    found = shutil.which("python")
    if sys.prefix == sys.base_prefix or (found is not None and Path(found).parent == Path(sys.executable).parent):
        return command("pip", *arguments)
    return command(sys.executable, "-m", "pip", *arguments)
