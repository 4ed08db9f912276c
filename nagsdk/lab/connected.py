"""The connections of this process to labs, each made once."""

from __future__ import annotations

from functools import cache

from nagsdk.lab.connection import Lab
from nagsdk.lab.local import start_local

LOCAL = "local"


@cache
def connected(address: str) -> Lab:
    """The connection of this process to a lab; ``local`` starts one on this machine, which ends with this process."""
    return start_local() if address == LOCAL else Lab(address)
