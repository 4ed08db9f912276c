"""Which folders hold a bundle, and nothing else, so that another bundle may take their place."""

from __future__ import annotations

from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.outputs import Kind


def _files(folder: Path) -> set[str]:
    return {DESCRIPTION, *Bundle(folder).description.files}


BUNDLE = Kind("a bundle", _files)
