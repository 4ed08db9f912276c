"""Writes into the shipped bundles how much top-1 their networks lose in int8.

    python recipes/integer_losses.py

That of glyphs is measured on its test images, as `nagsdk predictor fit` does it for other bundles. No images of
ImageNet are at hand, but losses of post-training quantisation with a scale per channel are published: MobileNetV3-Large
75.2 to 73.9 %, MobileNetV2 72.4 to 70.6 %, EfficientNet-Lite0 75.1 to 74.4 %. Run `recipes/sums.py` afterwards.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.folders import shipped
from nagsdk.graph.schemes import SCHEMES
from nagsdk.predictor.losses import LOSSES, Loss
from nagsdk.predictor.model import CARD
from nagsdk.training.losses import integer_losses
from nagsdk.training.source import Source

PUBLISHED = Loss(
    1.3, 0.5, 2.6, 0, "not measured: published losses of MobileNetV3-Large, MobileNetV2, EfficientNet-Lite0"
)


def written(content: dict[str, Any]) -> bytes:
    """The bytes of a JSON file of a bundle."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def main() -> None:
    glyphs = load_bundle("glyphs")
    source = Source.of(glyphs, None)
    images = (source.recalibration, source.shown("test"), source.count("test"))
    measured = integer_losses(glyphs.space, glyphs.supernet, *images)
    for name, losses in {"glyphs": measured, "imagenet": {SCHEMES[0].name: PUBLISHED}}.items():
        folder = shipped("bundles") / name
        entries = {scheme: loss.to_dict() for scheme, loss in losses.items()}
        content = written({**json.loads((folder / CARD).read_bytes()), LOSSES: entries})
        (folder / CARD).write_bytes(content)
        description = json.loads((folder / DESCRIPTION).read_bytes())
        description["files"][CARD] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (folder / DESCRIPTION).write_bytes(written(description))
        print(name, losses)


if __name__ == "__main__":
    main()
