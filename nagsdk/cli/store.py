"""``nagsdk store``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing


@click.group("store", cls=o.Group)
def command() -> None:
    """Keep, move and forget measurements.

    Every reading that was ever taken is kept, under the device, its runtime and settings, and the architecture.
    """


@command.command("export", epilog=o.example_lines("nagsdk store export readings.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False))
@o.json_option
def export(file: str, as_json: bool) -> None:
    """Write all measurements to FILE, for another machine."""
    from nagsdk import inventory

    _tell(
        {"readings": inventory.export_store(file), "file": file}, "{readings} readings were written to {file}.", as_json
    )


@command.command("import", epilog=o.example_lines("nagsdk store import readings.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False))
@o.json_option
def import_(file: str, as_json: bool) -> None:
    """Add the measurements of FILE; those that are known already stay as they are."""
    from nagsdk import inventory

    _tell({"readings": inventory.import_store(file), "file": file}, "{readings} new readings were added.", as_json)


@command.command("prune", epilog=o.example_lines("nagsdk store prune --older-than 90"))
@click.option(
    "--older-than", "days", type=click.FloatRange(min=0), required=True, metavar="DAYS", help="Forget what is older."
)
@o.json_option
def prune(days: float, as_json: bool) -> None:
    """Forget old measurements. Calibrated cost models stay."""
    from nagsdk import inventory

    _tell({"readings": inventory.prune_store(days)}, "{readings} readings were forgotten.", as_json)


def _tell(content: dict[str, object], text: str, as_json: bool) -> None:
    if as_json:
        printing.print_json(content)
    else:
        click.echo(text.format(**content))
