"""Validates the shipped descriptions of devices and bundles and lists their hashes, so that no start has to.

    python recipes/sums.py

It writes devices/SHA256SUMS and bundles/SHA256SUMS, which `sha256sum --check` understands. Run it when a description
changed; until then nagsdk validates that description at every start.
"""

from __future__ import annotations

from hashlib import sha256

from nagsdk.bundle.bundle import Bundle
from nagsdk.common.folders import SUMS, shipped
from nagsdk.device.description import read_device

KINDS = {"bundles": "*/bundle.json", "devices": "*.toml"}


def sums(kind: str) -> str:
    """The content of the list of a kind, ``bundles`` or ``devices``."""
    folder = shipped(kind)
    return "".join(
        f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.glob(KINDS[kind]))
    )


def main() -> None:
    for kind, pattern in KINDS.items():
        folder = shipped(kind)
        # Without a list everything is validated.
        (folder / SUMS).unlink(missing_ok=True)
        for path in folder.glob(pattern):
            if kind == "devices":
                read_device(path)
            else:
                Bundle(path.parent)
        (folder / SUMS).write_text(sums(kind), "utf-8", newline="\n")


if __name__ == "__main__":
    main()
