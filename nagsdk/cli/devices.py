"""``nagsdk devices``."""

from __future__ import annotations

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say


@o.command("devices", "nagsdk devices", "nagsdk devices --json")
@o.json_option
def command(as_json: bool) -> None:
    """List the devices, and whether they are available."""
    from nagsdk import inventory

    found = inventory.devices()
    if as_json:
        printing.print_json(found)
        return
    for device in found:
        aliases = f"({', '.join(device['aliases'])})  " if device["aliases"] else ""
        printing.say_beside(f"{device['id']}  ", f"{aliases}{device['title']}", bold=True)
        printing.say_beside("  ", "available" if device["available"] else f"not available: {device['reason']}")
        for name, value in device["properties"].items():
            printing.say_beside(f"  {name:<18}", value)
    for plugin in inventory.plugins():
        if plugin["state"] == "broken":
            say(f"The plugin {plugin['name']} is broken; see nagsdk plugins.", fg="yellow")
