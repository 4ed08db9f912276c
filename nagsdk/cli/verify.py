"""``nagsdk verify``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.progress import listener


@o.command("verify", "nagsdk verify app/src/main/assets/ml")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--device", help="Where to run it [default: the manifest's device].")
@click.option("--bundle", help="Name of a bundle or its folder, for the latency [default: the manifest's].")
@click.option("--serial", help="Which of several attached phones, or host:port of one.")
@o.json_option
@click.pass_context
def command(
    ctx: click.Context, /, folder: str, device: str | None, bundle: str | None, serial: str | None, as_json: bool
) -> None:
    """Check a deployment again: hashes, outputs, and with the device its latency, where a budget limits that.

    Exit code 7: a file or its outputs are not what was deployed; 3: it no longer holds its latency budget.
    """
    import nagsdk

    found = nagsdk.verify(folder, device=device, bundle=bundle, serial=serial, on_event=listener())
    if as_json:
        printing.print_json(found.to_dict())
    else:
        for check in found.checks:
            color = {"passed": "green", "failed": "red"}.get(check.state, "yellow")
            click.secho(f"{check.state:<8}", fg=color, nl=False)
            click.echo(f"{check.name:<9}{check.detail}")
    if found.error is not None:
        click.echo(f"{found.error.message}\n{found.error.next_step}", err=True)
    ctx.exit(found.exit_code)
