"""Export and import of measurements as a file of JSON lines.

The first line is a header; the last line holds the number of readings and a hash, so that a damaged file is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nagsdk.common.files import replacing
from nagsdk.common.reading import json_of, lines_of
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import NagsdkError, UsageError
from nagsdk.measuring.store import Kept, Store

FORMAT = "nagsdk-readings/1"
_MOST_BYTES, _MOST_LINE = 1 << 30, 1 << 20
_NEXT_STEP = "Export the store again (nagsdk store export), and copy the complete file."


def export_readings(store: Store, path: Path) -> int:
    """Writes all readings of a store to a file and returns their number; writes nothing after an error.

    Raises:
        OutputError: The file cannot be written.
    """
    count, digest = 0, hashlib.sha256()
    with replacing(path) as file:

        def put(content: dict[str, Any]) -> None:
            line = json.dumps(content).encode() + b"\n"
            digest.update(line)
            file.write(line)

        put({"format": FORMAT})
        for kept in store.readings():
            put(_to_dict(kept))
            count += 1
        file.write(json.dumps({"readings": count, "sha256": digest.hexdigest()}).encode() + b"\n")
    return count


def import_readings(store: Store, path: Path) -> int:
    """Adds the readings of a file that the store does not have and returns their number; adds none after an error.

    Raises:
        UsageError: The file cannot be read, is incomplete, was changed, or has another format.
    """
    try:
        return store.add_all(_readings(lines_of(path, _MOST_BYTES, _MOST_LINE), path))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {what_is_wrong(error)}.",
            "Give a file that `nagsdk store export` wrote; prune the store before the export if it is too large.",
        ) from error


def _readings(lines: Iterator[bytes], path: Path) -> Iterator[Kept]:
    digest, count, ended = hashlib.sha256(), 0, False
    for number, line in enumerate(lines, 1):
        if ended:
            raise UsageError(f"{path}, line {number}: there are more lines after the end.", _NEXT_STEP)
        try:
            content = json_of(line)
            if number == 1:
                if content != {"format": FORMAT}:
                    raise ValueError(f"the format of the file is not {FORMAT}")
            elif not isinstance(content, dict):
                raise ValueError("it is not a reading")
            elif "sha256" in content:
                ended = True
                if content != {"readings": count, "sha256": digest.hexdigest()}:
                    raise ValueError("the file was changed after it was written")
            else:
                kept = _from_dict(content)
                count += 1
                yield kept
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}, line {number} is cut off or not JSON.", _NEXT_STEP) from error
        except KeyError as error:
            raise UsageError(f"{path}, line {number}: the field {error} is missing.", _NEXT_STEP) from error
        except (NagsdkError, ValueError) as error:
            reason = error.message.rstrip(".") if isinstance(error, NagsdkError) else error
            raise UsageError(f"{path}, line {number}: {reason}.", _NEXT_STEP) from error
        digest.update(line)
    if not ended:
        raise UsageError(f"{path} is incomplete: its end is missing.", _NEXT_STEP)


def _to_dict(kept: Kept) -> dict[str, Any]:
    return {
        "uid": kept.uid,
        "key": kept.key.to_dict(),
        "architecture": kept.architecture,
        "run": kept.run,
        "turn": kept.turn,
        "session": kept.session,
        "taken_at": kept.taken_at,
        "reading": kept.reading.to_dict(),
    }


def _from_dict(content: dict[str, Any]) -> Kept:
    names = ("key", "architecture", "reading", "session", "run", "turn", "taken_at", "uid")
    return Kept.of(*(content[name] for name in names))
