"""The subprocess of a first look at a plugin: ``python -m nagsdk.plugin.probe NAME MODULE SECONDS``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import EntryPoint


def main() -> None:
    """Loads the plugin and writes to standard output, as JSON, why it must not be loaded in other processes."""
    name, module, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    reason = ""
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1)
        from nagsdk.common.foreign_code import LateError, shown
        from nagsdk.errors import NagsdkError
        from nagsdk.plugin.load import GROUP, load

        try:
            load(EntryPoint(name, module, GROUP), seconds)
        except LateError:
            reason = f"It did not register within {seconds:g} s."
        except NagsdkError:
            pass  # harmless, and reported when the plugin is loaded
        output.seek(0)
        written = output.read(4096).decode(errors="replace")
        if written and not reason:
            reason = (
                "It writes directly to file descriptor 1, which would mix with the results on standard output: "
                f"{shown(written)!r}."
            )
        answers.write(json.dumps({"reason": reason}))
        answers.flush()
    os._exit(0)  # does not wait for threads of the plugin


if __name__ == "__main__":
    main()
