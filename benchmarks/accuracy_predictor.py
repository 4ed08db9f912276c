"""Measures how well the accuracy predictor of `imagenet` predicts architectures that it has not seen, at 224 px.

The rival in the same run is a ridge regression on one-hot decisions, the usual additive model. Takes a few minutes.

    python benchmarks/accuracy_predictor.py --data DIR [--json]

DIR holds ofa_mbv3_w1.0_imagenet_top1.csv (IntelLabs/DyNAS-T, Apache-2.0; columns run, ks, e, d, r, top1).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets, folds
from nagsdk.predictor.train import EnsembleRecipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    space = ofa_mobilenet_v3()
    codes, columns = read_architectures(arguments.data / "ofa_mbv3_w1.0_imagenet_top1.csv", space)
    measured = MeasuredSubnets.of(space, codes, columns["top1"].astype(np.float64), columns["run"], 0)
    fitter = Fitter(space, measured, EnsembleRecipe(), 0)
    ensemble, additive = (judged.figures() for judged in fitter.folds())
    left_out_runs = [part.figures() for part in fitter.left_out()]
    rival = ridge(space.one_hot(codes).astype(np.float64), measured)
    by_folds: dict[str, Mapping[str, float]] = {
        "folds": ensemble,
        "additive score, folds": additive,
        "rival, ridge on one-hot, folds": rival,
    }
    if arguments.json:
        print(json.dumps({**by_folds, "left_out": left_out_runs}, indent=2))
        return
    print("five folds by architecture (targets: RMSE <= 0.07, tau >= 0.955)")
    for name, figures in by_folds.items():
        print(f"  {name:36}RMSE {figures['rmse']:.4f}  tau {figures['kendall_tau']:.4f}")
    print(f"  ratio of the rival's RMSE to ours  {rival['rmse'] / ensemble['rmse']:.2f}")
    print("each run left out (targets: RMSE <= 0.10, intervals cover 86 to 94 %, 84 % in each region)")
    for row in left_out_runs:
        print(
            f"  {row['left_out']:36}RMSE {row['rmse']:.4f}  tau {row['kendall_tau']:.4f}  "
            f"covered {row['coverage_90']:.1%}, on the front {row['coverage_90_on_front']:.1%}, by quarters of MACs "
            f"{', '.join(f'{share:.1%}' for share in row['coverage_90_by_quarter_of_macs'])}; "
            f"half-width {row['mean_half_width']:.3f}"
        )


def ridge(features: np.ndarray, measured: MeasuredSubnets) -> dict[str, float]:
    """Figures of a plain ridge regression on the same folds."""
    fold, predicted = folds(measured.architecture, 0), np.empty_like(measured.top1)
    for f in range(FOLDS):
        x, y = features[fold != f], measured.top1[fold != f]
        centre = x.mean(0)
        weights = np.linalg.solve((x - centre).T @ (x - centre) + np.eye(x.shape[1]), (x - centre).T @ (y - y.mean()))
        predicted[fold == f] = y.mean() + (features[fold == f] - centre) @ weights
    rmse = float(np.sqrt(np.mean((predicted - measured.top1) ** 2)))
    return {"rmse": round(rmse, 4), "kendall_tau": round(float(kendalltau(measured.top1, predicted)[0]), 4)}


if __name__ == "__main__":
    main()
