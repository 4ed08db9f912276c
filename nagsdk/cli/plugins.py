"""``nagsdk plugins``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say


@click.group(
    "plugins",
    cls=o.Group,
    invoke_without_command=True,
    epilog=o.example_lines("nagsdk plugins", "nagsdk plugins doctor", "nagsdk plugins new board"),
)
@o.json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool) -> None:
    """List the plugins and their state, or write a new one.

    A plugin that is broken, too slow, or prints where it must not is listed with the reason, and does not affect the
    others.
    """
    if ctx.invoked_subcommand is None:
        from nagsdk import inventory

        _show(inventory.plugins(), as_json)


@command.command("doctor", epilog=o.example_lines("nagsdk plugins doctor", "nagsdk plugins doctor --json"))
@o.json_option
@click.pass_context
def doctor(ctx: click.Context, /, as_json: bool) -> None:
    """Load every plugin again and show what it registers.

    Plugins that do not belong to nagsdk are loaded in a subprocess first. The exit code is 4 if a plugin is broken.
    """
    from nagsdk import inventory

    found = inventory.plugins(again=True)
    _show(found, as_json)
    ctx.exit(4 if any(p["state"] == "broken" for p in found) else 0)


@command.command(
    "new",
    epilog=o.example_lines(
        "nagsdk plugins new board",
        "nagsdk plugins new board --output work/board",
        "nagsdk plugins new waists --space",
    ),
)
@click.argument("name")
@click.option("--output", type=click.Path(), help="Folder to create [default: nagsdk-NAME].")
@click.option("--space", is_flag=True, help="A family of networks instead of a device.")
@o.json_option
def new(name: str, output: str | None, space: bool, as_json: bool) -> None:
    """Write a new plugin to start from.

    It can be installed, runs, and passes the conformance suite. NAME is the id of its backend and device, or of its
    family of networks: lower-case letters and digits.
    """
    from nagsdk import inventory

    made = inventory.new_plugin(name, output, space=space)
    if as_json:
        printing.print_json(made)
        return
    say(f"{made['folder']} holds the plugin {name}. Next:")
    for step in made["next"]:
        say(f"  {step}")


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        printing.print_json(found)
        return
    for plugin in found:
        color = {"loaded": "green", "broken": "red"}.get(plugin["state"], "yellow")
        named = f"{plugin['name']:<16}{plugin['distribution']}  ({plugin['module']})"
        printing.say_beside(f"{plugin['state']:<10}", named, fg=color)
        registers = f"registers {', '.join(plugin['registered'])} in {plugin['seconds']:.2f} s"
        for line in (registers if plugin["registered"] else "", plugin["reason"]):
            if line:
                printing.say_beside(" " * 10, line)
