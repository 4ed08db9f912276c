"""What a pool of calibrated devices is worth for the next one: 5 samples with it beside 5 and 10 samples without it.

    python benchmarks/lab_pool.py --data DIR [--tables fbnet,nb201,ofa] [--seeds 2] [--each 30]

DIR comes from recipes/tables.py. Every device of a table is calibrated in turn, with a pool that holds the others
without its family. A member of the pool is known by its own calibration only: EACH architectures, chosen as nagsdk does
without a prior. Scores are those of 1,000 architectures that follow the known ones in the table. "informative" means
that half of the samples are those that make the latencies most certain, as in `nagsdk calibrate`; "random" that all
are random.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from calibration import READERS, score
from latency_tables import Floats, LatencyTable

from nagsdk.calibration.lab import Member, lab_prior
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import NOISE, most_informative
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Prior, flat_prior
from nagsdk.measuring.key import MeasurementKey

FRESH, CANDIDATES = 1000, 300
FEW, MORE = 5, 10
KEY = MeasurementKey("", "", "", "", "", 1, 1, "")


class Lab:
    """One table as a lab.

    Args:
        table: The table.
        each: Number of samples of a member of the pool.
    """

    def __init__(self, table: LatencyTable, each: int) -> None:
        self.table, self.each = table, each
        self.known = np.arange(table.known)
        self.fresh = np.arange(table.known, min(table.known + FRESH, len(table.codes)))
        self.flat = flat_prior(FeatureTable.of(table.space))

    def picked(self, prior: Prior, count: int, rng: np.random.Generator) -> Floats:
        """Rows of the table: half of them informative under a prior, half random."""
        shape, codes = prior.on(self.table.space), self.table.codes
        candidates, population = (rng.choice(self.known, CANDIDATES, replace=False) for _ in range(2))
        noise = float(np.exp(shape.sizes.medians[NOISE]))
        designs = shape.design(codes[candidates]), shape.design(codes[population])
        best = candidates[most_informative(*designs, count // 2, shape.sizes, noise)]
        random = [row for row in rng.choice(self.known, count, replace=False) if row not in set(best.tolist())]
        return np.concatenate([best, random])[:count].astype(int)

    @cache  # noqa: B019 there are few tables, and all of them live to the end
    def member(self, device: str, seed: int) -> Member:
        """A device of the pool, with what its own calibration measured."""
        rows = self.picked(self.flat, self.each, np.random.default_rng([seed, self.table.devices.index(device)]))
        texts = tuple(a.text for a in self.table.space.decode(self.table.codes[rows]))
        ms = tuple(self.table.of(device)[rows].tolist())
        return Member(device, device, KEY, self.table.space.fingerprint, "", texts, ms)

    def scored(self, device: str, prior: Prior, rows: Floats) -> dict[str, float]:
        """Scores of a calibration with these samples."""
        codes, ms = self.table.codes, self.table.of(device)
        found = CostModel.fit(self.table.space, prior, codes[rows], ms[rows]).mean(codes[self.fresh])
        return score(np.maximum(found, 0.05 * float(np.median(ms[rows]))), ms[self.fresh])

    def run(self, device: str, seed: int) -> dict[str, dict[str, float]]:
        """All calibrations of one device."""
        pool = lab_prior(self.table.space, [self.member(other, seed) for other in self.table.pool_of(device)])

        def draw(count: int) -> np.random.Generator:
            return np.random.default_rng([seed, count])

        random = {n: draw(n).choice(self.known, n, replace=False) for n in (FEW, MORE)}
        return {
            f"pool, {FEW} informative": self.scored(device, pool, self.picked(pool, FEW, draw(FEW))),
            f"pool, {FEW} random": self.scored(device, pool, random[FEW]),
            f"no pool, {FEW} informative": self.scored(device, self.flat, self.picked(self.flat, FEW, draw(FEW))),
            f"no pool, {MORE} informative": self.scored(device, self.flat, self.picked(self.flat, MORE, draw(MORE))),
            f"no pool, {MORE} random": self.scored(device, self.flat, random[MORE]),
        }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--tables", default=",".join(READERS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--each", type=int, default=30, help="samples of a member of the pool")
    options = parser.parse_args()
    names = options.tables.split(",")
    if not options.data.is_dir() or not set(names) <= set(READERS):
        parser.error(f"--data must be the folder of the tables, --tables some of {', '.join(READERS)}")
    for name in names:
        lab = Lab(READERS[name](options.data), options.each)
        runs = [lab.run(device, seed) for device in lab.table.targets for seed in range(options.seeds)]
        print(f"{name}, {len(lab.table.targets)} devices, {options.seeds} seeds: mean over calibrations", flush=True)
        for method in runs[0]:
            mean = {key: float(np.mean([run[method][key] for run in runs])) for key in runs[0][method]}
            print(
                f"  {method:<28}±10 % {mean['within_10']:.3f}   RMSPE {mean['rmspe']:.3f}   "
                f"Spearman {mean['spearman']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
