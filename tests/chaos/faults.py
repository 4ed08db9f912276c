"""Faults inside a running command: death, an error of the disk, or a signal, at its N-th change of files.

Changes below given folders are counted by an audit hook (opening for writing, making, renaming, removing) and by
wrappers where Python has no audit event (writing, flushing, swapping, SQL). The fault happens before the change.
"""

import io
import json
import os
import sqlite3
import sys
from pathlib import Path

# Audit event -> the positions of its paths.
_CHANGES = {
    "open": (0,),
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.chmod": (0,),
    "os.truncate": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "sqlite3.connect": (0,),
}
# A full disk lets files be removed.
_FREEING = ("os.remove", "os.rmdir", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Faults:
    """Counts changes of files, and lets one fault happen.

    Args:
        root: Only changes below this folder count.
        at: Number of the change, from 1; 0 for none.
        kill: Number of a signal that this process sends itself at that change; None for none.
        error: Error number that this change and, if the disk is full, all later ones fail with; None for none.
    """

    def __init__(self, root: str, at: int = 0, kill: int | None = None, error: int | None = None) -> None:
        self.root, self.at, self.kill, self.error = root, at, kill, error
        self.count = 0
        self.log: list[str] = []
        self._busy = False

    def arm(self) -> None:
        """Begins to count; cannot be undone in this process."""
        from nagsdk.common import outputs
        from nagsdk.measuring import sqlite as database

        faults, real_open, real_fsync, execute = self, io.open, os.fsync, database._Patient.execute
        swap = outputs.swap

        class Raw(io.FileIO):
            def write(self, content):
                faults.change("write", self.name)
                return super().write(content)

        def opening(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
            if not (set(mode) & set("wax+")) or not faults.concerns(file):
                return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Raw(file, mode.replace("t", "").replace("b", ""), closefd, opener)
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        def flushing(descriptor):
            faults.change("fsync", descriptor)
            return real_fsync(descriptor)

        def executing(connection, statement, *arguments):
            faults.change("sql", None, statement)
            return execute(connection, statement, *arguments)

        def swapping(first, second):
            faults.change("swap", first, second)
            return swap(first, second)

        io.open, os.fsync, database._Patient.execute = opening, flushing, executing
        outputs.swap = swapping
        sys.addaudithook(self._hear)

    def concerns(self, file) -> bool:
        """Whether a path or descriptor lies below the root."""
        if isinstance(file, int):
            try:
                file = Path(f"/proc/self/fd/{file}").readlink()
            except OSError:
                return False
        try:
            return Path(os.fsdecode(file)).absolute().is_relative_to(self.root)
        except TypeError:
            return False

    def _hear(self, event: str, arguments: tuple) -> None:
        if event not in _CHANGES or self._busy:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        self.change(event, *(arguments[place] for place in _CHANGES[event]))

    def change(self, what: str, *files) -> None:
        """Counts a change of files, and lets the fault happen if it is the one."""
        if self._busy:
            return
        self._busy = True  # what is done here is no change of the command's
        try:
            if what != "sql" and not any(map(self.concerns, files)):
                return
            self.count += 1
            self.log.append(f"{what} {files[-1]}")
            lasts = self.error is not None and os.strerror(self.error) == "No space left on device"
            if not self.at or self.count < self.at or (self.count > self.at and not lasts):
                return
        finally:
            self._busy = False
        if self.kill is not None:
            os.kill(os.getpid(), self.kill)
        elif self.error is not None and what not in _FREEING:
            if what in ("sql", "sqlite3.connect"):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
                raise error
            name = files[-1] if isinstance(files[-1], (str, Path)) else None
            raise OSError(self.error, os.strerror(self.error), *([] if name is None else [os.fspath(name)]))

    def tell(self, path: str) -> None:
        """Writes the counted changes to a file."""
        self._busy = True
        Path(path).write_text(json.dumps(self.log))
