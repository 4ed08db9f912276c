"""``nagsdk export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing

if TYPE_CHECKING:
    from nagsdk.pipeline.target import Target


@o.command(
    "export",
    "nagsdk export --device cpu --output model \\\n    --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2",
)
@o.target_options()
@o.options(
    click.option("--arch", "architecture", required=True, help="Text form of the architecture."),
    click.option("--output", required=True, type=click.Path(), help="Folder for the model."),
    o.images_option,
    o.timing_only_option,
    o.json_option,
)
def command(
    target: Target, architecture: str, output: str, images: str | None, timing_only: bool, as_json: bool
) -> None:
    """Write the model file of one given architecture, checked against torch but not timed."""
    from nagsdk.api import export

    deployment = export(target, architecture, output, images=images, timing_only=timing_only)
    if as_json:
        printing.print_json(deployment.to_dict())
    else:
        printing.print_result(deployment.result)
