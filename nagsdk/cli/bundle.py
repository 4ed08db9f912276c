"""``nagsdk bundle``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener
from nagsdk.common.wording import counted

_WIDTH = 80


@click.group("bundle", cls=o.Group)
def command() -> None:
    """List, inspect and fetch bundles."""


@command.command("list", epilog=o.example_lines("nagsdk bundle list"))
@o.json_option
def list_(as_json: bool) -> None:
    """List the shipped bundles."""
    from nagsdk import inventory

    found = inventory.bundles()
    if as_json:
        printing.print_json(found)
        return
    rows = [(b["name"], "yes" if b["weights"] else "no", "yes" if b["images"] else "no", b["title"]) for b in found]
    printing.print_table(("bundle", "weights", "images", "what"), rows)


@command.command("show", epilog=o.example_lines("nagsdk bundle show glyphs"))
@click.argument("name")
@o.json_option
def show(name: str, as_json: bool) -> None:
    """Show a bundle's space, files, provenance and accuracy."""
    from nagsdk import inventory

    found = inventory.show_bundle(name)
    if as_json:
        printing.print_json(found)
        return
    for line in _summary(found):
        say(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1].rsplit(' ', 1)[0]} …")
    say("The whole description: --json.")


def _summary(found: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One line for each value; what is nested deeper than two levels is only counted."""
    for key, value in found.items():
        if isinstance(value, Mapping) and not indent:
            yield key
            yield from _summary(value, "  ")
        elif isinstance(value, (Mapping, list)) and not all(isinstance(part, (str, int, float)) for part in value):
            yield f"{indent}{key:<23} {counted(len(value), 'entry', 'entries')}"
        elif isinstance(value, Mapping):
            yield f"{indent}{key:<23} {', '.join(f'{name} {part}' for name, part in value.items())}"
        else:
            yield f"{indent}{key:<23} {', '.join(map(str, value)) if isinstance(value, list) else value}"


@command.command(
    "pull", epilog=o.example_lines("nagsdk bundle pull imagenet", "nagsdk bundle pull imagenet --from checkpoint.pth")
)
@click.argument("name")
@click.option(
    "--from", "source", type=click.Path(dir_okay=False), help="Use this checkpoint file instead of downloading it."
)
@o.json_option
def pull(name: str, source: str | None, as_json: bool) -> None:
    """Download a bundle's supernet weights.

    The file must have the SHA-256 that the bundle pins. Where it pins none, the first download is trusted, and later
    ones must be equal to it.
    """
    _import(name, source, as_json)


@command.command("import-ofa", epilog=o.example_lines("nagsdk bundle import-ofa checkpoint.pth --bundle imagenet"))
@click.argument("checkpoint", type=click.Path(dir_okay=False))
@click.option(
    "--bundle", "name", default="imagenet", show_default=True, help="Name of the bundle that gets the weights."
)
@o.json_option
def import_ofa(checkpoint: str, name: str, as_json: bool) -> None:
    """Import the weights of a released Once-for-All checkpoint.

    The file is opened with weights_only=True, so it can contain tensors but no code.
    """
    _import(name, checkpoint, as_json)


def _import(name: str, source: str | None, as_json: bool) -> None:
    from nagsdk import inventory

    record = inventory.pull_bundle(name, source, on_event=listener())
    if as_json:
        printing.print_json(record)
    else:
        say(f"Bundle {record['bundle']} now has weights (sha256 {record['sha256'][:16]}…, from {record['source']}).")
