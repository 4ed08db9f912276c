"""Fits devices/cpu-pool.json: what processors have in common that run the same kernels.

    python recipes/cpu_pool.py --data DIR        # writes devices/cpu-pool.json

DIR holds tables of published latencies, which are not part of the project; only fitted coefficients are. The prices of
XNNPACK are those that were measured with ONNX Runtime on x86-64 (devices/cpu-prior.json): scaled by one reading, they
describe phones with XNNPACK better than a block table of 2019 does. The prices of ncnn are fitted to its own published
benchmark, and so are the sizes of the deviations, since few phones say little of how far others differ.
`benchmarks/readings.py` counts what all this is worth on processors that were left out with their family.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.files import write_atomically
from nagsdk.cost.features import FEATURES, network_features
from nagsdk.cost.pool import Chip, Kernels, Known, Precision, Spreads, to_json
from nagsdk.cost.prior import read_prior
from nagsdk.networks.catalogue import NETWORKS, layers_of

DEVICES = Path(__file__).resolve().parent.parent / "devices"
READ = "mobilenet_v3_large"
# Networks of mobile size, like those of the search spaces.
MOBILE = ("mobilenet_v1", "mobilenet_v2", READ, "mobilenet_v3_large_075", "mobilenet_v3_large_minimalistic",
          "mobilenet_v3_small", "mnasnet_b1", "proxyless_mobile")  # fmt: skip
NCNN = {
    "mobilenet": "mobilenet_v1", "mobilenet_v2": "mobilenet_v2", "mobilenet_v3": READ, "mnasnet": "mnasnet_b1",
    "proxylessnasnet": "proxyless_mobile", "efficientnet_b0": "efficientnet_b0", "resnet18": "resnet18",
    "resnet50": "resnet50", "squeezenet": "squeezenet1_1", "shufflenet_v2": "shufflenet_v2_x1_0",
}  # fmt: skip
TITLES = {published.title: name for name, published in NETWORKS.items()}
# Part of the name in ncnn's table: the core that a single thread ran on, and its frequency in GHz where that is fixed.
# Boards with cores of two designs name the fast one, except where the benchmark was held to the slow ones.
CORES: tuple[tuple[str, str, float | None], ...] = (
    (r"RK3399.*\(1\)$", "Cortex-A53", 1.5), (r"RK3399", "Cortex-A72", 1.8), (r"Kirin 970", "Cortex-A73", 2.4),
    (r"Snapdragon 660", "Cortex-A73", 2.2), (r"Snapdragon 821", "Kryo", 2.35), (r"MSM8916", "Cortex-A53", 1.2),
    (r"Raspberry Pi 3", "Cortex-A53", 1.4), (r"Raspberry Pi 4", "Cortex-A72", 1.8), (r"2\.9Ghz", "Cortex-A76", 2.9),
    (r"Raspberry Pi 5", "Cortex-A76", 2.4), (r"Pi Zero 2", "Cortex-A53", 1.0), (r"RK3228H", "Cortex-A53", 1.3),
    (r"UNO Q", "Cortex-A53", 2.0), (r"TX2", "Denver 2", 2.0), (r"RK3288", "Cortex-A17", 1.8),
    (r"Z7-Lite", "Cortex-A9", 0.766), (r"(?i)kunpeng", "Kunpeng 920", 2.6), (r"Atom", "Intel Atom", None),
    (r"M1, 2020", "Apple M1", 3.2), (r"C906", "XuanTie C906", 1.0), (r"Intel", "Intel Core", None),
    (r"EPYC|Azure|Ryzen", "AMD Zen", None), (r"A55", "Cortex-A55", None), (r"A53|H616", "Cortex-A53", None),
    (r"Snapdragon 888", "Cortex-X1", None), (r"RK3588", "Cortex-A76", 2.4), (r"Oryon", "Oryon", None),
)  # fmt: skip
PHONES = {
    "Pixel 1": ("Kryo", 2.15), "Pixel 2": ("Cortex-A73", 2.35), "Pixel 3": ("Cortex-A75", 2.5),
    "Pixel 3a": ("Cortex-A75", 2.0), "Pixel 4": ("Cortex-A76", 2.84), "Pixel 9 Pro": ("Cortex-X4", 3.1),
}  # fmt: skip
# How strongly the prices of ncnn are pulled towards those of x86-64, and how far prices of 0 may move.
_PULL, _FREE_SHARE = 0.03, 0.01
# Standard deviations of logarithms: of scales, of what networks deviate from the prices on all processors, of noise.
_SCALE, _OFFSET, _NOISE = 3.0, 0.2, 0.01
_START, _START_SPREAD, _LOOSE = (0.1, 0.1, 0.7), 0.05, 0.7
# Least spread of another precision, of which a handful of readings is published.
_LEAST_PRECISION_SPREAD = 0.3
FEATURE_TABLE = {name: network_features(layers_of(name)) for name in NETWORKS}


@dataclass(frozen=True)
class Processor:
    """A processor with known latencies.

    Attributes:
        name: Its name in the table.
        core: The core that a single thread runs on; processors of one core are a family.
        ghz: Its frequency, where it is known and fixed.
        readings: Milliseconds by network.
        threads: Threads of one inference.
    """

    name: str
    core: str
    ghz: float | None
    readings: dict[str, float] = field(default_factory=dict)
    threads: int = 1


def ncnn_processors(path: Path, statistic: str = "avg_ms") -> list[Processor]:
    """The processors of ncnn's benchmark, one for every number of threads and group of cores."""
    found: dict[tuple[str, int], Processor] = {}
    for row in rows_of(path):
        if row["gpu_device"] == "-1" and row["network"] in NCNN:
            name, network = f"{row['device']} ({row['powersave']})", NCNN[row["network"]]
            core, ghz = next(((c, f) for part, c, f in CORES if re.search(part, name)), (name, None))
            one = found.setdefault((name, int(row["threads"])), Processor(name, core, ghz, {}, int(row["threads"])))
            one.readings[network] = min(float(row[statistic]), one.readings.get(network, math.inf))
    return [one for one in found.values() if READ in one.readings]


