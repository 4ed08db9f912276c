"""Trains a generator for a trained supernet of a family, and compares it with `lookup` by judges that steered neither.

    python benchmarks/trained_families.py --work build/glyphs --only vit --supernets build
    python benchmarks/trained_generator.py --work build/glyphs --supernet build/vit.safetensors [--family vit]

--work is the work folder of recipes/glyphs/build.py, whose validation pictures are used. Random subnets are measured on
them and split in two halves, as in benchmarks/generator.py: an accuracy predictor of one half steers both methods, and
judges of four kinds, fitted to the other half, say how good what they pick is. Devices and budgets are random ones that
the training of the generator has not seen. With 150 subnets, it takes about fifteen minutes on an idle core, ten of
them for the generator. What was measured is kept beside the supernet.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import

import numpy as np
from scipy.stats import kendalltau
from trained_families import FAMILIES, PREPROCESSING, RECALIBRATION

from nagsdk.cost.table import exact_table
from nagsdk.families.space import NetworkSpace
from nagsdk.families.torch_scope import threads
from nagsdk.generator.frontier import frontier
from nagsdk.generator.generator import Generator
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag
from nagsdk.generator.strategy import Question
from nagsdk.generator.train import GeneratorRecipe
from nagsdk.generator.training_data import Devices
from nagsdk.images.batches import Shown, prepare
from nagsdk.predictor.halves import Half, judges_of, second_half
from nagsdk.predictor.kinds import JUDGES
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.weights import load_supernet

FIRST_DEVICE, TARGET = 7 * 10**8, -0.01
METHODS = {"nag": Nag(64), "lookup": Lookup()}


def subnets(space: NetworkSpace, work: Path, supernet: Path, count: int) -> tuple[Any, Any]:
    """Codes and top-1 of the smallest, the largest and random subnets; measured now, or kept from an earlier run."""
    kept = supernet.with_suffix(f".{count}.npz")
    if not kept.is_file():
        images = np.load(work / "train.images.npy", mmap_mode="r")
        seen, right = (np.load(work / f"validation.{part}.npy", mmap_mode="r") for part in ("images", "labels"))
        codes = np.concatenate([extremes(space), space.sample(2 * count, np.random.default_rng(2))])
        codes = codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])][:count]
        top1 = measure(
            load_supernet(space, supernet.read_bytes()),
            space.decode(codes),
            lambda r: prepare(images[:RECALIBRATION], r, PREPROCESSING),
            lambda r: Shown(seen, right, r, PREPROCESSING),
        )
        np.savez(kept, codes=codes, top1=top1)
    with np.load(kept) as stored:
        return stored["codes"], stored["top1"]


def run(space: NetworkSpace, codes: Any, top1: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Fits, trains and compares."""
    second = second_half(codes, options.seed)
    steer = Half.fitted(space, codes[~second], top1[~second], options.seed)
    judges = judges_of(space, codes, top1, JUDGES, options.seed)
    generator = Generator.trained(space, steer, GeneratorRecipe().shortened(options.length), options.seed)
    drawn = Devices(space)
    tables = {f"random {n + 1}": drawn.latency(np.random.default_rng(FIRST_DEVICE + n)) for n in range(options.devices)}
    tables["MACs"] = exact_table(space, lambda layer: float(layer.macs))
    rows, broken, answers = [], 0, 0
    for table in tables.values():
        best = frontier(space, table, steer.additive)
        limits = np.linspace(best.cost[0], best.cost[-1], options.budgets)[:, None]
        question = Question(space, steer, [table], limits, lambda: generator, options.seed)
        picked = {}
        for name, method in METHODS.items():
            found = method.propose(question)
            picked[name] = found[np.arange(len(found)), choose(steer, found)[:, 0]]
            broken += int((question.cost(found) > limits[:, None]).any(2).sum())
            answers += found.shape[0] * found.shape[1]
        rows.append(
            [
                float(np.mean(judge.predict(picked["nag"]).mean - judge.predict(picked["lookup"]).mean))
                for judge in judges.values()
            ]
        )
    ahead = np.array(rows)
    return {
        "subnets": len(codes),
        "top1": {"mean": float(top1.mean()), "sd": float(top1.std())},
        "judges": {
            kind: {
                "rmse": judge.rmse,
                "tau": float(kendalltau(judge.predict(codes[~second]).mean, top1[~second])[0]),
                "nag_minus_lookup": float(ahead[:, number].mean()),
                "worst_device": float(ahead[:, number].min()),
            }
            for number, (kind, judge) in enumerate(judges.items())
        },
        "nag_minus_lookup": float(ahead.mean()),
        "worst_device": float(ahead.mean(1).min()),
        "devices": len(tables),
        "budgets": options.budgets,
        "candidates": answers,
        "broken": broken,
        "regret": generator.card.regret,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="work folder of recipes/glyphs/build.py")
    parser.add_argument("--supernet", type=Path, required=True, help="weights that trained_families.py kept")
    parser.add_argument("--family", choices=list(FAMILIES), default="vit", help="its family (default: %(default)s)")
    parser.add_argument("--subnets", type=int, default=150, help="subnets to measure (default: %(default)s)")
    parser.add_argument("--devices", type=int, default=20, help="random devices (default: %(default)s)")
    parser.add_argument("--budgets", type=int, default=30, help="budgets on each device (default: %(default)s)")
    parser.add_argument("--length", type=float, default=1.0, help="share of the generator's usual training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with threads(1):
        space = FAMILIES[options.family]()
        report = run(space, *subnets(space, options.work, options.supernet, options.subnets), options)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    top1 = report["top1"]
    print(
        f"{report['subnets']} subnets measured: top-1 {top1['mean']:.1f} %, standard deviation {top1['sd']:.2f} points"
    )
    print(f"{'judge':<14}{'RMSE':>7}{'tau':>7}{'nag - lookup':>14}{'worst device':>14}")
    for kind, row in report["judges"].items():
        print(
            f"{kind:<14}{row['rmse']:>7.2f}{row['tau']:>7.2f}{row['nag_minus_lookup']:>+14.3f}"
            f"{row['worst_device']:>+14.3f}"
        )
    print(f"{'mean of kinds':<28}{report['nag_minus_lookup']:>+14.3f}{report['worst_device']:>+14.3f}")
    print(f"{report['devices']} devices, {report['budgets']} budgets each; limits broken by candidates: ", end="")
    print(f"{report['broken']} of {report['candidates']}")
    print(f"mean >= {TARGET:g} and 0 broken: ", end="")
    print("yes" if report["nag_minus_lookup"] >= TARGET and not report["broken"] else "NO")


if __name__ == "__main__":
    main()
