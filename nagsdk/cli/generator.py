"""``nagsdk generator``."""

from __future__ import annotations

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener


@click.group("generator", cls=o.Group)
def command() -> None:
    """Train generators."""


@command.command(
    "train",
    epilog=o.example_lines(
        "nagsdk generator train --output generator.safetensors",
        "nagsdk generator train --recipe paper --metric macs --iterations 2000",
    ),
)
@o.options(
    click.option(
        "--recipe",
        type=click.Choice(["universal", "paper"]),
        default="universal",
        show_default=True,
        help="Which generator to train; see above.",
    ),
    o.bundle_option,
    click.option("--output", type=click.Path(dir_okay=False), help="universal: file for the generator."),
    click.option(
        "--device",
        default=lambda: o.setting("device")() or "cpu",
        shell_complete=o.completing("devices"),
        help="paper: id, alias or description file of a device; see 'nagsdk devices' [default: NAGSDK_DEVICE, or cpu].",
    ),
    click.option(
        "--metric",
        default="latency",
        show_default=True,
        help="paper: what the budgets limit: latency, size, macs or a plugin's metric.",
    ),
    click.option(
        "--reward",
        type=click.Choice(["dominance", "mnasnet", "tunas"]),
        default="dominance",
        show_default=True,
        help="paper: reward of the policy gradient.",
    ),
    click.option(
        "--iterations",
        type=o.number(ranges.ITERATIONS),
        default=10_000,
        show_default=True,
        help="paper: iterations of policy gradient.",
    ),
    o.seed_option,
    o.json_option,
)
def train(
    recipe: str,
    bundle: str,
    output: str | None,
    device: str,
    metric: str,
    reward: str,
    iterations: int,
    seed: int,
    as_json: bool,
) -> None:
    """Train a bundle's generator, or the paper's for one device.

    universal: one policy for all devices and limits, as in bundles; takes about ten minutes.

    paper: one policy for one device, trained by policy gradient, and compared with a random search over as many
    architectures.
    """
    if (recipe == "universal") != (output is not None):
        raise click.UsageError("The recipe universal needs --output; the recipe paper does not take it.")
    from nagsdk.pipeline.paper import train_paper_generator
    from nagsdk.pipeline.target import Target
    from nagsdk.training.generator import train_generator

    if output is not None:
        report = train_generator(bundle=bundle, output=output, seed=seed, on_event=listener())
    else:
        target = Target(device, bundle, on_event=listener())
        report = train_paper_generator(target, metric=metric, reward=reward, iterations=iterations, seed=seed)
    if as_json:
        printing.print_json(report)
    elif output is not None:
        regret = report["regret"]
        gap = f"{-regret['predicted_mean']:+.3f} points compared with lookup"
        say(f"{output}: predicted top-1 {gap}, mean over {regret['devices']} unseen devices")
    else:
        ways = ("inference", "best_sampled", "random")
        rows = [
            [f"{row['limit']:.5g}", *(_percent(row[way]["predicted_top1"]) for way in ways)]
            for row in report["budgets"]
        ]
        printing.print_table((metric, "inference", "best sampled in training", "random"), rows)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
