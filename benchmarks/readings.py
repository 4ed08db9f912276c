"""What one to three readings of well-known networks tell of a processor that was left out with its family.

    python benchmarks/readings.py --data DIR [--quick]

DIR holds ncnn_latencies.csv, phone_published_latencies.csv and phone_litert22_pixel9pro.csv (docs/figures.md). All that
is fitted, the sizes of the deviations included, is found again without the family; the factor on the bounds comes from
the errors on the other families. Beside that: a processor left out alone, so that others with its chip remain and
`--chip` names it; each family; readings and predictions with several threads; a chip's name and no reading at all. The
rival is the middle of the ratios of two networks on the other processors. With --quick, the sizes are found once.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))
import cpu_pool as pool  # type: ignore[import-not-found, import-untyped, unused-ignore]

from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.chips import Core, names, nearest
from nagsdk.cost.features import FEATURES
from nagsdk.cost.pool import Kernels
from nagsdk.cost.prior import read_prior

FOUR = ("mobilenet_v1", "mobilenet_v2", "mnasnet_b1", "proxyless_mobile")
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Prediction:
    """One network on one processor that was left out: logarithms of measured by predicted latency, and of the bound."""

    processor: pool.Processor
    network: str
    read: tuple[str, ...]
    error: float
    bound: float


def shown(title: str, found: Iterable[Prediction], target: str = "") -> None:
    """Prints one line of figures."""
    some = list(found)
    if not some:
        return
    off = np.array([abs(math.exp(-one.error) - 1) for one in some])
    held = np.mean([one.error <= one.bound for one in some])
    excess = np.median([math.exp(one.bound - one.error) - 1 for one in some])
    bound = f"{held:9.3f}{excess:9.1%}" if math.isfinite(excess) else f"{'':18}"
    print(f"  {title:<70}{np.median(off):7.1%}{np.mean(off <= 0.1):8.0%}{bound}{len(some):6}  {target}")


def head(title: str) -> None:
    print(f"\n{title}\n  {'':<70}{'median':>7}{'±10 %':>8}{'bound':>9}{'excess':>9}{'n':>6}  target")


def predictions(
    parts: Iterable[tuple[Kernels, pool.Processor]], reads: Iterable[tuple[str, ...]], named: bool = False
) -> list[Prediction]:
    """Predicts every other network of processors after the readings."""
    found = []
    for kernels, one in parts:
        for read in reads:
            if not set(read) <= one.readings.keys():
                continue
            for name in one.readings.keys() - set(read):
                if any(pool.FEATURE_TABLE[name][list(FEATURES).index(feature)] for feature in kernels.unknown):
                    continue  # nobody knows what it costs
                ms, spread = pool.predicted(kernels, one, read, name, one.core if named else None)
                error = math.log(one.readings[name] / ms)
                found.append(Prediction(one, name, read, error, normal_quantile(CONFIDENCE) * spread))
    return found


def rival(processors: Sequence[pool.Processor]) -> list[Prediction]:
    """The middle ratio of each network to the one that was read, on processors of other families."""
    found = []
    for one in processors:
        for name in one.readings.keys() - {pool.READ}:
            others = [p.readings for p in processors if p.core != one.core and name in p.readings]
            ratios = [math.log(r[name] / r[pool.READ]) for r in others]
            if ratios:
                error = math.log(one.readings[name] / one.readings[pool.READ]) - float(np.median(ratios))
                found.append(Prediction(one, name, (pool.READ,), error, math.nan))
    return found


def bounded(parts: list[tuple[Kernels, pool.Processor]]) -> list[tuple[Kernels, pool.Processor]]:
    """Gives what was fitted without a family the bounds that hold on the other families."""
    others = {core: [part for part in parts if part[1].core != core] for _, one in parts for core in (one.core,)}
    fits = {one.core: pool.calibrated(kernels, others[one.core], [pool.READ]) for kernels, one in parts}
    return [(fits[one.core], one) for _, one in parts]


def without_itself(fit: pool.Fit, processors: Sequence[pool.Processor]) -> list[tuple[Kernels, pool.Processor]]:
    return [(fit([other for other in processors if other.name != one.name]), one) for one in processors]


def report(title: str, fit: pool.Fit, processors: Sequence[pool.Processor], four: Sequence[str], targets: bool) -> None:
    """All figures of processors with the same kernels."""
    read = (pool.READ,)
    families = bounded(pool.families_out(fit, processors))
    several = [r for count in (2, 3) for r in combinations((pool.READ, *four), count) if pool.READ in r]
    found = predictions(families, [read, *several])
    head(f"{title}, one thread, left out with the family")
    for count, target in ((1, "<= 3 %, >= 92 %, 0.9 ± .04, <= 12 %"), (2, ""), (3, "0.9 ± .04, <= 9 %")):
        of = [one for one in found if len(one.read) == count and one.network in four]
        shown(f"{count} reading{'s' * (count > 1)}: {', '.join(four)}", of, target if targets else "")
    one_reading = [one for one in found if one.read == read]
    shown("one reading: all networks", one_reading, "0.9 ± .04" if targets else "")
    for name in sorted({one.network for one in one_reading}):
        shown(f"one reading: {name}", (one for one in one_reading if one.network == name))
    shown("the middle of the ratios: the four together", (one for one in rival(processors) if one.network in four))
    for core in sorted({one.core for one in processors}):
        shown(f"family {core}", (p for p in one_reading if p.processor.core == core and p.network in four))
    known = [one for one in processors if sum(other.core == one.core for other in processors) > 1]
    if known:
        alone = without_itself(fit, processors)
        factor = {one.core: kernels.spreads for kernels, one in families}
        alone = [(replace(k, spreads=replace(k.spreads, bound=factor[p.core].bound)), p) for k, p in alone]
        named = predictions(alone, [read, *several], named=True)
        head(f"{title}, one thread, left out alone, the chip named")
        for count in (1, 2, 3):
            of = [one for one in named if len(one.read) == count and one.network in four]
            shown(f"{count} reading{'s' * (count > 1)}: the four together", of)
        others = {one.network for one in named} - {*four, pool.READ}
        for name in sorted(others):
            shown(f"one reading: {name}", (one for one in named if one.network == name and one.read == read))


def by_name(title: str, fit: pool.Fit, processors: Sequence[pool.Processor]) -> None:
    """The latency of a network from a chip's name and frequency alone, the processor left out."""
    found = []
    for kernels, one in without_itself(fit, processors):
        if one.ghz is None or one.core not in {*kernels.chips, *names()}:
            continue
        chip, scale = nearest(Core(one.core, one.ghz), kernels)
        if scale is None:
            continue
        prior = kernels.prior([], chip, scale, (pool.READ, pool.FEATURE_TABLE[pool.READ]))
        error = math.log(one.readings[pool.READ] / float(pool.FEATURE_TABLE[pool.READ] @ prior.weights))
        found.append(Prediction(one, pool.READ, (), error, normal_quantile(CONFIDENCE) * prior.spread))
    head(f"{title}, no reading, a chip's name and frequency")
    shown(f"{pool.READ}", found, "wide, 0.9")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="find the sizes of the deviations once, not in turns")
    options = parser.parse_args()
    x86 = read_prior(pool.DEVICES / "cpu-prior.json").weights
    every = pool.ncnn_processors(options.data / "ncnn_latencies.csv")
    single = [one for one in every if one.threads == 1]
    networks = sorted(set(pool.NCNN.values()))
    whole = pool.Deviations.start(single, pool.priced(single, x86), networks).fitted()

    def fit(some: Sequence[pool.Processor]) -> Kernels:
        start = pool.Deviations(some, pool.priced(some, x86), whole.sizes, networks)
        found: Kernels = (start if options.quick else start.fitted(10)).kernels()
        return found

    report("ncnn", fit, single, FOUR, targets=True)
    head("ncnn, readings and predictions with the same number of threads, left out with the family")
    kernels = {one.core: kernels for kernels, one in pool.families_out(fit, single)}
    parts = [(kernels.get(one.core) or whole.kernels(), one) for one in every]
    for name in (*FOUR, None):
        some = [p for p in predictions(parts, [(pool.READ,)]) if (p.network == name if name else p.network in FOUR)]
        shown(f"{name or 'the four together'}: all", some)
        shown(f"{name or 'the four together'}: 2 to 8 threads", (p for p in some if 2 <= p.processor.threads <= 8))
    by_name("ncnn", fit, single)
    published = options.data / "phone_published_latencies.csv", options.data / "phone_litert22_pixel9pro.csv"
    for key, runtime in (("xnnpack", "XNNPACK"), ("tflite-2019", "TFLite (2019)")):
        phones = pool.phones(*published, runtime)
        fits = pool.fit_of_phones(key, x86, whole, phones)
        mobile = sorted({n for one in phones for n in one.readings if n in pool.MOBILE} - {pool.READ})
        report(key, fits, phones, mobile, targets=False)
        by_name(key, fits, phones)


if __name__ == "__main__":
    main()
