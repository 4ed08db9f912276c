"""What the command line sets in its process, which is its own, before anything else runs."""

from __future__ import annotations

import io
import os
import sys

from nagsdk.common.telemetry import switch_off


def set_up() -> None:
    """Keeps standard output for results, threads within the quota of a container, and reports of runtimes off."""
    switch_off()
    _keep_output()
    _keep_quota()


def _keep_output() -> None:
    """Writes results to a copy of descriptor 1; what libraries write to the descriptor itself goes to standard error.

    So nothing that a library prints gets into a result that a program reads.
    """
    stream = sys.stdout
    try:
        if stream is None or stream.fileno() != 1 or not isinstance(stream, io.TextIOWrapper):
            return
        stream.flush()
        own = open(os.dup(1), "wb")  # noqa: SIM115, PTH123 — for as long as the process lives
        os.dup2(2, 1)
    except (OSError, ValueError):  # one of the descriptors is closed
        return
    sys.stdout = io.TextIOWrapper(
        own, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=stream.write_through
    )


def _keep_quota() -> None:
    """Tells OpenMP and OpenBLAS of a quota, which they do not ask for; they start a thread for each core by default."""
    from nagsdk.common.cores import cpu_quota, usable_cores

    if "OMP_NUM_THREADS" not in os.environ and cpu_quota() is not None:
        os.environ["OMP_NUM_THREADS"] = str(usable_cores())
