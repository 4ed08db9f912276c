"""Fits devices/cpu-pool.json: what processors have in common that run the same kernels.

    python recipes/cpu_pool.py --data DIR        # writes devices/cpu-pool.json

DIR holds tables of published latencies, which are not part of the project. The prices of XNNPACK are those that were
measured with ONNX Runtime on x86-64 (devices/cpu-prior.json): scaled by one reading, they describe phones with XNNPACK
better than a block table of 2019 does. The prices of ncnn are fitted to its own published benchmark. Whatever is
claimed of either is counted on processors that were left out together with their family.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.files import write_atomically
from nagsdk.cost.features import FEATURES, network_features
from nagsdk.cost.pool import Kernels, to_json
from nagsdk.cost.prior import read_prior
from nagsdk.networks.catalogue import NETWORKS, layers_of

DEVICES = Path(__file__).resolve().parent.parent / "devices"
Readings = dict[str, float]
READ = "mobilenet_v3_large"
# Networks of mobile size, from which the scale of a processor of the pool is taken.
MOBILE = ("mobilenet_v1", "mobilenet_v2", READ, "mobilenet_v3_small", "mnasnet_b1", "proxyless_mobile")
NCNN = {
    "mobilenet": "mobilenet_v1", "mobilenet_v2": "mobilenet_v2", "mobilenet_v3": READ, "mnasnet": "mnasnet_b1",
    "proxylessnasnet": "proxyless_mobile", "efficientnet_b0": "efficientnet_b0", "resnet18": "resnet18",
    "resnet50": "resnet50", "squeezenet": "squeezenet1_1", "shufflenet_v2": "shufflenet_v2_x1_0",
}  # fmt: skip
TITLES = {published.title: name for name, published in NETWORKS.items()}
_CORE = re.compile(r"Cortex-A\d+|Kyro|M1|Intel|AMD|Azure|Kun[Pp]eng|C906|Denver")
# How strongly the prices of ncnn are pulled towards those of x86-64, and how far prices of 0 may move.
_PULL, _FREE_SHARE = 0.03, 0.01
FEATURE_TABLE = {name: network_features(layers_of(name)) for name in NETWORKS}


def family(device: str) -> str:
    """What a left-out processor must not share with those that remain."""
    if "Hyper-V" in device:
        return "Intel"
    found = _CORE.search(device)
    return {"Azure": "AMD"}.get(found[0], found[0].lower()) if found else device


def ncnn_readings(path: Path) -> dict[str, Readings]:
    """Single-threaded latencies of ncnn on processors, by device and core group."""
    found: dict[str, Readings] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["gpu_device"] == "-1" and row["threads"] == "1" and row["network"] in NCNN:
                one = found[f"{row['device']} ({row['powersave']})"]
                name = NCNN[row["network"]]
                one[name] = min(float(row["min_ms"]), one.get(name, math.inf))
    return {device: readings for device, readings in found.items() if READ in readings}


def xnnpack_readings(published: Path, litert: Path) -> dict[str, Readings]:
    """Single-threaded float32 latencies of XNNPACK on phones."""
    found: dict[str, Readings] = defaultdict(dict)
    with published.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kind = "XNNPACK" in row["runtime"] and row["threads"] == "1" and row["precision"] == "float"
            if kind and row["network"] in TITLES:
                found[row["phone"]][TITLES[row["network"]]] = float(row["latency_ms"])
    with litert.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["accelerator"] == "cpu" and row["model"] in NETWORKS:
                found[row["device"]][row["model"]] = float(row["median_ms"])
    return {device: readings for device, readings in found.items() if len(readings) > 1}


def scale_of(readings: Readings, weights: Any) -> float:
    """How many times slower a processor is than the prices say, on networks of mobile size."""
    ratios = [math.log(ms / (FEATURE_TABLE[n] @ weights)) for n, ms in readings.items() if n in MOBILE]
    return math.exp(float(np.mean(ratios)))


def fitted(processors: list[Readings], start: Any) -> Any:
    """Non-negative prices with the least relative errors on all processors, each with a scale of its own."""
    from scipy.optimize import nnls

    typical = np.mean([FEATURE_TABLE[name] for name in MOBILE], axis=0)
    unit = start + np.divide(_FREE_SHARE * float(typical @ start), typical, out=np.zeros_like(start), where=typical > 0)
    towards = np.divide(start, unit, out=np.zeros_like(start), where=unit > 0)
    pull = _PULL * math.sqrt(len(processors))
    weights = start
    for _ in range(8):
        rows = [
            FEATURE_TABLE[name] * scale_of(readings, weights) / ms
            for readings in processors
            for name, ms in readings.items()
        ]
        matrix = np.concatenate([np.array(rows) * unit, pull * np.eye(len(unit))])
        weights = nnls(matrix, np.concatenate([np.ones(len(rows)), pull * towards]))[0] * unit
    return weights


def ratios_of(processors: list[Readings], weights: Any) -> dict[str, float]:
    """The middle of the ratios of each network to what the prices say; at least three processors must tell it."""
    found: dict[str, list[float]] = defaultdict(list)
    for readings in processors:
        scale = scale_of(readings, weights)
        for name, ms in readings.items():
            found[name].append(ms / (scale * float(FEATURE_TABLE[name] @ weights)))
    return {name: float(np.median(values)) for name, values in found.items() if len(values) >= 3}


def left_out(processors: Mapping[str, Readings], start: Any, refit: bool) -> dict[str, Any]:
    """Errors on processors that were left out with their family, by one, two or three readings."""
    errors: dict[bool, list[float]] = {True: [], False: []}
    single: list[float] = []
    for device, own in processors.items():
        others = [readings for name, readings in processors.items() if family(name) != family(device)]
        weights = fitted(others, start) if refit else start
        kernels = Kernels("", weights, ratios_of(others, weights), 1.0, 1.0, {})
        mobile = [name for name in own if name in MOBILE]
        for read in (r for count in (1, 2, 3) for r in combinations(mobile, count) if READ in r):
            scale, _ = kernels.scale([(name, FEATURE_TABLE[name], own[name]) for name in read])
            for name in set(mobile) - set(read):
                expected = scale * kernels.expected(name, FEATURE_TABLE[name])
                errors[True].append(math.log(own[name] / expected))
                errors[False].append(math.log(own[name] / (scale * float(FEATURE_TABLE[name] @ weights))))
                if len(read) == 1:
                    single.append(abs(expected / own[name] - 1))
    return {
        "spread": _spread(errors[False]),
        "known_spread": _spread(errors[True]),
        "one_reading": {
            "predictions": len(single),
            "median_error": float(np.median(single)),
            "within_10_percent": float(np.mean(np.array(single) <= 0.1)),
        },
    }


def _spread(errors: list[float]) -> float:
    """The spread whose normal quantile at 0.9 is the conformal quantile of the errors upwards."""
    rank = min(len(errors), math.ceil(0.9 * (len(errors) + 1)))
    return max(float(np.sort(errors)[rank - 1]) / 1.2816, 0.01)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=DEVICES / "cpu-pool.json")
    options = parser.parse_args()
    x86 = read_prior(DEVICES / "cpu-prior.json").weights
    ncnn = ncnn_readings(options.data / "ncnn_latencies.csv")
    phones = xnnpack_readings(
        options.data / "phone_published_latencies.csv", options.data / "phone_litert22_pixel9pro.csv"
    )
    pool: dict[str, Kernels] = {}
    # Few phones say little of how far others differ; the many processors of the other table say more.
    least = left_out(ncnn, x86, refit=True)["spread"]
    for name, title, processors, refit, source in (
        (
            "xnnpack",
            "XNNPACK (TFLite since 2020, LiteRT)",
            phones,
            False,
            "readings published with XNNPACK and by LiteRT",
        ),
        ("ncnn", "ncnn", ncnn, True, "ncnn's published benchmark, Tencent, BSD-3"),
    ):
        weights = fitted(list(processors.values()), x86) if refit else x86
        found = left_out(processors, x86, refit)
        pool[name] = Kernels(
            title,
            weights,
            ratios_of(list(processors.values()), weights),
            max(found["spread"], least),
            max(found["known_spread"], least),
            {
                "fitted_to": source,
                "processors": len(processors),
                "one_reading_left_out": found["one_reading"],
                "fitted": datetime.now(UTC).date().isoformat(),
            },
        )
        print(name, json.dumps(found, indent=1), dict(zip(FEATURES, weights.round(5).tolist(), strict=True)))
    write_atomically(options.output, to_json(pool).encode())


if __name__ == "__main__":
    main()
