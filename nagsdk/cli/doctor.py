"""``nagsdk doctor``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.progress import listener

_COLORS = {"ok": "green", "absent": "yellow", "wrong": "red"}


@o.command("doctor", "nagsdk doctor", "nagsdk doctor --json > doctor.json")
@o.json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool) -> None:
    """Check this installation, and name the commands that fix it.

    Checks Python, packages, settings, folders, stored measurements, plugins, devices and the network. Parts marked
    "absent" are optional. The exit code is 4 if something is wrong.
    """
    from nagsdk.doctor.checks import doctor

    found = doctor(on_event=listener())
    if as_json:
        printing.print_json(found)
    else:
        for finding in found:
            label = f"{finding['state']:<8}{finding['area']:<10}"
            printing.say_beside(label, finding["found"], fg=_COLORS[finding["state"]])
            if finding["mend"]:
                printing.say_beside(f"{'':<18}→ ", finding["mend"])
    ctx.exit(4 if any(f["state"] == "wrong" for f in found) else 0)