def phones(published: Path, litert: Path, runtime: str) -> list[Processor]:
    """Phones with single-threaded latencies in float32 with ``XNNPACK`` or ``TFLite (2019)``."""
    found = {name: Processor(name, *known) for name, known in PHONES.items()}
    for row in rows_of(published):
        alike = runtime in row["runtime"] and row["threads"] in ("1", "1 big core") and row["precision"] == "float"
        if alike and row["network"] in TITLES and row["phone"] in found:
            found[row["phone"]].readings[TITLES[row["network"]]] = float(row["latency_ms"])
    for row in rows_of(litert) if runtime == "XNNPACK" else ():
        if row["accelerator"] == "cpu" and row["model"] in NETWORKS:
            found[row["device"]].readings[row["model"]] = float(row["median_ms"])
    return [one for one in found.values() if len(one.readings) > 1]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def priced(processors: Sequence[Processor], start: Any) -> Any:
    """Non-negative prices with the least relative errors on all processors, each with a scale of its own."""
    from scipy.optimize import nnls

    typical = np.mean([FEATURE_TABLE[name] for name in (*MOBILE, "efficientnet_b0")], axis=0)
    unit = start + np.divide(_FREE_SHARE * float(typical @ start), typical, out=np.zeros_like(start), where=typical > 0)
    towards = np.divide(start, unit, out=np.zeros_like(start), where=unit > 0)
    pull = _PULL * math.sqrt(len(processors))
    weights = start
    for _ in range(8):
        rows = [
            FEATURE_TABLE[name] * scale_of(one, weights) / ms for one in processors for name, ms in one.readings.items()
        ]
        matrix = np.concatenate([np.array(rows) * unit, pull * np.eye(len(unit))])
        weights = nnls(matrix, np.concatenate([np.ones(len(rows)), pull * towards]))[0] * unit
    return weights


def scale_of(one: Processor, weights: Any) -> float:
    """How many times slower a processor is than the prices say, on networks of mobile size."""
    ratios = [math.log(ms / (FEATURE_TABLE[n] @ weights)) for n, ms in one.readings.items() if n in MOBILE]
    return math.exp(float(np.mean(ratios)))


