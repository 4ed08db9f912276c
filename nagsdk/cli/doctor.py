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
    """What works here, what is missing, what is wrong, and the command that mends it.

    Looks at Python, packages, settings, folders, kept measurements, plugins, devices and the network. "absent" matters only
    to those who want it. Ends with exit code 4 where something is wrong.
    """
    from nagsdk.doctor.checks import doctor

    found = doctor(on_event=listener())
    if as_json:
        printing.print_json(found)
    else:
        for finding in found:
            click.secho(f"{finding['state']:<8}", fg=_COLORS[finding["state"]], nl=False)
            click.echo(f"{finding['area']:<10}{finding['found']}")
            if finding["mend"]:
                click.echo(f"{'':<18}→ {finding['mend']}")
    ctx.exit(4 if any(f["state"] == "wrong" for f in found) else 0)
