"""``nagsdk deploy``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.several import Devices, print_outcomes
from nagsdk.common.wording import counted
from nagsdk.errors import InfeasibleError

if TYPE_CHECKING:
    from nagsdk.budget import Budget
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.pipeline.target import Target


@o.command(
    "deploy",
    "nagsdk deploy --device cpu --budget 0.2ms --output model",
    "nagsdk deploy --device cpu --budget 0.2ms@p90 --budget 400kB --json",
    "nagsdk deploy --device cpu --budgets 0.1ms,0.2ms,0.4ms --output models",
    "nagsdk deploy --device cpu --min-top1 92",
    "nagsdk deploy --device pixel --bundle imagenet --budget 80ms --images photos",
    "nagsdk deploy --device pixel --budget 5ms --require-verified",
    "nagsdk deploy --device 'pixel*' --lab tls://lab-server:8786 --budget 8ms",
    "nagsdk deploy --device cpu --model model.onnx --budget 80ms",
)
@o.target_options(patterns=True)
@o.options(
    o.budget_options,
    click.option(
        "--model",
        type=click.Path(dir_okay=False),
        help="ONNX file or program of torch.export (.pt2) of a finished network, which is measured and judged.",
    ),
    click.option(
        "--output",
        type=click.Path(),
        help="Folder for the model; with --budgets it holds one folder for each [default: a folder in deployments/ "
        "with the names of bundle, device and budget].",
    ),
    o.images_option,
    o.timing_only_option,
    o.strategy_option,
    o.resolution_option,
    click.option(
        "--require-verified", is_flag=True, help="Fail with exit code 6 if the model cannot be measured on the device."
    ),
    click.option(
        "--finetune", type=o.number(ranges.EPOCHS), help="Epochs of fine-tuning of the chosen subnet on --data."
    ),
    click.option(
        "--temperature-scaling",
        is_flag=True,
        help="Fit a temperature on the validation images of --data, so that probabilities are right on average.",
    ),
    o.data_option,
    o.skip_broken_option,
    o.seed_option,
    o.json_option,
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    devices: Devices,
    budget_texts: tuple[str, ...],
    budgets: str | None,
    min_top1: float | None,
    confidence: float,
    output: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Build a model file that was measured to hold a budget on a device.

    Generates an architecture, cuts it out of the bundle's supernet, exports and measures it. If it misses the budget,
    the cost model is corrected and another architecture is generated. The verdict comes from fresh sessions.
    """
    from nagsdk.api import deploy

    asked = o.asked_budgets(budget_texts, budgets, min_top1, confidence)
    settings |= {"min_top1": min_top1, "finetune": settings["finetune"] or 0}

    def work(target: Target) -> tuple[list[Deployment], InfeasibleError | None]:
        folder = devices.beside(output, target.device.id)
        if budgets is None:
            return [deploy(target, asked[0] if asked else [], output=folder, **settings)], None
        deployments, failed = _one_by_one(target, asked, folder, settings)
        if failed is not None and not deployments:
            raise failed
        return deployments, failed

    def show(answer: tuple[list[Deployment], InfeasibleError | None]) -> None:
        for deployment in answer[0]:
            _print(deployment)

    def plain(answer: tuple[list[Deployment], InfeasibleError | None]) -> Any:
        listed = [deployment.to_dict() for deployment in answer[0]]
        return listed if budgets is not None else listed[0]

    outcomes = devices.each(work)
    code = print_outcomes(outcomes, devices.several, as_json, show, plain)
    for one in outcomes:
        if one.result is not None and one.result[1] is not None:
            raise one.result[1]
    missed = any(d.verdict == "missed" for one in outcomes if one.result is not None for d in one.result[0])
    ctx.exit(max(code, 3 if missed else 0))


def _one_by_one(
    target: Target, asked: Sequence[Sequence[Budget]], output: str | None, settings: dict[str, Any]
) -> tuple[list[Deployment], InfeasibleError | None]:
    """Deploys for each budget, even if no architecture holds one of them; also returns an error that names those."""
    from nagsdk.api import deploy

    named = [str(together[0]) for together in asked]
    if repeated := [name for name in named if named.count(name) > 1]:
        raise click.UsageError(f"--budgets has {repeated[0]} twice, and both would be written to the same folder.")
    deployments: list[Deployment] = []
    failures: list[InfeasibleError] = []
    for together in asked:
        folder = None if output is None else Path(output) / together[0].file_name
        try:
            deployments.append(deploy(target, together, output=folder, **settings))
        except InfeasibleError as error:
            failures.append(error)
    if not failures:
        return deployments, None
    messages = " ".join(error.message for error in failures)
    return deployments, InfeasibleError(messages, failures[0].next_step)


def _print(deployment: Deployment) -> None:
    printing.print_result(deployment.result)
    if tuned := deployment.details.get("finetuned"):
        shares = (
            "–" if top1 is None else f"{top1:.2f} %" for top1 in (tuned["top1_before"], deployment.result.measured.top1)
        )
        found = f"top-1 {' before, '.join(shares)} after, on the bundle's test images"
        if (gain := tuned["gain"]) is not None:
            found += f"; gain {gain['points']:+.2f} points ({gain['low']:+.2f} to {gain['high']:+.2f})"
            found += f", noise: {counted(gain['images'], 'image')} cannot tell it from none" if gain["noise"] else ""
        printing.say_beside("  finetuned ", f"{counted(tuned['epochs'], 'epoch')}: {found}")
