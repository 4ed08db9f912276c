"""``nagsdk init``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say
from nagsdk.cli.progress import listener
from nagsdk.errors import NagsdkError

if TYPE_CHECKING:
    from nagsdk.project.init import Draft

T = TypeVar("T")


@o.command(
    "init",
    "nagsdk init",
    "nagsdk init --device cpu --budget 0.2ms",
    "nagsdk init --name large --device pixel --budget 8ms@p90 --budget 12MB",
    "nagsdk init --device pixel --bundle imagenet --images photos --budget 80ms",
)
@o.options(
    click.option(
        "--device",
        default=o.setting("device"),
        shell_complete=o.completing("devices"),
        help="Id, alias or description file of a device; see 'nagsdk devices' [default: NAGSDK_DEVICE].",
    ),
    click.option(
        "--budget",
        "budgets",
        metavar="BUDGET",
        multiple=True,
        help="Limit such as 80ms, 80ms@p90, 200FPS, 12MB or 300MMACs; repeated budgets hold together.",
    ),
    click.option(
        "--bundle",
        shell_complete=o.completing("bundles"),
        help=o.BUNDLE_HELP,
    ),
    o.images_option,
    click.option("--name", default="model", show_default=True, help="Name of the deployment."),
    click.option(
        "--project",
        default="nagsdk.toml",
        show_default=True,
        type=click.Path(),
        help="File to make or to add to, or its folder.",
    ),
    o.json_option,
)
def command(
    device: str | None,
    budgets: tuple[str, ...],
    bundle: str | None,
    images: str | None,
    name: str,
    project: str,
    as_json: bool,
) -> None:
    """Declare a model that an app needs in nagsdk.toml, which 'nagsdk build' builds.

    On a terminal, asks for what no option gives. A new name is added to an existing nagsdk.toml. Every answer is
    checked at once; a budget is compared with predicted costs. A line in .gitattributes keeps git from changing the
    deployment's files.
    """
    from nagsdk.project.init import Draft

    asks = sys.stdin.isatty()
    missing = [option for option, value in (("--device", device), ("--budget", budgets)) if not value]
    if missing and not asks:
        raise click.UsageError(f"Give {' and '.join(missing)}: without a terminal, nothing can be asked for.")
    draft = Draft(project, name, listener())
    _set(draft.device, device, "Device ('nagsdk devices' lists them)", "cpu")
    usual = o.setting("bundle")()
    _set(draft.bundle, bundle or (None if asks else usual), "Bundle ('nagsdk bundle list' lists them)", usual)
    if images is not None or (draft.needs_images and asks):
        _set(draft.images, images, "Folder of images like those that the model will see")
    if not budgets and (known := draft.range()):
        say(known[0].upper() + known[1:] + ".", err=True)
    notes = (
        draft.budget(budgets) if budgets else _ask(lambda text: _budget(draft, text), "Budget, such as 80ms or 12MB")
    )
    done = draft.write(notes)
    if as_json:
        printing.print_json(done.to_dict())
        return
    say(f"{'Added' if done.added else 'Wrote'} [deployments.{done.name}] {'to' if done.added else 'in'} {done.project}")
    if done.gitattributes is not None:
        say(f"Added a line to {done.gitattributes}, so that git leaves the model's files as they are.")
    for note in done.notes:
        if budgets or note not in notes:  # an answer was commented on at once
            say(note, fg="yellow")
    for step in done.next_steps:
        say(f"Next: {step}")


def _set(take: Callable[[str], None], given: str | None, question: str, default: str | None = None) -> None:
    """Sets a part of the draft to a given value, or asks until an answer is valid."""
    if given is None:
        _ask(take, question, default)
    else:
        take(given)


def _ask(take: Callable[[str], T], question: str, default: str | None = None) -> T:
    """Asks until an answer is valid; returns what `take` makes of it."""

    def check(text: str) -> T:
        try:
            return take(text)
        except NagsdkError as error:
            raise click.UsageError(f"{error.message} {error.next_step}") from error

    answer: T = click.prompt(question, default=default, value_proc=check, err=True)
    return answer


def _budget(draft: Draft, text: str) -> list[str]:
    """Takes several budgets with commas between them; says at once what they mean."""
    notes = draft.budget(text.split(","))
    for note in notes:
        say(note, err=True, fg="yellow")
    return notes
