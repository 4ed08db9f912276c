"""Compares the generator and its rivals on `glyphs` by measured top-1, to check the predicted top-1 of their picks.

    python benchmarks/generator_measured.py [--picks 20]

Every method gets the same MACs budgets. Each architecture that is picked is cut out of the supernet, recalibrated and
evaluated on the bundle's test images, whose fonts neither supernet nor accuracy predictor has seen. `shown` is what
`deploy` says of an architecture that was chosen. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from nagsdk.budget import MACS
from nagsdk.bundle.bundle import Bundle
from nagsdk.cost.bounds import Completions
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag, Nsga2, Random
from nagsdk.pipeline.models import question
from nagsdk.pipeline.target import Target
from nagsdk.space.space import Codes
from nagsdk.supernet.evaluate import top1

METHODS = (Nag(), Lookup(), Nsga2(), Random())


def measured(bundle: Bundle, code: Codes) -> float:
    """Top-1 of one architecture on the bundle's test images, in percent."""
    (architecture,) = bundle.space.decode(code[None])
    test = bundle.test_set(architecture.resolution)
    assert test is not None
    return top1(bundle.subnet(architecture), [(torch.from_numpy(test.inputs), torch.from_numpy(test.labels))])


def main() -> None:
    """Measures all picks and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picks", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = Target("cpu", "glyphs")
    bundle, table = target.bundle, target.costs.table(MACS, None)
    bounds, predictor = Completions.of(bundle.space, table), bundle.predictor
    # Above about two thirds of the range larger networks are not better; below a twentieth there is nothing to choose.
    limits = np.linspace(
        bounds.least + 0.05 * (bounds.most - bounds.least),
        bounds.least + 0.7 * (bounds.most - bounds.least),
        options.picks,
    )
    known: dict[bytes, float] = {}
    rows = {}
    for method in METHODS:
        codes = method.propose(question(target, [table], limits, 0))
        picked = codes[np.arange(len(codes)), choose(predictor, codes)[:, 0]]
        for code in picked:
            if code.tobytes() not in known:
                known[code.tobytes()] = measured(bundle, code)
        rows[method.id] = np.array([known[code.tobytes()] for code in picked])
        predicted, used = predictor.predict(picked).mean, table.cost(picked) / limits
        print(f"{method.id}: {len(known)} architectures measured so far", file=sys.stderr, flush=True)
        against = rows[method.id] - rows[METHODS[0].id]
        error = against.std(ddof=1) / np.sqrt(len(against))
        print(
            f"{method.id:12} predicted {predicted.mean():.3f} %, measured {rows[method.id].mean():.3f} %, "
            f"minus {METHODS[0].id} {against.mean():+.3f} (standard error {error:.3f}), budget used {used.mean():.1%}",
            flush=True,
        )
        shown = predictor.of_chosen(picked)
        inside = int(((shown.low <= rows[method.id]) & (rows[method.id] <= shown.high)).sum())
        bias, half = (shown.mean - rows[method.id]).mean(), ((shown.high - shown.low) / 2).mean()
        print(
            f"{'':12} shown less measured {bias:+.3f}; {inside} of {len(picked)} inside the 90 % interval, "
            f"half-width {half:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
