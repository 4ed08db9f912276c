"""``nagsdk export``."""

from __future__ import annotations

from typing import Any

import click

from nagsdk.cli import options as o


@click.command(
    "export", epilog=o.examples("nagsdk export --device cpu --arch mbv3:r40:d=3,2,1,1:ks=5,5,5,3,5,3,3:e=6,6,2,6,2,2,2 --output model")
)
@o.options(
    o.device_option,
    click.option("--arch", "text", required=True, help="Text form of the architecture."),
    o.bundle_option,
    click.option("--output", required=True, type=click.Path(), help="Folder to leave the model in."),
    o.images_option,
    o.timing_only_option,
    o.device_settings,
    o.json_option,
)
def command(
    device: str,
    text: str,
    bundle: str,
    output: str,
    images: str | None,
    timing_only: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the model file of one given architecture, checked against torch but not timed."""
    from nagsdk import api

    with o.listening() as listener:
        deployment = api.export(
            device=device,
            architecture=text,
            bundle=bundle,
            output=output,
            images=images,
            timing_only=timing_only,
            on_event=listener,
            **settings,
        )
    if as_json:
        o.print_json(deployment.to_dict())
    else:
        o.print_result(deployment.result)
