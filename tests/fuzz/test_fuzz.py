"""Whatever a file holds: it is read and can be used, or an error of ours says what is wrong with it.

The cases depend on nothing but their number, so that a failure comes again. `make fuzz` runs 100,000 of them.
"""

import os

import pytest

from tests.fuzz import architectures, bundles, checkpoints, images, kept, measurements, phones, projects
from tests.fuzz.cases import run

ROOMS = (architectures, bundles, checkpoints, images, kept, measurements, phones, projects)
FORMATS = {name: kind for room in ROOMS for name, kind in room.FORMATS.items()}
TOTAL = int(os.environ.get("NAGSDK_FUZZ_CASES", "2000"))
_SHARES = sum(kind.share for kind in FORMATS.values())


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_usable(name, tmp_path, record_property):
    kind = FORMATS[name]
    count = max(round(TOTAL * kind.share / _SHARES), 8)
    outcome = run(name, kind, range(count), tmp_path / "case")
    row = (name, count, outcome.accepted, outcome.refused, len(outcome.wrong), outcome.slowest_s)
    record_property("fuzz", row)
    first = "\n\n".join(f"case {number}:\n{text}" for number, text in list(outcome.wrong.items())[:5])
    assert not outcome.wrong, f"{len(outcome.wrong)} of {count}; the first ones:\n{first}"
