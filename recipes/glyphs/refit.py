"""Fits the accuracy predictor of the `glyphs` bundle again, when the code that fits it has changed.

    python recipes/glyphs/refit.py bundles/glyphs
    python recipes/generator.py bundles/glyphs

It uses the bundle's measured subnets and test pictures, so it needs neither fonts nor training. Takes ten minutes on
one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from build import PREDICTOR, predict_accuracy, test_figures

from nagsdk.bundle.bundle import GENERATOR, Bundle
from nagsdk.bundle.write import rewrite_bundle
from nagsdk.common.temporary import temporary_folder
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space

NEEDED = ("recalibration.webp", "test.webp", "test_labels.json", "measured.csv")


def main() -> int:
    """Fits, measures and writes the bundle, without its generator, which belongs to the earlier predictor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bundle = Bundle(options.bundle)
    assert isinstance(bundle.space, MobileNetV3Space)
    with temporary_folder() as work:
        for name in NEEDED:
            (work / name).write_bytes(bundle.files.read(name))
        codes, columns = bundle.space.read_table(work / "measured.csv")
        footing = predict_accuracy(work, bundle.supernet, codes, columns["top1"].astype(float), options.seed)
        figures = test_figures(work, bundle.supernet, options.seed)
        bundle.description.provenance["top1_on_test_fonts"] = figures
        rewrite_bundle(bundle, options.bundle, [work / name for name in PREDICTOR], [GENERATOR], footing)
    print(json.dumps({"footing": footing.model_dump(), "figures": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
