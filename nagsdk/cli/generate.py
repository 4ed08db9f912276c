"""``nagsdk generate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.errors import InfeasibleError

if TYPE_CHECKING:
    from nagsdk.manifest.result import Result
    from nagsdk.pipeline.target import Target


@o.command(
    "generate",
    "nagsdk generate --device cpu --budget 0.2ms",
    "nagsdk generate --device cpu --bundle imagenet --budgets 10ms,20ms,40ms",
    "nagsdk generate --device cpu --bundle imagenet --min-top1 76 --json",
    "nagsdk generate --device cpu --budget 0.2ms --from mbv3:r32:…",
    "nagsdk generate --device pixel-1 --device pixel-2 \\\n    --bundle imagenet --budget 80ms",
)
@o.target_options(several=True, inference=True)
@o.options(
    click.option("--per-device", is_flag=True, help="Find one architecture for each device instead of one for all."),
    o.budget_options,
    click.option(
        "--strategy",
        shell_complete=o.completing("strategies"),
        help="How architectures are found: see `nagsdk deploy --help` [default: nag; transform with --from].",
    ),
    click.option(
        "--from", "start", metavar="ARCH", help="Your present architecture: what few changes of it gain most?"
    ),
    o.resolution_option,
    o.seed_option,
    o.json_option,
)
def command(
    targets: list[Target],
    per_device: bool,
    budget_texts: tuple[str, ...],
    budgets: str | None,
    min_top1: float | None,
    confidence: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find the best architecture for a budget without measuring.

    Latencies come from the device's calibration if there is one, otherwise from the prior shipped with its description.
    """
    from nagsdk.api import generate

    asked = o.asked_budgets(budget_texts, budgets, min_top1, confidence)
    results: list[Result] = []
    failed: InfeasibleError | None = None
    for together in [[target] for target in targets] if per_device else [targets]:
        try:
            results += generate(together, asked, min_top1=min_top1, **settings)
        except InfeasibleError as error:
            results += error.results
            failed = failed or error
    # The answers that exist are printed before the error is raised.
    if failed is not None and not results:
        raise failed
    if as_json:
        listed = budgets is not None or len(targets) > 1
        printing.print_json([r.to_dict() for r in results] if listed else results[0].to_dict())
    else:
        printing.print_results(results)
    if failed is not None:
        raise failed
