"""`nagsdk doctor`: checks what works on this machine, what is missing or wrong, and which command fixes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.names import bundle_names
from nagsdk.common import config
from nagsdk.common.download import require_reachable
from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder, data_folder
from nagsdk.common.foreign_code import guarded
from nagsdk.common.wording import counted
from nagsdk.device.backend import Presence
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.device.presence import presence_of
from nagsdk.doctor import packages as environment
from nagsdk.errors import BundleError, DeviceError, NagsdkError
from nagsdk.events import Listener, ignore, stage
from nagsdk.measuring.store import Store
from nagsdk.measuring.store_place import usual_place
from nagsdk.plugin.host import Host, host
from nagsdk.plugin.load import BROKEN, DISABLED

_NETWORK_S = 5.0
_BACKEND_S = 30.0
# Calibrations and deployments of the largest bundle need a few hundred megabytes.
_LEAST_FREE = 10**9


def doctor(on_event: Listener = ignore) -> list[dict[str, Any]]:
    """Checks Python, packages, settings, folders, the store, plugins, devices and the network.

    Args:
        on_event: Receives progress events.

    Returns:
        One dictionary for each finding: area, state (``ok``, ``wrong``, or ``absent`` for optional parts that are not
        installed), found (what was found) and mend (the command or step that fixes it).
    """
    areas: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": environment.python,
        "packages": environment.packages,
        "config": _config,
        "folders": _folders,
        "store": _store,
        "plugins": lambda: _plugins(host()),
        "devices": lambda: _devices(host()),
        "network": _network,
    }
    findings: list[Finding] = []
    with stage(on_event, "Checking", len(areas)) as advance:
        for number, (name, check) in enumerate(areas.items()):
            advance(number, f"Checking {name}")
            try:
                findings.extend(check())
            except NagsdkError as error:
                findings.append(Finding(name, WRONG, error.message, error.next_step))
    return [asdict(finding) for finding in findings]


def _config() -> Iterator[Finding]:
    path = config.config_file()
    values = [config.look_up(name) for name in config.SETTINGS]
    changed = [f"{v.name} from {v.where}" for v in values if v.origin != "default"]
    yield Finding(
        "config",
        OK,
        f"{path}{'' if path.is_file() else ' does not exist, which is fine'}; set: {', '.join(changed) or 'nothing'}.",
    )


def _folders() -> Iterator[Finding]:
    for name, folder in (("cache", cache_folder()), ("data", data_folder())):
        mark = folder / ".nagsdk-doctor"
        write_atomically(mark, b"")
        mark.unlink()
        free = shutil.disk_usage(folder).free
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        found = f"{folder} can be written; it holds {size / 1e6:.1f} MB, and {free / 1e9:.1f} GB are free."
        variable = config.SETTINGS[f"{name}_dir"].variable
        yield Finding(
            name,
            OK if free >= _LEAST_FREE else WRONG,
            found,
            "" if free >= _LEAST_FREE else f"Free some space, or set {variable}.",
        )


def _store() -> Iterator[Finding]:
    place = usual_place()
    if isinstance(place, Path) and not place.is_file():
        yield Finding("store", OK, "No measurements are stored yet.")
        return
    yield Finding("store", OK, f"{place} is not damaged; it holds {counted(Store(place).check(), 'reading')}.")


def _plugins(loaded: Host) -> Iterator[Finding]:
    for plugin in loaded.plugins:
        what = f"{plugin.name} ({plugin.distribution})"
        if plugin.state == BROKEN:
            yield Finding("plugins", WRONG, f"{what} is broken. {plugin.reason}", "nagsdk plugins doctor")
        elif plugin.state == DISABLED:
            yield Finding("plugins", ABSENT, f"{what} is disabled: {plugin.reason}.", "Remove it there to use it.")
        else:
            yield Finding("plugins", OK, f"{what} is loaded. {plugin.reason}".rstrip())


def _devices(loaded: Host) -> Iterator[Finding]:
    for backend in loaded.backends:
        try:
            found: object = guarded(backend.diagnose, _BACKEND_S, f"The backend {backend.id}")
        except DeviceError as error:
            found = [Finding(backend.id, WRONG, error.message, error.next_step)]
        if isinstance(found, (list, tuple)):
            yield from (item for item in found if isinstance(item, Finding))
    absent: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for device in loaded.devices:
        try:
            presence = presence_of(loaded.backend_of(device), device)
        except DeviceError as error:
            presence = Presence.refused(error)
        if presence.available:
            yield Finding("devices", OK, f"{device.id} is available: {device.title}.")
        else:
            what, _, fix = " ".join(presence.reason.split()).partition(". ")
            absent.setdefault((device.backend, fix, "" if fix else what), []).append((device.id, what.rstrip(".")))
    for (_, fix, _), devices in absent.items():
        # One finding covers all devices with the same fix, such as ten models of phones that are not plugged in.
        yield Finding(
            "devices", ABSENT, f"Not available: {', '.join(name for name, _ in devices)}. {devices[0][1]}.", fix
        )


def _network() -> Iterator[Finding]:
    offline = config.look_up("offline")
    for name in bundle_names():
        bundle = load_bundle(name)
        address = bundle.description.weights_source
        if address is None:
            continue
        server = urlsplit(address).hostname
        if bundle.has_weights:
            yield Finding("network", OK, f"The weights of {name} are on this machine; the network is not needed.")
            continue
        if offline.value:
            found = f"The weights of {name} are missing, and {offline.where} forbids downloads; nothing was contacted."
            yield Finding("network", ABSENT, found, f"nagsdk bundle pull {name} --from FILE")
            continue
        try:
            require_reachable(address, _NETWORK_S)
            yield Finding(
                "network", OK, f"{server} answers: the weights of {name} can be fetched.", f"nagsdk bundle pull {name}"
            )
        except BundleError as error:
            fix = f"Set HTTPS_PROXY if there is a proxy, or use a file: nagsdk bundle pull {name} --from FILE"
            found = f"The weights of {name} cannot be fetched from {server}. {error.message}"
            yield Finding("network", ABSENT, found, fix)
