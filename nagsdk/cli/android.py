"""``nagsdk android``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener


@click.group("android", cls=o.Group)
def command() -> None:
    """Install the tool that measures on Android phones."""


@command.command("setup", epilog=o.example_lines("nagsdk android setup", "nagsdk android setup --from benchmark_model"))
@click.option("--from", "source", type=click.Path(), help="Use this file instead of downloading it.")
@o.json_option
def setup(source: str | None, as_json: bool) -> None:
    """Install TFLite's benchmark_model.

    Without --from, the official build for 64-bit ARM is downloaded. Its hash is recorded the first time and
    checked every time after that.
    """
    from nagsdk import inventory

    record = inventory.setup("android", source, on_event=listener())
    if as_json:
        printing.print_json(record)
    else:
        origin = f"sha256 {record['sha256'][:16]}…, from {record['source']}"
        say(f"benchmark_model for {record['abi']} phones is installed ({origin}).")
