"""Compares the accuracy predictor with other kinds: gradient-boosted trees, Gaussian processes, and mixtures.

    python benchmarks/predictors.py --data DIR [--labels 30,100,300,1000] [--seeds 1] [--part whole|labels|glyphs]

DIR contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T, Apache-2.0). Each of
its four runs is left out in turn: every kind is fitted to all other measurements, or to some of them, and predicts the
run. Architectures that the run shares with others are left out with it. On `glyphs`, whose subnets were measured at
several resolutions, every kind is fitted to some of the bundle's measurements and predicts the others; there, the kinds
can also read training-free proxies (benchmarks/proxies.py). nagsdk/predictor/kinds.py says what the kinds are. Takes
half an hour; --part takes one table only.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from proxies import proxies
from scipy.stats import kendalltau

from nagsdk.bundle.bundle import Bundle
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.pipeline.target import Target
from nagsdk.predictor.features import Floats
from nagsdk.predictor.groups import MeasuredSubnets
from nagsdk.predictor.kinds import (
    Kind,
    additive,
    boosted,
    features,
    gaussian_process,
    mlp,
    own,
    pairwise_process,
    product,
    pruned,
    trees,
)

MEASURED = "ofa_mbv3_w1.0_imagenet_top1.csv"
KINDS: dict[str, Kind] = {
    "product": product,
    "ensemble alone": own,
    "sum over choices": additive,
    "Gaussian process": gaussian_process,
    "… of pairs": pairwise_process,
    "trees on the sum": trees,
    "trees alone": boosted,
    "trees, space pruned": pruned,
    "MLP": mlp,
}
MIXTURES = {
    "product + process": ("product", "Gaussian process"),
    "product + trees": ("product", "trees on the sum"),
    "product + process + trees": ("product", "Gaussian process", "trees on the sum"),
}
FEW = ("product", "ensemble alone", "sum over choices", "Gaussian process", "trees on the sum")
# Errors of one kind on one part of the data: predicted less measured top-1, and the measured top-1.
Errors = tuple[Floats, Floats]


def errors(kind: Kind, x: Floats, top1: Floats, fitted: NDArray[np.bool_], judged: NDArray[np.bool_]) -> Errors:
    return kind(x[fitted], top1[fitted], 0)(x[judged]) - top1[judged], top1[judged]


def some(rows: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.bool_]:
    """Mask of `count` random rows of those of a mask."""
    chosen = np.zeros_like(rows)
    chosen[np.random.default_rng(seed).permutation(np.flatnonzero(rows))[:count]] = True
    return chosen


def figures(found: Iterable[Errors]) -> tuple[float, float]:
    """Root mean square of the RMSE of the parts, and the mean of their Kendall taus."""
    parts = list(found)
    squares = [np.mean(error**2) for error, _ in parts]
    return float(np.sqrt(np.mean(squares))), float(np.mean([kendalltau(e + top1, top1)[0] for e, top1 in parts]))


def show(title: str, columns: Iterable[str], rows: Mapping[str, Iterable[tuple[float, float]]]) -> None:
    print(f"\n{title}\n{'RMSE in points / Kendall tau':40}" + "".join(f"{column:>27}" for column in columns))
    for name, cells in rows.items():
        print(f"{name:40}" + "".join(f"{f'{rmse:.4f} / {tau:.3f}':>27}" for rmse, tau in cells), flush=True)


def mixed(found: dict[str, list[Errors]]) -> dict[str, list[Errors]]:
    """Adds the mixtures, whose errors are the means of those of their kinds."""
    for name, kinds in MIXTURES.items():
        parts = zip(*(found[kind] for kind in kinds), strict=True)
        found[name] = [(np.mean([error for error, _ in part], axis=0), part[0][1]) for part in parts]
    return found


def left_out(measured: MeasuredSubnets, x: Floats) -> None:
    """Prints the table of `imagenet` with all measurements."""
    whole = mixed(
        {name: [errors(kind, x, measured.top1, *run) for run in runs(measured)] for name, kind in KINDS.items()}
    )
    rows = {name: [*(figures([part]) for part in found), figures(found)] for name, found in whole.items()}
    show("imagenet, one run left out, all other measurements", [*measured.names, "all four"], rows)


def by_labels(measured: MeasuredSubnets, x: Floats, labels: list[int], seeds: int) -> None:
    """Prints the table of `imagenet` by number of measurements."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for count in labels:
        parts = [(some(fitted, count, seed), judged) for fitted, judged in runs(measured) for seed in range(seeds)]
        found = mixed({name: [errors(KINDS[name], x, measured.top1, *part) for part in parts] for name in FEW})
        for name, part in found.items():
            rows.setdefault(name, []).append(figures(part))
    show("imagenet, one run left out, by number of other measurements", map(str, labels), rows)


def runs(measured: MeasuredSubnets) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Masks of what is fitted to, and of the run that is left out."""
    return [(measured.outside(run), measured.group == run) for run in range(len(measured.names))]


def with_proxies(bundle: Bundle, labels: list[int], seeds: int) -> None:
    """Prints the table of `glyphs`."""
    codes, columns = bundle.space.read_table(bundle.folder / "measured.csv")
    top1, x, every = columns["top1"].astype(np.float64), features(bundle.space, codes)(codes), np.ones(len(codes), bool)
    extra = proxies(bundle, codes)
    print("\nglyphs: Kendall tau of each proxy alone with the measured top-1")
    print("".join(f"  {name} {kendalltau(column, top1)[0]:.3f}" for name, column in extra.items()))
    scaled = np.column_stack([(column - column.mean()) / column.std() for column in extra.values()])
    read = {", with proxies": np.hstack([x, scaled]), ", blind to the resolution": x[:, len(np.unique(codes[:, 0])) :]}
    counts = [count for count in labels if count < len(codes) - 100]
    rows: dict[str, list[tuple[float, float]]] = {}
    for count in counts:
        parts = [(chosen, ~chosen) for chosen in (some(every, count, seed) for seed in range(3 * seeds))]
        found = mixed({name: [errors(KINDS[name], x, top1, *part) for part in parts] for name in FEW})
        for name in ("product", "Gaussian process"):
            for added, changed in read.items():
                found[name + added] = [errors(KINDS[name], changed, top1, *part) for part in parts]
        for name, part in found.items():
            rows.setdefault(name, []).append(figures(part))
    show("glyphs, the other subnets, by number of measurements", map(str, counts), rows)


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", default="30,100,300,1000", help="numbers of measurements (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="draws of these; thrice as many for glyphs")
    parser.add_argument(
        "--part", choices=("all", "whole", "labels", "glyphs"), default="all", help="the table to print"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    space, labels = ofa_mobilenet_v3(), [int(count) for count in options.labels.split(",")]
    codes, columns = read_architectures(options.data / MEASURED, space)
    measured = MeasuredSubnets.of(space, codes, columns["top1"].astype(np.float64), columns["run"], 0)
    x = features(space, codes)(codes)
    if options.part in ("all", "whole"):
        left_out(measured, x)
    if options.part in ("all", "labels"):
        by_labels(measured, x, labels, options.seeds)
    if options.part in ("all", "glyphs"):
        with_proxies(Target("cpu", "glyphs").bundle, labels, options.seeds)


if __name__ == "__main__":
    main()
