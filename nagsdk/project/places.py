"""Where the paths of a nagsdk.toml may lead. A stranger may have written it, so it decides what, and never where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

# Windows takes these for devices in every folder, whatever their ending, and drops dots and blanks at the end of names.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*]|[. ]$')


def local(text: str) -> str:
    """Returns a path to read as it is: anything but a file of another machine, which would be told who asks.

    Raises:
        ValueError: It names another machine, as Windows does.
    """
    if PureWindowsPath(text).drive.startswith("\\\\") or "\0" in text:
        raise ValueError("it must be a path on this machine")
    return text


def output_below(project: Path, text: str) -> Path:
    """The full path of an output folder, which lies below the folder of the nagsdk.toml on every system.

    Args:
        project: Folder of the nagsdk.toml, without links.
        text: The folder as it is declared.

    Raises:
        ValueError: It lies elsewhere, also by a link, or it or a folder on the way is hidden, as those of git are, or
            has a name that some system does not allow.
    """
    if PureWindowsPath(text).anchor or PureWindowsPath(text).drive:
        raise ValueError(f"the output {text!r} must be relative to the folder of nagsdk.toml")
    _check_names(text, [part for part in re.split(r"[/\\]", text) if part not in ("", ".", "..")])
    try:
        path = (project / text).resolve()
    except (OSError, RuntimeError) as error:  # a name that is too long, or links in a circle
        raise ValueError(f"the output {text!r} is not a usable path") from error
    if project not in path.parents:
        raise ValueError(f"the output {text!r} must lie below the folder of nagsdk.toml, also where it leads by links")
    _check_names(text, path.relative_to(project).parts)
    return path


def _check_names(text: str, names: Sequence[str]) -> None:
    for name in names:
        if name.startswith(".") or not name.isprintable():
            raise ValueError(f"the output {text!r} must not lie in a hidden folder")
        if _DEVICE.fullmatch(name) or _FORBIDDEN.search(name) or len(name.encode()) > 255:
            raise ValueError(f"the output {text!r} has a part that is not a valid name on every system")
