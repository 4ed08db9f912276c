"""``nagsdk store``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.common.wording import counted


@click.group("store", cls=o.Group)
def command() -> None:
    """Export, import and delete stored measurements.

    All readings are stored by device, runtime, settings and architecture.
    """


@command.command(
    "export",
    epilog=o.example_lines(
        "nagsdk store export readings.jsonl",
        "nagsdk store export readings.jsonl \\\n    --store postgresql://lab@db.example/readings",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@o.store_option
@o.json_option
def export(file: str, store: str | None, as_json: bool) -> None:
    """Write all measurements to a file for another machine."""
    from nagsdk import inventory

    _tell({"readings": inventory.export_store(file, store), "file": file}, "written to {file}", as_json)


@command.command("import", epilog=o.example_lines("nagsdk store import readings.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False))
@o.store_option
@o.json_option
def import_(file: str, store: str | None, as_json: bool) -> None:
    """Add the measurements of a file.

    Measurements that are already stored stay unchanged.
    """
    from nagsdk import inventory

    _tell({"readings": inventory.import_store(file, store), "file": file}, "added", as_json)


@command.command("prune", epilog=o.example_lines("nagsdk store prune --older-than 90"))
@click.option(
    "--older-than",
    "days",
    type=o.number(ranges.AGE_DAYS),
    required=True,
    metavar="DAYS",
    help="Delete measurements that are older than this.",
)
@o.store_option
@o.json_option
def prune(days: float, store: str | None, as_json: bool) -> None:
    """Delete old measurements.

    Calibrated cost models are not deleted.
    """
    from nagsdk import inventory

    _tell({"readings": inventory.prune_store(days, store)}, "deleted", as_json)


def _tell(content: dict[str, Any], done: str, as_json: bool) -> None:
    if as_json:
        printing.print_json(content)
    else:
        say(f"{counted(content['readings'], 'reading')} {done.format(**content)}.")
