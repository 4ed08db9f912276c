"""``nagsdk lab``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say

_certificates = click.option(
    "--certificates",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the certificates [default: NAGSDK_LAB_CERTIFICATES, or lab in the data folder].",
)
_with_parent = click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input is closed.")


@click.group("lab", cls=o.Group, epilog=o.example_lines("nagsdk lab certificates lab", "nagsdk lab devices"))
def command() -> None:
    """Measure on the devices of several hosts from one place.

    Needs the extra lab: pip install 'nagsdk[lab]'. docs/lab.md says how to set one up, and whom it trusts.
    """


@command.command("certificates", epilog=o.example_lines("nagsdk lab certificates lab"))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@o.json_option
def certificates(folder: Path, as_json: bool) -> None:
    """Make the certificates of a lab.

    They are an authority, and one each for scheduler, workers and clients.

    Each host needs ca.pem and the two files of its role. Keep ca-key.pem where nobody else reads it.
    """
    from nagsdk.lab.certificates import write_certificates

    written = write_certificates(folder)
    if as_json:
        printing.print_json([str(path) for path in written])
        return
    for path in written:
        say(str(path))
    say("Copy ca.pem and the two files of its role to each host; keys only with their owner.")


@command.command(
    "scheduler",
    epilog=o.example_lines(
        "nagsdk lab scheduler --certificates lab", "nagsdk lab scheduler --listen 127.0.0.1:8786 --certificates lab"
    ),
)
@click.option("--listen", default=":8786", show_default=True, metavar="[HOST]:PORT", help="Where it listens.")
@_certificates
@_with_parent
def scheduler(listen: str, certificates: Path | None, with_parent: bool) -> None:
    """Run the scheduler of a lab until it is stopped.

    Workers and clients find each other by it.
    """
    from nagsdk.lab.daemons import run_scheduler, serve

    serve(run_scheduler(listen, certificates, _tell), with_parent)


@command.command(
    "worker",
    epilog=o.example_lines(
        "nagsdk lab worker tls://lab-server:8786 --certificates lab",
        "nagsdk lab worker tls://lab-server:8786 --device pixel-8 \\\n    --device board.toml",
    ),
)
@click.argument("address")
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Device to offer: id, alias or description file; may be repeated [default: all that are available].",
)
@click.option("--name", help="Name of this worker, for people [default: the name of this host].")
@click.option("--listen", default=":0", metavar="[HOST]:PORT", help="Where it listens for clients [default: any port].")
@click.option(
    "--contact-address",
    "contact",
    metavar="tls://HOST:PORT",
    help="Address at which clients reach it, if it is another one, such as from outside of a container.",
)
@click.option(
    "--cache",
    "most_mb",
    type=click.IntRange(1, 10_000_000),
    default=4000,
    show_default=True,
    metavar="MB",
    help="What model files of clients may take on this host.",
)
@_certificates
@_with_parent
def worker(
    address: str,
    devices: tuple[str, ...],
    name: str | None,
    listen: str,
    contact: str | None,
    most_mb: int,
    certificates: Path | None,
    with_parent: bool,
) -> None:
    """Offer this host's devices to a lab until it is stopped.

    ADDRESS is the scheduler's, such as tls://lab-server:8786. A client uses a device alone, as long as it measures.
    """
    from nagsdk.lab.daemons import run_worker, serve

    running = run_worker(
        address,
        devices,
        name=name,
        listen=listen,
        contact=contact,
        most_bytes=most_mb * 10**6,
        certificates=certificates,
        on_event=_tell,
    )
    serve(running, with_parent)


@command.command("devices", epilog=o.example_lines("nagsdk lab devices --lab tls://lab-server:8786"))
@o.lab_option
@o.json_option
def devices(lab: str | None, as_json: bool) -> None:
    """List the workers of a lab and their devices."""
    from nagsdk.lab.reach import listed

    found = listed(_required(lab))
    if as_json:
        printing.print_json(found)
        return
    for one in found:
        printing.say_beside(
            f"{one['worker']}  ", one["problem"] or f"nagsdk {one['version']}, {one['address']}", bold=True
        )
        for device in one["devices"]:
            state = f"in use by {device['busy']}" if device["busy"] else "free"
            state = state if device["available"] else f"not available: {device['reason']}"
            printing.say_beside(f"  {device['id']}  ", f"{device['title']}, {state}")
    if not found:
        say("The scheduler knows no worker. Start one: nagsdk lab worker ADDRESS")


def _required(lab: str | None) -> str:
    if lab is None:
        raise click.MissingParameter("NAGSDK_LAB sets it for all commands.", param_hint="'--lab'", param_type="option")
    return lab


def _tell(event: Any) -> None:
    say(event.text, err=True)
