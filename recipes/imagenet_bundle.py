"""Writes bundle.json of the `imagenet` bundle around the predictor that imagenet_predictor.py fitted.

python recipes/imagenet_bundle.py --output bundles/imagenet
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nagsdk.files import sha256, write_atomically
from nagsdk.space.mobilenet_v3 import ofa_mobilenet_v3

FILES = ("predictor.json", "predictor.safetensors")
WEIGHTS = "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/ofa_mbv3_d234_e346_k357_w1.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    folder = parser.parse_args().output
    description = {
        "format": 1,
        "name": "imagenet",
        "version": "1",
        "title": "Once-for-All MobileNetV3, width 1.0, ImageNet: 1000 classes, 160 to 224 pixels",
        "licence": "Apache-2.0",
        "provenance": {
            "space": "Once-for-All (Cai et al., ICLR 2020), mit-han-lab/once-for-all, MIT",
            "weights": "not shipped; 'nagsdk bundle pull imagenet' fetches the checkpoint that Once-for-All released",
            "predictor": "recipes/imagenet_predictor.py; see predictor.json",
            "labels": "the classes of ImageNet-1k in the usual order (sorted WordNet ids); the names are not shipped",
        },
        "space": ofa_mobilenet_v3().to_dict(),
        "preprocessing": {
            "color": "RGB",
            "resize": "bilinear-antialias",
            "crop_fraction": 0.875,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "weights_source": WEIGHTS,
        "files": {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in FILES},
    }
    write_atomically(folder / "bundle.json", (json.dumps(description, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
