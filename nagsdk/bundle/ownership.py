"""Which folders hold a bundle, or imported weights, and nothing else, so that others may take their place."""

from __future__ import annotations

from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.imported import SUPERNET_WEIGHTS, WEIGHTS_RECORD
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.outputs import Kind


def _files(folder: Path) -> set[str]:
    return {DESCRIPTION, *Bundle(folder).description.files}


BUNDLE = Kind("a bundle", _files)
# The folder is below the user's data folder, so that nothing else has to show that it is ours.
IMPORTED_WEIGHTS = Kind("imported weights", lambda folder: (SUPERNET_WEIGHTS, WEIGHTS_RECORD))
