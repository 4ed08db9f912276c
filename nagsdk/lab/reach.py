"""Finds a device in a lab by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.device.patterns import means
from nagsdk.errors import UnknownNameError
from nagsdk.events import Listener, ignore
from nagsdk.lab.backend import InLab, is_beside
from nagsdk.lab.connected import connected
from nagsdk.lab.connection import Found, Lab
from nagsdk.lab.messages import Json, device_of
from nagsdk.plugin.host import host


def reached(name: str, address: str, on_event: Listener = ignore) -> tuple[Backend, Device]:
    """The backend and the description of a device in a lab.

    Args:
        name: Id, alias, or the name with which a worker was told of it.
        address: Address of the lab's scheduler, or ``local``.
        on_event: Receives notices.

    Raises:
        UnknownNameError: Neither a worker nor this machine knows such a device.
        DeviceError: The lab does not answer, or the device's plugin is missing here.
    """
    lab = connected(address)
    entries = [entry for entry in _entries(lab) if _called(entry[1], name)]
    loaded = host()
    if not entries:  # what is known of a device that is not in the lab now is still of use
        device, fingerprint, beside = loaded.device(name), "", False
    else:
        worker, entry = next((one for one in entries if one[1]["available"]), entries[0])
        device, fingerprint, beside = device_of(entry["device"]), str(entry["fingerprint"]), is_beside(worker)
    backend = loaded.backend_of(device)
    in_lab = InLab(lab, device, fingerprint, backend, loaded.package_of(backend), on_event)
    return in_lab.stand_in(beside), device


def matching(patterns: Sequence[str], address: str) -> list[str]:
    """Names of the available devices of a lab that match patterns, each device once, in the order of their names.

    Args:
        patterns: Names, or patterns such as ``pixel*``; ``all`` for all.
        address: Address of the lab's scheduler, or ``local``.

    Raises:
        UnknownNameError: A pattern matches no device.
    """
    lab = connected(address)
    offered = [entry for _, entry in _entries(lab) if entry["available"]]
    found: dict[str, str] = {}
    for pattern in patterns:
        fitting = [entry for entry in offered if means(pattern, _names(entry))]
        if not fitting:
            raise UnknownNameError.among(
                "available device in the lab", pattern, {str(entry["device"]["id"]) for entry in offered}
            )
        for entry in fitting:
            found.setdefault(str(entry["fingerprint"]), str(entry["named"]))
    return sorted(found.values())


def listed(address: str) -> list[Json]:
    """What `nagsdk lab devices --json` prints: the workers of a lab, with their devices.

    Args:
        address: Address of the lab's scheduler, or ``local``.
    """
    shown = ("available", "reason", "properties", "fingerprint", "busy", "package")
    return [
        {
            "worker": worker.name,
            "address": worker.address,
            "version": worker.version,
            "problem": worker.problem,
            "devices": [
                {"id": e["device"]["id"], "title": e["device"]["title"], **{name: e[name] for name in shown}}
                for e in worker.devices
            ],
        }
        for worker in connected(address).workers()
    ]


def _entries(lab: Lab) -> Iterator[tuple[Found, Json]]:
    for worker in lab.workers():
        for entry in worker.devices:
            yield worker, entry


def _names(entry: Json) -> list[str]:
    device = entry["device"]
    return [str(entry["named"]), str(device["id"]), *map(str, device["aliases"])]


def _called(entry: Json, name: str) -> bool:
    return name.lower() in (known.lower() for known in _names(entry))
