"""Labelled images of the user, which `deploy` fine-tunes on and fits temperatures to."""

from __future__ import annotations

from pathlib import Path

from nagsdk.errors import UsageError
from nagsdk.pipeline.loop import Deployer


def use_images(
    deployer: Deployer, data: str | Path | None, finetune: int, temperature_scaling: bool, skip_broken: bool
) -> None:
    """Makes a deployer ready for what labelled images are used for.

    Args:
        deployer: The deploy loop.
        data: Folder of images with the bundle's classes; None leaves the deployer as it is.
        finetune: Epochs of fine-tuning on its training images.
        temperature_scaling: Whether to fit a temperature on its validation images.
        skip_broken: Leaves out images that cannot be decoded, instead of refusing them.

    Raises:
        DataError: The folder cannot be used, or its classes are not those of the bundle.
        UsageError: The precision does not allow both.
    """
    if data is None:
        return
    target, builder = deployer.target, deployer.builder
    if finetune and temperature_scaling and target.device.precision in target.backend.integer_precisions:
        raise UsageError(
            "Integers cannot be fine-tuned and have their temperature scaled: the weights are trained with the steps "
            "of the file, which the temperature would change.",
            "Leave out --finetune or --temperature-scaling, or take another precision.",
        )
    from nagsdk.training.source import Source
    from nagsdk.training.tuner import Tuner

    source = Source.of(target.bundle, data, skip_broken, target.on_event)
    deployer.tuner = Tuner(source, finetune, builder.seed, target.on_event) if finetune else None
    builder.validation = source if temperature_scaling else None
