"""``nagsdk devices``."""

from __future__ import annotations

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import pool, printing
from nagsdk.cli.printing import say


@click.group(
    "devices",
    cls=o.Group,
    invoke_without_command=True,
    epilog=o.example_lines("nagsdk devices", "nagsdk devices --json"),
)
@o.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the devices, and whether they are available."""
    if context.invoked_subcommand is not None:
        return
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


class _Reading(click.ParamType[tuple[str, float]]):
    name = "reading"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> tuple[str, float]:
        """Reads ``NETWORK=TIME``."""
        from nagsdk.budget import LATENCY, Budget
        from nagsdk.errors import UsageError

        network, _, time = str(value).partition("=")
        budget = Budget.parse(time or "?")
        if budget.metric != LATENCY or budget.images or budget.percentile != 50:
            raise UsageError(f"{time!r} is not the latency of a network.", "Write it like mobilenet_v3_large=7.7ms.")
        return network, budget.limit


@command.command(
    "add",
    epilog=o.example_lines(
        "nagsdk devices add my-phone --reading mobilenet_v3_large=7.7ms",
        "nagsdk devices add board --reading mobilenet_v2=9ms --like litert",
        "nagsdk devices add tablet --chip 'Cortex-A78 2.4 GHz'",
    ),
)
@click.argument("name")
@click.option(
    "--reading",
    "readings",
    type=_Reading(),
    multiple=True,
    metavar="NETWORK=TIME",
    help="Published or own latency of a well-known network with one image, in float32 or as NETWORK@int8; repeatable.",
)
@click.option("--chip", metavar="'CORE GHZ'", help="Core and frequency, such as 'Cortex-A78 2.4 GHz'.")
@click.option(
    "--reading-threads",
    type=o.number(ranges.THREADS),
    default=1,
    show_default=True,
    help="Threads of the readings and of inferences.",
)
@click.option("--like", default="android", show_default=True, help="Device whose backend and options the new one has.")
@click.option(
    "--kernels",
    default="xnnpack",
    show_default=True,
    help="Kernels that the readings are of: xnnpack, tflite-2019 or ncnn.",
)
@click.option("--title", help="Name for people [default: NAME].")
@click.option("--output", type=click.Path(dir_okay=False), help="File to write [default: NAME.toml].")
@o.json_option
def add(
    name: str,
    readings: tuple[tuple[str, float], ...],
    chip: str | None,
    reading_threads: int,
    like: str,
    kernels: str,
    title: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Describe a device by latencies of well-known networks, or by its chip.

    The file gives a cost model before anything is measured; 'nagsdk calibrate' goes on from there.
    """
    from dataclasses import asdict

    from nagsdk.pipeline.readings import add_device

    if len(dict(readings)) < len(readings):
        raise click.UsageError("A network has two readings; give its median.")
    device = add_device(
        name,
        dict(readings),
        chip=chip,
        like=like,
        kernels=kernels,
        reading_threads=reading_threads,
        title=title,
        output=output,
    )
    file = output or f"{name}.toml"
    if as_json:
        printing.print_json({**asdict(device), "readings": dict(device.readings), "file": file})
        return
    say(f"{file} describes {device.title}.")
    say(f"Next: nagsdk generate --device {file} --bundle imagenet --budget 8ms")


command.add_command(pool.command)
