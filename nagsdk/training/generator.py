"""Trains the generator of a bundle, which serves all devices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nagsdk import ranges
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.files import check_file
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.events import Listener, ignore
from nagsdk.generator.generator import Generator


@naming_os_errors
def train_generator(
    *,
    bundle: str | Path | Bundle,
    output: str | Path,
    seed: int = 0,
    length: float = 1.0,
    on_event: Listener = ignore,
) -> dict[str, Any]:
    """Trains the generator of a bundle for every device and every limit; see docs/generator.md.

    Args:
        bundle: Name or folder of a bundle, or a bundle.
        output: File to write.
        seed: Seed of all random choices.
        length: Length of the training as a share of the usual one.
        on_event: Receives progress.

    Returns:
        The card of the generator.

    Raises:
        OutputError: The file cannot be written.
    """
    ranges.check(seed=seed)
    check_file(Path(output))
    opened = load_bundle(bundle, on_event)
    from nagsdk.generator.train import GeneratorRecipe  # torch

    recipe = GeneratorRecipe().shortened(length)
    generator = Generator.trained(opened.space, opened.predictor, recipe, seed, on_event)
    generator.save(Path(output))
    return {"recipe": "universal", "path": str(output), **asdict(generator.card)}
