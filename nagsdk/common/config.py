"""Settings of the user: from an environment variable, else the config file, else a default."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from nagsdk.common.database_address import LEGAL, read_place, without_secrets
from nagsdk.common.reading import read_toml
from nagsdk.errors import UnknownNameError, UsageError

FILE_VARIABLE = "NAGSDK_CONFIG"
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Setting:
    """A setting that a user may set once for all commands.

    Attributes:
        name: Key in the config file; the environment variable is ``NAGSDK_`` and the same name in capital letters.
        what: Description in one line.
        read: Converts the value of the file, or the text of the variable, to the setting's type; raises ValueError.
        default: Returns the value that is used if nothing was set.
        legal: Description of the valid values, for messages.
    """

    name: str
    what: str
    read: Callable[[Any], Any]
    default: Callable[[], Any]
    legal: str

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"NAGSDK_{self.name.upper()}"


@dataclass(frozen=True)
class Value:
    """The present value of a setting, and where it comes from.

    Attributes:
        name: Name of the setting.
        value: Its value; None if it is not set and has no default.
        origin: ``environment``, ``file`` or ``default``.
        where: The variable or the file that sets it; empty for a default.
        what: Description of the setting in one line.
    """

    name: str
    value: Any
    origin: str
    where: str
    what: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _folder(value: Any) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:  # there is no user with that name
        raise ValueError from error


def _names(value: Any) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError
    return tuple(name.strip() for name in listed if name.strip())


def _seconds(value: Any) -> float:
    seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    if not 0.1 <= seconds <= 600:
        raise ValueError
    return seconds


def _switch(value: Any) -> bool:
    known = {"1": True, "true": True, "0": False, "false": False}
    text = str(value).lower() if isinstance(value, (str, bool)) else ""
    if text not in known:
        raise ValueError
    return known[text]


def _store(value: Any) -> Any:
    return read_place(_text(value))


def _user_folder(kind: str) -> Path:
    import platformdirs

    return Path(str(getattr(platformdirs, f"user_{kind}_dir")("nagsdk")))


def _lab(value: Any) -> str:
    text = _text(value)
    if text != "local" and not re.fullmatch(r"tls://[^\s/]+:[0-9]{1,5}", text):
        raise ValueError
    return text


_SETTINGS = (
    Setting("device", "Device if --device is not given", _text, lambda: None, "an id or alias; see nagsdk devices"),
    Setting(
        "bundle",
        "Bundle if --bundle is not given",
        _text,
        lambda: resolve_name("nagsdk.bundle.names:usual_bundle")(),
        "a name or a folder; see nagsdk bundle list",
    ),
    Setting(
        "cache_dir",
        "Folder of readings, cost models, generators and locks; may be deleted",
        _folder,
        lambda: _user_folder("cache"),
        "a folder",
    ),
    Setting(
        "data_dir",
        "Folder of imported weights, and of key and tool for Android phones",
        _folder,
        lambda: _user_folder("data"),
        "a folder",
    ),
    Setting(
        "store",
        "Where readings are stored, if not in the cache folder; a database for a lab",
        _store,
        lambda: None,
        LEGAL,
    ),
    Setting(
        "disable_plugins",
        "Plugins to skip",
        _names,
        tuple,
        "names, separated by commas in the variable and as a list in the file",
    ),
    Setting(
        "plugin_timeout_s",
        "Timeout in seconds for a plugin to register",
        _seconds,
        lambda: 10.0,
        "a number from 0.1 to 600",
    ),
    Setting(
        "offline",
        "Refuse every download: of weights, of the tool for phones, from mirrors",
        _switch,
        lambda: False,
        "1 or 0 in the variable, true or false in the file",
    ),
    Setting("lab", "Lab whose devices are used if --lab is not given", _lab, lambda: None, "tls://HOST:PORT, or local"),
    Setting(
        "lab_certificates",
        "Folder of the certificates with which this host takes part in a lab",
        _folder,
        lambda: value("data_dir") / "lab",
        "a folder",
    ),
    Setting(
        "pool_join",
        "Let every calibrated device join the pool (nagsdk devices pool)",
        _switch,
        lambda: False,
        "1 or 0 in the variable, true or false in the file",
    ),
)
SETTINGS = {setting.name: setting for setting in _SETTINGS}


def config_file() -> Path:
    """The config file, which need not exist.

    It is the one that NAGSDK_CONFIG names, else ``config.toml`` in the user's config folder.
    """
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else _user_folder("config") / "config.toml"


def value(name: str) -> Any:
    """The present value of a setting.

    Args:
        name: Name of the setting.

    Raises:
        UsageError: The config file or the variable cannot be used.
    """
    return look_up(name).value


def look_up(name: str) -> Value:
    """The present value of a setting, and where it comes from; see `value`."""
    setting = SETTINGS[name]
    if text := os.environ.get(setting.variable):
        return Value(name, _read(setting, text, setting.variable), "environment", setting.variable, setting.what)
    path = config_file()
    content = _content(path)
    if name in content:
        found = _read(setting, content[name], str(path))
        # A relative folder is relative to the file, not to the folder in which the command runs.
        return Value(name, path.parent / found if isinstance(found, Path) else found, "file", str(path), setting.what)
    return Value(name, setting.default(), "default", "", setting.what)


def _read(setting: Setting, value: Any, where: str) -> Any:
    try:
        return setting.read(value)
    except ValueError as error:
        shown = without_secrets(value) if isinstance(value, str) else value
        raise UsageError(
            f"{where}: {shown!r} is not a valid value of the setting {setting.name}.", f"Valid: {setting.legal}."
        ) from error


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        if os.environ.get(FILE_VARIABLE):
            raise UsageError(
                f"{FILE_VARIABLE} names {path}, which is not a file.", "Create the file, or unset the variable."
            )
        return {}
    next_step = f"Fix or delete {path}; `nagsdk config --help` lists the settings."
    content = read_toml(path, _MOST_BYTES, lambda message: UsageError(message, next_step))
    for name in content:
        if name not in SETTINGS:
            raise UnknownNameError.among(f"setting ({path})", name, SETTINGS)
    return content
