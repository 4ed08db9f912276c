"""``nagsdk verify``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener


@o.command(
    "verify",
    "nagsdk verify app/src/main/assets/ml",
    "nagsdk verify app/src/main/assets/ml --probe nagsdk-probe.json",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--device", help="Id, alias or description file of a device [default: the manifest's].")
@click.option("--bundle", help="Name of a bundle, or its folder; only latency needs it [default: the manifest's].")
@o.serial_option
@o.lab_option
@click.option(
    "--probe",
    type=click.Path(dir_okay=False),
    help="File that the probe in your app wrote; budgets are judged by it too.",
)
@o.json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: str,
    device: str | None,
    bundle: str | None,
    serial: str | None,
    lab: str | None,
    probe: str | None,
    as_json: bool,
) -> None:
    """Check a deployment again: hashes, outputs, and what its budgets limit.

    Latency, loading and memory are measured if a budget limits them and the device is available.

    Exit code 7: files or outputs changed. Exit code 3: a budget is no longer held.
    """
    from nagsdk.pipeline.verify import verify

    found = verify(folder, device=device, bundle=bundle, serial=serial, probe=probe, lab=lab, on_event=listener())
    if as_json:
        printing.print_json(found.to_dict())
    else:
        for check in found.checks:
            color = {"passed": "green", "failed": "red"}.get(check.state, "yellow")
            printing.say_beside(f"{check.state:<8}", f"{check.name:<9}{check.detail}", fg=color)
    if found.error is not None:
        say(f"{found.error.message}\n{found.error.next_step}", err=True)
    ctx.exit(found.exit_code)
