"""``nagsdk generate``."""

from __future__ import annotations

import click

from nagsdk.cli import output as o


@click.command("generate", epilog="Example: nagsdk generate --device cpu --bundle imagenet --budgets 10ms,20ms,40ms --json")
@o.options(
    o.device_option,
    click.option("--budget", help="Such as 80ms, 80ms@p90, 12MB or 300MMACs."),
    click.option("--budgets", help="Several, with commas; prints a list."),
    o.bundle_option,
    o.resolution_option,
    o.threads_option,
    o.batch_option,
    o.precision_option,
    o.serial_option,
    click.option("--confidence", default=0.9, show_default=True, help="How sure the cost model must be that the budget holds."),
    o.seed_option,
    o.json_option,
)
def command(
    device: str,
    budget: str | None,
    budgets: str | None,
    bundle: str,
    resolution: int | None,
    threads: int | None,
    batch: int | None,
    precision: str | None,
    serial: str | None,
    confidence: float,
    seed: int,
    as_json: bool,
) -> None:
    """The best architecture for a budget, by inference, without measuring.

    Uses the device's calibration where there is one, otherwise the prior shipped with its description.
    """
    if (budget is None) == (budgets is None):
        raise click.UsageError("Give either --budget or --budgets.")
    from nagsdk import api
    from nagsdk.budget import Budget

    wanted = [Budget.parse(text, confidence) for text in (budgets.split(",") if budgets is not None else [str(budget)])]
    with o.listening() as listener:
        results = api.generate(
            device=device,
            budgets=wanted,
            bundle=bundle,
            resolution=resolution,
            threads=threads,
            batch=batch,
            precision=precision,
            serial=serial,
            seed=seed,
            on_event=listener,
        )
    if as_json:
        o.print_json([r.to_dict() for r in results] if budgets is not None else results[0].to_dict())
    else:
        for result in results:
            o.print_result(result)
