"""``nagsdk try``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener
from nagsdk.common.wording import counted


@o.command("try", "nagsdk try deployments/first letter.png", "nagsdk try deployments/first photos --top 3 --json")
@click.argument("folder", type=click.Path(file_okay=False))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
@o.options(
    click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Number of classes to show."),
    click.option("--device", help="Id, alias or description file of a device [default: the manifest's]."),
    o.serial_option,
    o.json_option,
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: str,
    images: tuple[str, ...],
    top: int,
    device: str | None,
    serial: str | None,
    as_json: bool,
) -> None:
    """Predict the classes of images with a deployment.

    IMAGE is a file, or a folder whose images are all predicted. The model runs on its device if that is available,
    otherwise on this machine.

    Exit code 2: an image cannot be read; the others are still predicted.
    """
    from nagsdk.pipeline.try_images import try_images

    trial = try_images(folder, images, top=top, device=device, serial=serial, on_event=listener())
    unreadable = [one for one in trial.images if one.error is not None]
    if as_json:
        printing.print_json(trial.to_dict())
    else:
        if trial.timing_only:
            say("This model was built for timing only: its predictions are worthless.", fg="yellow")
        for one in trial.images:
            say(one.image, bold=True)
            if one.error is not None:
                say(f"  cannot be read: {one.error}", fg="red")
            for guess in one.guesses:
                say(f"  {guess.probability:7.2%}  {guess.label}")
    if unreadable:
        say(f"{counted(len(unreadable), 'image')} of {len(trial.images)} cannot be read.", err=True)
        ctx.exit(2)
