"""The pip command for the Python environment in which nagsdk runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nagsdk.common.wording import command


def pip(*arguments: str) -> str:
    """A pip command that can be copied into a shell.

    Args:
        arguments: Arguments such as ``install`` and ``nagsdk[litert]``.

    Returns:
        The command; it names this interpreter if the shell's pip would belong to another environment.
    """
    found = shutil.which("python")
    if sys.prefix == sys.base_prefix or (found is not None and Path(found).parent == Path(sys.executable).parent):
        return command("pip", *arguments)
    return command(sys.executable, "-m", "pip", *arguments)
