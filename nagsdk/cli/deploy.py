"""``nagsdk deploy``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o
from nagsdk.common.wording import counted


@click.command(
    "deploy",
    epilog=o.examples(
        "nagsdk deploy --device cpu --budget 0.2ms --output model",
        "nagsdk deploy --device cpu --budget 0.2ms@p90 --budget 400kB --json",
        "nagsdk deploy --device pixel --budget 80ms --bundle imagenet --images photos --require-verified",
    ),
)
@o.options(
    o.device_option,
    o.budget_option(required=True),
    o.bundle_option,
    click.option("--output", type=click.Path(), help="Folder to leave the model in [default: deployments/BUNDLE-DEVICE-BUDGET]."),
    o.images_option,
    o.timing_only_option,
    o.strategy_option,
    o.resolution_option,
    o.device_settings,
    click.option("--confidence", default=0.9, show_default=True, help="How sure a prediction must be before it is tried."),
    click.option("--require-verified", is_flag=True, help="Refuse to deploy for a device that is not there (exit code 6)."),
    click.option("--finetune", type=click.IntRange(1), default=None, help="Epochs to train the chosen subnet more, on --data."),
    click.option(
        "--data", type=click.Path(exists=True, file_okay=False), help="Folder of images with the bundle's classes, for --finetune."
    ),
    o.skip_broken_option,
    o.seed_option,
    o.json_option,
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    device: str,
    budget: tuple[str, ...],
    bundle: str,
    output: str | None,
    images: str | None,
    timing_only: bool,
    strategy: str,
    resolution: int | None,
    confidence: float,
    require_verified: bool,
    finetune: int | None,
    data: str | None,
    skip_broken: bool,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Leave a measured model file that holds a budget on a device.

    Generates the architecture, cuts it out of the bundle's supernet, exports and measures it; what misses the
    budget tightens the cost model and is generated again. The verdict comes from a second, fresh session.
    """
    from nagsdk import api
    from nagsdk.plugin.units import read_budget

    with o.listening() as listener:
        deployment = api.deploy(
            device=device,
            budget=[read_budget(text, confidence) for text in budget],
            bundle=bundle,
            output=output,
            images=images,
            timing_only=timing_only,
            strategy=strategy,
            resolution=resolution,
            require_verified=require_verified,
            finetune=finetune or 0,
            data=data,
            skip_broken=skip_broken,
            seed=seed,
            on_event=listener,
            **settings,
        )
    if as_json:
        o.print_json(deployment.to_dict())
    else:
        o.print_result(deployment.result)
        if tuned := deployment.details.get("finetuned"):
            shares = ("–" if top1 is None else f"{top1:.2f} %" for top1 in (tuned["top1_before"], deployment.result.measured.top1))
            click.echo(
                f"  finetuned {counted(tuned['epochs'], 'epoch')}: top-1 {' before, '.join(shares)} after, on the bundle's test images"
            )
    ctx.exit(3 if deployment.verdict == "missed" else 0)
