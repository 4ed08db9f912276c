"""``nagsdk plugins``."""

from __future__ import annotations

import click

from nagsdk.cli import output as o


@click.command("plugins")
@o.json_option
def command(as_json: bool) -> None:
    """The hardware plugins and their state."""
    from nagsdk import housekeeping

    found = housekeeping.plugins()
    if as_json:
        o.print_json(found)
        return
    o.print_table(
        ("plugin", "state", "module", "package", "reason"),
        [tuple(p[k] for k in ("name", "state", "module", "distribution", "reason")) for p in found],
    )