def with_swish(processors: Sequence[Processor], weights: Any) -> Any:
    """The prices with that of the swish, which the middle of the EfficientNets-B0 tells beyond the other prices."""
    features = FEATURE_TABLE["efficientnet_b0"]
    found = [
        one.readings["efficientnet_b0"] / scale_of(one, weights) - float(features @ weights)
        for one in processors
        if "efficientnet_b0" in one.readings
    ]
    at = list(FEATURES).index("swish_elements")
    price = max(float(np.median(found)), 0.0) / features[at] if found else 0.0
    return np.where(np.arange(len(weights)) == at, price, weights)


Fit = Callable[[Sequence["Processor"]], Kernels]


class Deviations:
    """The Gaussian model of all readings of a table: scales, networks, chips and processors.

    Args:
        processors: The processors.
        weights: Prices of the features.
        sizes: Logarithms of the sizes of the terms: prices between chips and between processors, networks between
            chips as a multiple of those between processors, and these for every network of `names`.
        names: The networks.
    """

    def __init__(self, processors: Sequence[Processor], weights: Any, sizes: Any, names: Sequence[str]) -> None:
        self.processors, self.weights, self.sizes, self.names = list(processors), weights, sizes, list(names)
        rows = [
            (p, one.core, n, ms) for p, one in enumerate(processors) for n, ms in one.readings.items() if n in names
        ]
        cores = sorted({one.core for one in processors})
        self.cores = cores
        self.processor = np.array([p for p, *_ in rows])
        self.core = np.array([cores.index(core) for _, core, *_ in rows])
        self.network = np.array([self.names.index(n) for *_, n, _ in rows])
        table = np.array([FEATURE_TABLE[n] for n in self.names])
        self.shares = (table * weights / (table @ weights)[:, None])[self.network]
        self.values = np.log([ms for *_, ms in rows]) - np.log(table @ weights)[self.network]
        self.level = float(self.values.mean())

    @classmethod
    def start(cls, processors: Sequence[Processor], weights: Any, names: Sequence[str]) -> Deviations:
        """With the sizes before anything is fitted."""
        return cls(processors, weights, np.log([*_START, *[_START_SPREAD] * len(names)]), names)

    def covariance(self, sizes: Any) -> Any:
        """Covariance of all readings."""
        chip_prices, prices, multiple = np.exp(2 * sizes[:3])
        same_one, same_core = (a[:, None] == a for a in (self.processor, self.core))
        spread = np.exp(2 * sizes[3:])[self.network]
        same_network = (self.network[:, None] == self.network) * spread
        return (
            _SCALE**2 * same_one
            + (self.shares @ self.shares.T) * (chip_prices * same_core + prices * same_one)
            + same_network * (multiple * same_core + same_one)
            + _OFFSET**2 * (self.network[:, None] == self.network)
            + _NOISE**2 * np.eye(len(self.values))
        )

    def fitted(self, steps: int = 40) -> Deviations:
        """With the most likely sizes."""
        from scipy.linalg import cho_factor, cho_solve
        from scipy.optimize import minimize

        error = self.values - self.level
        start = np.log([*_START, *[_START_SPREAD] * len(self.names)])

        def loss(sizes: Any) -> float:
            factor = cho_factor(self.covariance(sizes), lower=True)
            data = 0.5 * error @ cho_solve(factor, error) + np.log(np.diag(factor[0])).sum()
            return float(data + 0.5 * (((sizes - start) / _LOOSE) ** 2).sum())

        sizes = minimize(loss, self.sizes, method="L-BFGS-B", options={"maxiter": steps}).x
        return Deviations(self.processors, self.weights, sizes, self.names)

    def kernels(self, title: str = "", source: dict[str, Any] | None = None) -> Kernels:
        """What a new processor shares with these."""
        chip_prices, prices, multiple = np.exp(self.sizes[:3])
        spreads = dict(zip(self.names, np.exp(self.sizes[3:]).tolist(), strict=True))
        dual = np.linalg.solve(self.covariance(self.sizes), self.values - self.level)
        counts = Counter(self.network.tolist())
        networks = {
            name: Known(
                float(_OFFSET**2 * dual[self.network == n].sum()),
                spreads[name],
                float(spreads[name] * math.sqrt((1 + multiple**2) / counts[n])),
            )
            for n, name in enumerate(self.names)
            if counts[n]
        }
        chips = {}
        for c, core in enumerate(self.cores):
            mine = self.core == c
            members = [p for p, one in enumerate(self.processors) if one.core == core]
            timed = [
                _SCALE**2 * dual[self.processor == p].sum() + math.log(self.processors[p].ghz or 1)
                for p in members
                if self.processors[p].ghz
            ]
            chips[core] = Chip(
                len(members),
                float(np.mean(timed)) if timed else None,
                chip_prices**2 * dual[mine] @ self.shares[mine],
                {
                    name: float((multiple * spreads[name]) ** 2 * dual[mine & (self.network == n)].sum())
                    for n, name in enumerate(self.names)
                    if (mine & (self.network == n)).any()
                },
            )
        # A network without a name has no offset, so those of networks of mobile size are 0 in the middle.
        mobile = [name for name in MOBILE if name in networks]
        middle = float(np.mean([networks[name].offset for name in mobile]))
        networks = {name: replace(known, offset=known.offset - middle) for name, known in networks.items()}
        each = [math.hypot(networks[n].offset, spreads[n] * math.hypot(1, multiple)) for n in mobile]
        found = Spreads(float(chip_prices), float(prices), float(multiple), math.sqrt(float(np.mean(np.square(each)))))
        weights = self.weights * math.exp(self.level + middle)
        unknown = tuple(name for name in ("swish_elements",) if not dict(zip(FEATURES, weights, strict=True))[name])
        return Kernels(title, weights, networks, chips, found, {}, source or {}, unknown)


