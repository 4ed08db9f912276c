"""Writes bundle.json of an ImageNet bundle, with the predictor that imagenet_predictor.py fitted or without one.

    python recipes/imagenet_bundle.py --output bundles/imagenet
    python recipes/imagenet_bundle.py --output bundles/imagenet-w1.2 --width 1.2

The accuracy of subnets of width 1.2 was not measured, so that bundle can predict only latency and MACs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nagsdk.common.files import sha256, write_atomically
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

FILES = ("predictor.json", "predictor.safetensors")
WEIGHTS = "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/ofa_mbv3_d234_e346_k357_w"
PREDICTED_ON = "the ImageNet-1k validation images"
WIDTHS = {1.0: "imagenet", 1.2: "imagenet-w1.2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--width", type=float, choices=WIDTHS, default=1.0)
    options = parser.parse_args()
    folder, name = options.output, WIDTHS[options.width]
    files = FILES if options.width == 1.0 else ()
    predictor = (
        "recipes/imagenet_predictor.py; see predictor.json"
        if files
        else "none: the accuracy of no subnet of this width was measured"
    )
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": 1,
        "name": name,
        "version": "1",
        "title": f"Once-for-All MobileNetV3, width {options.width:.1f}, ImageNet: 1000 classes, 160 to 224 pixels",
        "licence": "Apache-2.0",
        "provenance": {
            "space": "Once-for-All (Cai et al., ICLR 2020), mit-han-lab/once-for-all, MIT",
            "weights": f"not shipped; 'nagsdk bundle pull {name}' fetches the checkpoint that Once-for-All released",
            "predictor": predictor,
            "labels": "the classes of ImageNet-1k in the usual order (sorted WordNet ids); the names are not shipped",
        },
        "space": ofa_mobilenet_v3(options.width).to_dict(),
        "preprocessing": {
            "color": "RGB",
            "resize": "bilinear-antialias",
            "crop_fraction": 0.875,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        **({"footing": {"predicted_on": PREDICTED_ON}} if files else {}),
        "weights_source": f"{WEIGHTS}{options.width:.1f}",
        "files": {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in files},
    }
    write_atomically(folder / "bundle.json", (json.dumps(description, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
