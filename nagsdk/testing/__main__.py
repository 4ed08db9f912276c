"""Runs the conformance suite on installed devices: ``python -m nagsdk.testing DEVICE… [options of pytest]``."""

from __future__ import annotations

import sys

import pytest


def main() -> int:
    """Runs the suite and returns the exit status of pytest."""
    # Devices come first; everything from the first option on is passed to pytest.
    first = next((i for i, argument in enumerate(sys.argv) if i and argument.startswith("-")), len(sys.argv))
    devices, options = sys.argv[1:first], sys.argv[first:]
    if not devices:
        print(__doc__, file=sys.stderr)  # noqa: T201 — a command line
        return 2
    chosen = [f"--nagsdk-device={device}" for device in devices]
    return int(
        pytest.main(
            [
                "-p",
                "nagsdk.testing.plugin",
                "-p",
                "no:cacheprovider",
                "--pyargs",
                "nagsdk.testing.suite",
                *chosen,
                *options,
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
