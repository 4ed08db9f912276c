"""Fits the priors of the phones in devices/ to published block tables, with one scale per phone.

    python recipes/phone_priors.py --data DIR        # writes devices/<phone>-prior.json, for TFLite of 2019

The shape of the prices (what a pointwise convolution costs compared with a depthwise one) comes from a table of blocks
that were measured one by one with TFLite on a Note10. The same runtime was used for the published latencies of whole
networks, one of which gives the scale of each phone. The difference from an older table of a Pixel 1 is the direction
in which a calibration first looks for corrections. A fit to both tables at once describes neither (errors of 10 and
15 % instead of 5 and 3 %). The tables are not part of the project.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ridge import cross_validated

from nagsdk.common.files import write_atomically
from nagsdk.cost.features import FEATURES, FeatureTable, layer_features
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.families.widths import make_divisible
from nagsdk.space.layer import LayerSpec

DEVICES = Path(__file__).resolve().parent.parent / "devices"
PHONES = {
    "pixel1": "pixel-1",
    "pixel2": "pixel-2",
    "note10": "note10",
    "note8": "note8",
    "s7edge": "s7-edge",
    "LG-G8": "lg-g8",
}
TABLES = {"pixel1": "pixel1_lut_proxyless.csv", "note10": "note10_lut_ofa_w12.csv"}
# Strength of the pull towards equal shares of all features. The error on left-out rows hardly depends on it.
STRENGTH = 1e-3
# Scatter of single runs and of sessions on phones that were cooled; an estimate, because the tables do not contain it.
JITTER = Jitter({90.0: 1.05}, 0.02)
# Uncertainty that remains when the scale is known: the error of the fit on whole networks, and the different shapes of
# phones.
SHAPE_SPREAD = 0.06
_BLOCK = re.compile(
    r"expanded_conv-input:(\d+)x\d+x(\d+)-output:\d+x\d+x(\d+)-expand:(\d+)-kernel:(\d)-stride:(\d)-idskip:(\d)"
    r"(?:-se:(\d)-hs:(\d))?"
)
_OTHER = re.compile(r"(Conv|Conv_1|Conv_2|Logits|AvgPool2D)-input:(\d+)x\d+x(\d+)-output:(?:\d+x\d+x)?(\d+)")


def block_layers(key: str, hard_swish_head: bool) -> list[LayerSpec]:
    """Layers of one row of a table."""
    if match := _BLOCK.fullmatch(key):
        size, into, out, expand, kernel, stride, skip = map(int, match.groups()[:7])
        se, hs = (int(v or 0) for v in match.groups()[7:])
        # One table gives the expansion ratio, the other the number of channels.
        middle = expand if expand >= into else into * expand
        after, act = (size - 1) // stride + 1, "hswish" if hs else "relu"
        layers = [LayerSpec("e", "pointwise", into, middle, 1, 1, size, act)] if middle != into else []
        layers.append(LayerSpec("d", "depthwise", middle, middle, kernel, stride, size, act))
        if se:
            layers.append(LayerSpec("s", "se", middle, middle, 1, 1, after, se_channels=make_divisible(middle // 4)))
        layers.append(LayerSpec("p", "pointwise", middle, out, 1, 1, after))
        return (
            [*layers, LayerSpec("a", "add", out, out, 1, 1, after)] if skip and into == out and stride == 1 else layers
        )
    match = _OTHER.fullmatch(key)
    if match is None:
        raise ValueError(f"unknown row of the table: {key}")
    kind, size, into, out = match[1], int(match[2]), int(match[3]), int(match[4])
    act = "hswish" if hard_swish_head else "relu"
    if kind == "Conv":
        return [LayerSpec("c", "conv", into, out, 3, 2, size, act)]
    if kind == "AvgPool2D":
        return [LayerSpec("g", "pool", into, into, 1, 1, size)]
    if kind == "Logits":
        # In the older table, this row includes the pooling.
        pool = [LayerSpec("g", "pool", into, into, 1, 1, size)] if size > 1 else []
        return [*pool, LayerSpec("l", "linear", into, out, 1, 1, 1, bias=True)]
    return [LayerSpec("h", "pointwise", into, out, 1, 1, size, act)]


def read_table(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features and milliseconds of the rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    features = np.array([layer_features(block_layers(row["key"], "resolution" in row)).sum(0) for row in rows])
    return features, np.array([float(row["mean_ms"]) for row in rows])


def fit_prices(features: Any, ms: Any) -> tuple[Any, dict[str, Any]]:
    """Prices fitted to a table, and the errors on rows that were left out in folds."""
    weights, predicted = cross_validated(features, ms, STRENGTH)
    error = predicted / ms - 1
    facts = {
        "rows": len(ms),
        "median_error": float(np.median(np.abs(error))),
        "within_10_percent": float(np.mean(np.abs(error) <= 0.1)),
    }
    return weights, facts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=DEVICES)
    options = parser.parse_args()
    tables = {name: read_table(options.data / file) for name, file in TABLES.items()}
    weights, errors = fit_prices(*tables["note10"])
    older, _ = fit_prices(*tables["pixel1"])
    space = ofa_mobilenet_v3()
    typical = FeatureTable.of(space).of_codes(space.sample(1000, np.random.default_rng(0))).mean(0)
    # The older table has neither squeeze-and-excitation nor hard swish; they get the prices of the newer table.
    seen = tables["pixel1"][0].any(0)
    older = np.where(seen, older * float(typical[seen] @ weights[seen]) / float(typical[seen] @ older[seen]), weights)
    direction = older - weights
    codes, columns = read_architectures(options.data / "phone_scale_facts.csv", space)
    reported = columns["reported_ms"].astype(np.float64)
    features = FeatureTable.of(space).of_codes(codes)
    # The tables contain only blocks, so an inference has no fixed cost beside its layers.
    for name, row, ms in zip(columns["device"], features, reported, strict=True):
        scale = float(ms / (row @ weights))
        rounding = 0.5 / float(ms) / np.sqrt(3)
        source = {
            "title": "shape from a block table of a Note10, direction from one of a Pixel 1, "
            "scale from one published network",
            "shape": "Samsung Note10, 1,632 rows, released with Once-for-All (Cai et al., ICLR 2020), width 1.2, MIT",
            "direction": "Google Pixel 1, 72 rows, released with ProxylessNAS (Cai et al., ICLR 2019)",
            "scale": f"{ms:g} ms reported for one whole network in the names of Once-for-All's specialised networks",
            "runtime": "TFLite of 2019, one thread assumed",
            "left_out_rows": errors,
            "fitted": datetime.now(UTC).date().isoformat(),
            "spread": "rounding of the reported figure, and an estimate of how far the shape is off",
        }
        prior = Prior(
            weights * scale, float(np.hypot(SHAPE_SPREAD, rounding)), JITTER, 1, source, direction[None] * scale
        )
        path = options.output / f"{PHONES[name]}-prior.json"
        write_atomically(path, prior.to_json().encode())
        print(f"{PHONES[name]:<10} {scale:.3f} times the Note10's table; whole network {ms:g} ms")
    print(json.dumps(errors, indent=2), dict(zip(FEATURES, weights.round(5).tolist(), strict=True)))


if __name__ == "__main__":
    main()
