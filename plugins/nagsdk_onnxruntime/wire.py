"""Messages between a session and its worker: one line of JSON, then `bytes` bytes."""

from __future__ import annotations

import json
from typing import IO, Any

Message = tuple[dict[str, Any], bytes]


def read(stream: IO[bytes]) -> Message | None:
    """Reads one message; None at the end of the stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    body = stream.read(header["bytes"])
    return (header, body) if len(body) == header["bytes"] else None


def write(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Writes one message."""
    stream.write(json.dumps({**header, "bytes": len(body)}).encode() + b"\n" + body)
    stream.flush()
