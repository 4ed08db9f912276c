"""``nagsdk devices pool``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.common.wording import counted

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@click.group(
    "pool",
    cls=o.Group,
    invoke_without_command=True,
    epilog=o.example_lines("nagsdk devices pool", "nagsdk devices pool add --device cpu --bundle imagenet"),
)
@o.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the calibrated devices that the next calibration starts from.

    Nothing joins by itself unless the setting pool_join is on, and nothing leaves this computer but by 'export'.
    """
    if context.invoked_subcommand is not None:
        return
    from nagsdk import inventory

    members = inventory.pool_members()
    if as_json:
        printing.print_json(members)
        return
    if not members:
        say("The pool is empty. Add a calibrated device: nagsdk devices pool add --device NAME --bundle NAME")
    for member in members:
        printing.say_beside(f"{member['name']}  ", member["title"], bold=True)
        settings = f"{member['runtime']} {member['runtime_version']}, {member['precision']}".strip()
        threads, images = counted(member["threads"], "thread"), counted(member["batch"], "image")
        printing.say_beside("  ", f"{settings}, {threads}, {images}; {counted(member['samples'], 'network')}")


@command.command("add", epilog=o.example_lines("nagsdk devices pool add --device cpu --bundle imagenet"))
@o.target_options()
@click.option("--name", help="Name in the pool [default: of device, bundle and settings].")
@o.json_option
def add(target: Target, name: str | None, as_json: bool) -> None:
    """Add a calibrated device, in place of an earlier calibration of it."""
    from nagsdk.pipeline.calibrate import add_to_pool

    member = add_to_pool(target, name)
    if as_json:
        printing.print_json(member.to_dict())
        return
    say(f"{member.title} is in the pool as {member.name}, with {counted(len(member.p50_ms), 'network')}.")


@command.command(
    "learn",
    epilog=o.example_lines(
        "nagsdk devices pool learn --bundle imagenet",
        "nagsdk devices pool learn --bundle imagenet \\\n    --store postgresql://lab@db.example/readings",
    ),
)
@o.bundle_option
@o.store_option
@o.json_option
def learn(bundle: str, store: str | None, as_json: bool) -> None:
    """Add every device that was calibrated with a store.

    The store may be that of a lab. The next calibration of a device with the same runtime and settings starts from
    these devices.
    """
    from nagsdk import inventory

    members = inventory.learn_pool(bundle, store)
    if as_json:
        printing.print_json(members)
        return
    say(f"{counted(len(members), 'device')} of the store {'is' if len(members) == 1 else 'are'} in the pool.")
    for member in members:
        printing.say_beside("  ", f"{member['name']}: {member['title']}, {counted(member['samples'], 'network')}")


@command.command("remove", epilog=o.example_lines("nagsdk devices pool remove old-phone"))
@click.argument("name")
@o.json_option
def remove(name: str, as_json: bool) -> None:
    """Remove a device from the pool."""
    from nagsdk import inventory

    inventory.remove_from_pool(name)
    if as_json:
        printing.print_json({"removed": name})
        return
    say(f"{name} was removed from the pool.")


@command.command("export", epilog=o.example_lines("nagsdk devices pool export lab.json"))
@click.argument("file", type=click.Path(dir_okay=False))
@o.json_option
def export(file: str, as_json: bool) -> None:
    """Write the pool to a file that others import.

    The file holds the devices' titles, runtimes and settings, a hash of each device, and the measured latencies.
    """
    from nagsdk import inventory

    _tell(inventory.export_pool(file), file, f"written to {file}", as_json)


@command.command("import", epilog=o.example_lines("nagsdk devices pool import lab.json"))
@click.argument("file", type=click.Path(dir_okay=False))
@o.json_option
def import_(file: str, as_json: bool) -> None:
    """Add the devices of a file that somebody exported."""
    from nagsdk import inventory

    _tell(inventory.import_pool(file), file, "added to the pool", as_json)


def _tell(count: int, file: str, what: str, as_json: bool) -> None:
    if as_json:
        printing.print_json({"devices": count, "file": file})
        return
    say(f"{counted(count, 'device')} {what}.")
