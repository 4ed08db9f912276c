"""Measures the top-1 of many subnets on the hosts of a lab, each of which takes some of them at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nagsdk.bundle.architectures import read
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import ConnectionLostError, DeviceUnavailableError, NagsdkError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.lab.connected import connected
from nagsdk.lab.connection import Lab
from nagsdk.lab.messages import device_of, unexpected
from nagsdk.lab.taking import Taking
from nagsdk.lab.upload import send
from nagsdk.plugin.host import host
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.training.evaluate import SubnetAccuracy

_AT_A_TIME = 4
Part = tuple[int, list[str]]


@naming_os_errors
def evaluate_in_lab(
    address: str,
    *,
    bundle: str | Path | Bundle = "glyphs",
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    on_event: Listener = ignore,
) -> list[SubnetAccuracy]:
    """Measures the top-1 of subnets on the bundle's own images; see `nagsdk.training.evaluate.evaluate`.

    The bundle is sent to each host once. What a host that fails had in work goes to the others.

    Args:
        address: Address of the lab's scheduler, or ``local``.
        bundle: Name or folder of a bundle, or a bundle; its weights and images must be among its files.
        architectures: Text forms or architectures; by default the smallest and the largest.
        table: File of more architectures.
        on_event: Receives progress.

    Raises:
        ImagesMissingError: There are no labelled images.
        WeightsMissingError: The bundle has no weights.
        DeviceUnavailableError: No host of the lab can do it, or all have failed.
    """
    opened = load_bundle(bundle, on_event)
    opened.require_weights()
    space = opened.space
    given = read(opened, architectures, table) if architectures or table is not None else space.decode(extremes(space))
    texts = [one.text for one in given]
    lab, found = connected(address), dict[int, list[SubnetAccuracy]]()
    hosts = _hosts(lab, on_event)
    if not hosts:
        raise DeviceUnavailableError(
            "No worker of the lab offers the processor of its host.", "Start one with --device cpu."
        )
    todo: queue.SimpleQueue[Part] = queue.SimpleQueue()
    for start in range(0, len(texts), _AT_A_TIME):
        todo.put((start, texts[start : start + _AT_A_TIME]))
    turn, failures = threading.Lock(), list[NagsdkError]()
    files = [opened.folder / name for name in (DESCRIPTION, *opened.description.files)]
    with stage(on_event, "Evaluating", len(texts)) as progress:

        def work(taking: Taking) -> None:
            try:
                with taking.reserved() as taken:
                    names = dict(zip([path.name for path in files], send(taking, files, taken), strict=True))
                    while True:
                        try:
                            part = todo.get_nowait()
                        except queue.Empty:
                            return
                        try:
                            rows = _rows(
                                taking.job("evaluate", {"files": names, "architectures": part[1]}, taken=taken)
                            )
                        except ConnectionLostError:
                            todo.put(part)
                            raise
                        with turn:
                            found[part[0]] = rows
                            done = sum(map(len, found.values()))
                            progress(done, f"Evaluating, {done} of {len(texts)} subnets")
            except NagsdkError as error:
                with turn:
                    failures.append(error)
                    on_event(Notice(error.message, warning=True))

        while sum(map(len, found.values())) < len(texts) and len(failures) < 2 * len(hosts):
            with ThreadPoolExecutor(len(hosts)) as threads:
                list(threads.map(work, hosts))
            if failures and not isinstance(failures[-1], ConnectionLostError):
                break
    if sum(map(len, found.values())) < len(texts):
        raise failures[-1]
    return [row for start in sorted(found) for row in found[start]]


def _hosts(lab: Lab, on_event: Listener) -> list[Taking]:
    """The hosts whose processors the lab offers, each once."""
    loaded, found = host(), []
    for worker in lab.workers():
        entry = next((e for e in worker.devices if e.get("on_host") and e["available"]), None)
        if entry is not None:
            device = device_of(entry["device"])
            backend = loaded.backend_of(device)
            found.append(Taking(lab, device, str(entry["fingerprint"]), backend, loaded.package_of(backend), on_event))
    return found


def _rows(answer: tuple[dict[str, Any], bytes]) -> list[SubnetAccuracy]:
    try:
        return [SubnetAccuracy(**row) for row in answer[0]["rows"]]
    except (KeyError, TypeError) as error:
        raise unexpected(error) from error
