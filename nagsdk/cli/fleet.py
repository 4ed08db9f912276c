"""``nagsdk fleet``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener

if TYPE_CHECKING:
    from nagsdk.manifest.fleet import Fleet


class _Share(click.ParamType[float]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads ``95%`` or ``95``."""
        share: float = o.number(ranges.SHARE).convert(str(value).strip().removesuffix("%").strip(), param, ctx)
        return share


@o.command(
    "fleet",
    "nagsdk fleet fleet.toml --budget 80ms --share 95% --bundle imagenet",
    "nagsdk fleet fleet.toml --budget 80ms --share 95% \\\n    --bundle imagenet --output models",
)
@click.argument("population", type=click.Path(dir_okay=False))
@o.options(
    click.option(
        "--budget", required=True, metavar="BUDGET", help="Latency of one inference, such as 80ms or 80ms@p90."
    ),
    click.option(
        "--share", type=_Share(), required=True, help="Share of the users for whom it shall hold, such as 95%."
    ),
    click.option(
        "--models",
        type=o.number(ranges.MODELS),
        help="Number of models, 1 to 4 [default: the fewest that are worth it].",
    ),
    o.bundle_option,
    click.option("--output", type=click.Path(file_okay=False), help="New folder for models, selector and report."),
    click.option("--threads", type=o.number(ranges.THREADS), help="Threads of one inference [default: the devices']."),
    click.option("--precision", help="Number format, such as fp32 or int8 [default: the devices']."),
    o.images_option,
    o.timing_only_option,
    o.seed_option,
    o.json_option,
)
def command(population: str, budget: str, share: float, as_json: bool, **settings: Any) -> None:
    """Choose the few models that serve the devices of all users, and which device takes which.

    POPULATION is a file (fleet.toml) that lists devices and their shares of the users.
    """
    from nagsdk.pipeline.fleet import fleet

    found = fleet(population, budget, share, **settings, on_event=listener())
    if as_json:
        printing.print_json(found.to_dict())
    else:
        _print(found)


def _print(found: Fleet) -> None:
    for warning in found.warnings:
        say(f"Warning: {warning}", fg="yellow")
    first = found.sizes[0]
    head = ("models", "mean top-1", "gain", "budget held", "optimal")
    rows = [
        (
            f"{size.models}{' (chosen)' if size is found.chosen else ''}",
            f"{size.top1:.2f} %",
            "" if size is first else f"{size.top1 - first.top1:+.2f}",
            f"{size.held:.1f} % of users",
            "proven" if size.gap == 0 else f"within {size.gap:.2%}",
        )
        for size in found.sizes
    ]
    printing.print_table(head, rows)
    say("")
    models = [
        (
            model.name,
            f"{model.share:.1f} % of users",
            f"{model.top1:.2f} %",
            f"{model.macs / 1e6:.4g}",
            model.architecture,
        )
        for model in found.models
    ]
    printing.print_table(("model", "taken by", "top-1", "MMACs", "architecture"), models)
    say("")
    rule = found.selector
    say(
        f"By chip and benchmark, phones hold {found.budget} for {rule.held:.1f} % of the users "
        f"(mean top-1 {rule.top1:.2f} %)."
    )
    if found.folder is not None:
        say(f"Written to {found.folder}: models, selector.json, NagsdkSelector.kt, nagsdk_selector.hpp, report.html")
