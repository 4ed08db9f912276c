"""``nagsdk generate``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o


@click.command(
    "generate",
    epilog=o.examples(
        "nagsdk generate --device cpu --budget 0.2ms",
        "nagsdk generate --device cpu --bundle imagenet --budgets 10ms,20ms,40ms --json",
        "nagsdk generate --device cpu --bundle imagenet --min-top1 76",
        "nagsdk generate --device pixel-1 --device pixel-2 --bundle imagenet --budget 80ms",
    ),
)
@o.options(
    click.option(
        "--device",
        multiple=True,
        callback=o.device_named,
        default=lambda: [name for name in [o.setting("device")()] if name],
        shell_complete=o.completing("devices"),
        help="Device id or alias; repeated, one architecture for all of them [default: NAGSDK_DEVICE].",
    ),
    click.option("--per-device", is_flag=True, help="One architecture for each device instead."),
    o.budget_option(required=False),
    click.option("--budgets", help="Several, with commas, each on its own; prints a list."),
    click.option("--min-top1", type=click.FloatRange(0, 100), help="The fastest architecture with this predicted top-1 in percent."),
    o.bundle_option,
    o.strategy_option,
    o.resolution_option,
    o.device_settings,
    click.option("--confidence", default=0.9, show_default=True, help="How sure the cost model must be that the budget holds."),
    o.seed_option,
    o.json_option,
)
def command(
    device: tuple[str, ...],
    per_device: bool,
    budget: tuple[str, ...],
    budgets: str | None,
    min_top1: float | None,
    bundle: str,
    strategy: str,
    resolution: int | None,
    confidence: float,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """The best architecture for a budget, by inference, without measuring.

    Uses a device's calibration where there is one, otherwise the prior shipped with its description.
    """
    if (bool(budget) + (budgets is not None) != 1) if min_top1 is None else budgets is not None:
        raise click.UsageError("Give either --budget or --budgets, or --min-top1 with or without --budget.")
    from nagsdk import api
    from nagsdk.errors import InfeasibleError
    from nagsdk.plugin.units import read_budget

    together = [read_budget(text, confidence) for text in budget]
    wanted = [[read_budget(text, confidence)] for text in budgets.split(",")] if budgets is not None else [together] if together else []
    results, failed = [], None
    with o.listening() as listener:
        for devices in [[name] for name in device] if per_device else [list(device)]:
            try:
                results += api.generate(
                    device=devices,
                    budgets=wanted,
                    min_top1=min_top1,
                    bundle=bundle,
                    strategy=strategy,
                    resolution=resolution,
                    seed=seed,
                    on_event=listener,
                    **settings,
                )
            except InfeasibleError as error:
                results += error.results
                failed = failed or error
    # What can be answered is, before the error is told.
    if failed is not None and not results:
        raise failed
    if as_json:
        listed = budgets is not None or len(device) > 1
        o.print_json([r.to_dict() for r in results] if listed else results[0].to_dict())
    else:
        for result in results:
            o.print_result(result)
    if failed is not None:
        raise failed