def predicted(
    kernels: Kernels, one: Processor, read: Sequence[str], name: str, core: str | None, named: bool = True
) -> tuple[float, float]:
    """Latency of a network on a processor after readings, and the standard deviation of its logarithm."""
    readings = [(n, FEATURE_TABLE[n], one.readings[n]) for n in read]
    prior = kernels.prior(readings, core, network=(name if named else None, FEATURE_TABLE[name]))
    return float(FEATURE_TABLE[name] @ prior.weights), prior.spread


def calibrated(kernels: Kernels, without: Sequence[tuple[Kernels, Processor]], read: Sequence[str]) -> Kernels:
    """The kernels with bounds that hold on processors that were left out.

    Args:
        kernels: What was fitted to all processors.
        without: For processors, what was fitted without their family.
        read: Networks of which one at a time is read.
    """

    def needed(named: bool) -> float:
        ratios = []
        for one, processor in without:
            for reading in set(read) & processor.readings.keys():
                # A network without a name is one of a search space, and those are of mobile size.
                for name in processor.readings.keys() & set(one.networks if named else MOBILE) - {reading}:
                    ms, spread = predicted(one, processor, [reading], name, None, named)
                    ratios.append(math.log(processor.readings[name] / ms) / spread)
        rank = min(len(ratios), math.ceil(0.9 * (len(ratios) + 1)))
        return float(np.sort(ratios)[rank - 1]) / 1.2816

    bound, unknown = needed(True), needed(False)
    spreads = replace(kernels.spreads, bound=bound, unknown=kernels.spreads.unknown * max(unknown / bound, 1.0))
    return replace(kernels, spreads=spreads)


def families_out(fit: Fit, processors: Sequence[Processor]) -> list[tuple[Kernels, Processor]]:
    """For every processor, what `fit` makes of those of other families."""
    fits = {core: fit([one for one in processors if one.core != core]) for core in {one.core for one in processors}}
    return [(fits[one.core], one) for one in processors]


