"""The process that takes a first look at a plugin: ``python -m nagsdk.plugin.probe NAME MODULE SECONDS``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import EntryPoint


def main() -> None:
    """Loads the plugin and writes to standard output, as JSON, why it must not be loaded elsewhere."""
    name, module, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    reason = ""
    with tempfile.TemporaryFile() as past:
        os.dup2(past.fileno(), 1)
        from nagsdk.common.foreign_code import LateError, shown
        from nagsdk.errors import NagsdkError
        from nagsdk.plugin.host import GROUP, load

        try:
            load(EntryPoint(name, module, GROUP), seconds)
        except LateError:
            reason = f"It did not register within {seconds:g} s."
        except NagsdkError:
            pass  # does no harm anywhere, and is told again where it is loaded
        past.seek(0)
        written = past.read(4096).decode(errors="replace")
        if written and not reason:
            reason = f"It writes past Python to standard output, where results are printed: {shown(written)!r}."
        answers.write(json.dumps({"reason": reason}))
        answers.flush()
    os._exit(0)  # without waiting for threads of the plugin


if __name__ == "__main__":
    main()
