"""Downloads over HTTPS that resume, with a limit on their size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nagsdk.common import config
from nagsdk.errors import BundleError
from nagsdk.events import Listener, ignore, stage


def download(address: str, path: Path, most_bytes: int, on_event: Listener = ignore) -> None:
    """Downloads a file and continues an earlier attempt that was interrupted.

    Args:
        address: An https address.
        path: File to write; it may hold the beginning of the content.
        most_bytes: Longer content is refused.
        on_event: Receives progress events.

    Raises:
        BundleError: The setting `offline` forbids it, or the server cannot be reached, refuses, or sends too much.
    """
    offline = config.look_up("offline")
    if offline.value:
        raise BundleError(
            f"{address} is not contacted, because {offline.where} forbids downloads (setting offline).",
            "Use a file that is on this machine (--from FILE, or a folder as mirror), or remove the setting.",
        )
    import httpx

    have = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    next_step = (
        "Run the command again to continue the download, or download the file yourself: "
        "nagsdk bundle pull NAME --from FILE."
    )
    try:
        with httpx.stream("GET", address, headers=headers, follow_redirects=True, timeout=30) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                return
            response.raise_for_status()
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                have = 0
            length = response.headers.get("content-length", "")
            total = have + int(length) if length.isdigit() else None
            if total is not None and total > most_bytes:
                raise BundleError(f"{address} has {total} bytes; {most_bytes} is the limit.", "Check the address.")
            with (
                path.open("r+b" if have else "wb") as file,
                stage(on_event, f"downloading {address}", total) as advance,
            ):
                file.seek(have)
                _receive(response.iter_bytes(), file.write, have, most_bytes, lambda n: advance(n, f"{n / 1e6:.1f} MB"))
                file.flush()
                os.fsync(file.fileno())
            if total is not None and path.stat().st_size != total:
                raise BundleError(f"The download of {address} broke off.", next_step)
    except httpx.HTTPError as error:
        raise BundleError(f"{address} cannot be downloaded: {error}.", next_step) from error


def _receive(
    parts: Iterable[bytes], write: Callable[[bytes], int], have: int, most_bytes: int, advance: Callable[[int], None]
) -> None:
    for part in parts:
        have += len(part)
        if have > most_bytes:
            raise BundleError(f"The server sends more than {most_bytes} bytes.", "Check the address.")
        write(part)
        advance(have)