def ratios_to_float(published: Path, litert: Path) -> dict[str, dict[str, Precision]]:
    """Ratios of other precisions to float32 by kernels, from pairs of published readings."""
    logs: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows = {(r["network"], r["phone"], r["runtime"], r["threads"], r["precision"]): r for r in rows_of(published)}
    for (network, phone, runtime, threads, precision), row in rows.items():
        other = rows.get((network, phone, runtime, threads, "float"))
        if precision == "int8" and other and "2019" in runtime:
            logs["tflite-2019", "int8"].append(math.log(float(row["latency_ms"]) / float(other["latency_ms"])))
    cpu = {row["model"]: float(row["median_ms"]) for row in rows_of(litert) if row["accelerator"] == "cpu"}
    for model, precision in (
        ("mobilenet_v2_int8_channelwise", "int8"),
        ("mobilenet_v2_dynamic_wi8_afp32", "int8-dynamic"),
    ):
        logs["xnnpack", precision].append(math.log(cpu[model] / cpu["mobilenet_v2"]))
    found: dict[str, dict[str, Precision]] = defaultdict(dict)
    for (kernels, precision), values in logs.items():
        # A single phone says nothing of others, however many networks were timed on it.
        found[kernels][precision] = Precision(
            float(np.mean(values)), max(_LEAST_PRECISION_SPREAD, float(np.std(values)))
        )
    return found


def fit_of_phones(key: str, x86: Any, ncnn: Deviations, every: Sequence[Processor]) -> Fit:
    """What fits phones of one kind of kernels: the prices of x86-64, and the sizes of the deviations of ncnn."""
    sizes_of = dict(zip(ncnn.names, ncnn.sizes[3:], strict=True))
    usual = float(np.median([sizes_of[n] for n in MOBILE if n in sizes_of]))
    names = sorted({name for one in every for name in one.readings})
    sizes = np.array([*ncnn.sizes[:3], *(sizes_of.get(n, usual) for n in names)])

    def fit(some: Sequence[Processor]) -> Kernels:
        prices = with_swish(some, x86) if key == "xnnpack" else x86
        return Deviations(some, prices, sizes, names).kernels()

    return fit


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=DEVICES / "cpu-pool.json")
    options = parser.parse_args()
    x86 = read_prior(DEVICES / "cpu-prior.json").weights
    tables = options.data / "phone_published_latencies.csv", options.data / "phone_litert22_pixel9pro.csv"
    ncnn = [one for one in ncnn_processors(options.data / "ncnn_latencies.csv") if one.threads == 1]
    names = sorted(set(NCNN.values()))
    weights = priced(ncnn, x86)
    whole = Deviations.start(ncnn, weights, names).fitted()
    parts = families_out(lambda some: Deviations(some, weights, whole.sizes, names).kernels(), ncnn)
    precisions = ratios_to_float(*tables)
    today = datetime.now(UTC).date().isoformat()
    pool = {}
    for key, title, source, runtime in (
        ("xnnpack", "XNNPACK (TFLite since 2020, LiteRT)", "readings published by XNNPACK and with LiteRT", "XNNPACK"),
        ("tflite-2019", "TFLite of 2019, before XNNPACK", "readings published with MobileNetV3", "TFLite (2019)"),
    ):
        some = phones(*tables, runtime)
        fit = fit_of_phones(key, x86, whole, some)
        known = {"fitted_to": source, "processors": len(some)}
        found = calibrated(replace(fit(some), title=title, source=known), families_out(fit, some), [READ])
        # Few phones say less of how far others differ than the many processors of the other table.
        pool[key] = replace(found, spreads=replace(found.spreads, bound=max(found.spreads.bound, 1.0)))
    told = {"fitted_to": "ncnn's published benchmark, Tencent, BSD-3", "processors": len(ncnn)}
    pool["ncnn"] = calibrated(whole.kernels("ncnn", told), parts, [READ])
    for key, one in pool.items():
        pool[key] = replace(one, precisions=dict(precisions.get(key, {})), source={**one.source, "fitted": today})
        print(key, one.spreads, {name: round(known.offset, 3) for name, known in one.networks.items()})
        print(json.dumps(dict(zip(FEATURES, one.weights.round(5).tolist(), strict=True))))
    write_atomically(options.output, to_json(pool).encode())


if __name__ == "__main__":
    main()
