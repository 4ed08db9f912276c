"""Measures what each part of the generator is worth: mask, imitation, policy gradient, number of candidates.

    python benchmarks/generator_ablation.py --data DIR [--devices 10]

It also measures whether candidates with an uncertain accuracy should be ranked lower. Split, judge, devices and budgets
are those of benchmarks/generator.py, whose trained generator is used. The generators without one of the parts are
trained the first time (about fifteen minutes) and kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from generator import FIRST_DEVICE, RESOLUTION, halves, one_limit, trained

from nagsdk.common.folders import cache_folder
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.generator.decode import decode, gumbel
from nagsdk.generator.episode import View, Walk
from nagsdk.generator.frontier import frontier
from nagsdk.generator.generator import Generator
from nagsdk.generator.policy import CHOICE, STATE, Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.ranking import choose
from nagsdk.generator.train import GeneratorRecipe
from nagsdk.generator.training_data import Devices
from nagsdk.predictor.halves import Half
from nagsdk.space.space import Codes

# Without imitation, there are so many gradient steps that training takes as long as imitation and gradient together.
VARIANTS = {
    "no policy gradient": GeneratorRecipe(gradient_steps=0),
    "no imitation": GeneratorRecipe(problems=1, steps=1, gradient_steps=1500),
}
COUNTS = (1, 16, 64, 256)
# Candidates are ranked by the mean of the ensemble's members minus this many standard deviations.
DOUBTS = (0.5, 1.0, 2.0)
# Costs of a device, paths under these costs, limits.
Case = tuple[AdditiveTable, Paths, Floats]


def prices_alone(space: MobileNetV3Space, sharpness: float) -> Policy:
    """An untrained policy: it follows only the worth of a choice at the present price."""
    decisions, most = len(space.sizes), int(space.sizes.max())
    shapes = {
        "token": (decisions, most, 1),
        "place": (decisions, 1),
        "state": (STATE, 1),
        "input_weight": (4, 1),
        "hidden_weight": (4, 1),
    }
    shapes |= {
        "bias": (4,),
        "head_weight": (decisions, most, 1),
        "head_bias": (decisions, most),
        "worth_weight": (CHOICE, 1),
    }
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    worth = np.zeros((decisions, CHOICE), np.float32)
    worth[:, 0] = sharpness
    return Policy.from_arrays({**arrays, "worth_bias": worth})


def cautious(steer: Half, doubt: float) -> SimpleNamespace:
    """A ranking that prefers architectures on whose accuracy the members of the ensemble agree."""

    def predict(codes: Codes) -> SimpleNamespace:
        judged = steer.fit.judge(steer.space, codes, np.zeros(len(codes)))
        return SimpleNamespace(mean=judged.predicted - doubt * judged.spread)

    return SimpleNamespace(predict=predict)


def without_mask(policy: Policy, space: MobileNetV3Space, case: Case, count: int) -> Codes:
    """Samples like `decode`, but without the mask."""
    _, paths, limits = case
    stepper, noise, walk = Stepper(policy), gumbel(0, count, space), Walk(paths, limits, np.full(len(limits), count))
    n, sample = len(limits) * count, np.arange(len(limits) * count) % count
    codes = np.full((n, len(space.sizes)), -1, np.int8)
    hidden, cell = np.zeros((2, n, stepper.hidden), np.float32)
    choice, last = np.zeros(n, np.intp), np.zeros(n, np.intp)
    for d, decision in enumerate(space.decisions):
        rows = (
            np.arange(n)
            if decision.active_if is None
            else np.flatnonzero(codes[:, decision.active_if[0]] >= decision.active_if[1])
        )
        if d:
            view = walk.look(d, rows, int(space.sizes[d]))
        else:
            first = walk.first()
            view = View(
                np.repeat(first.state, count, 0), np.repeat(first.choices, count, 1), np.repeat(first.allowed, count, 0)
            )
        before = (last[rows], choice[rows]) if d else None
        hidden[rows], cell[rows] = stepper.step(d, before, view.state, hidden[rows], cell[rows])
        logits = stepper.logits(d, view.choices, hidden[rows]) + noise[sample[rows], d, : space.sizes[d]]
        # The first decision stays masked, because it pins the resolution, which is not what this ablation is about.
        picked = (logits if d else np.where(view.allowed, logits, -np.inf)).argmax(1)
        if d:
            walk.take(d, rows, picked)
        else:
            walk.start(picked)
        codes[rows, d], last[rows], choice[rows] = picked, d, picked
    return codes.reshape(len(limits), count, -1)


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--devices", type=int, default=10)
    options = parser.parse_args()
    space = ofa_mobilenet_v3()
    steer, judge, _, _ = halves(space, options.data, 0)
    policies = {"whole": trained(space, steer, 0).policy}
    for name, recipe in VARIANTS.items():
        path = cache_folder() / "generators" / f"{Generator.key(space, steer)}-{name.replace(' ', '-')}.safetensors"
        if not path.is_file():
            print(f"training with {name}", file=sys.stderr, flush=True)
            Generator.trained(space, steer, recipe, seed=0).save(path)
        policies[name] = Generator.load(path, space, steer).policy
    policies |= {f"prices alone, sharpness {s:g}": prices_alone(space, s) for s in (0.3, 1.0, 3.0)}
    drawn, index = Devices(space), space.resolution_index(RESOLUTION)
    cases = []
    for number in range(options.devices):
        table = drawn.latency(np.random.default_rng(FIRST_DEVICE + number)).masked(resolution=index)
        cases.append((table, Paths.of(space, [table], steer.additive), one_limit(table, steer)))
    known = [judge.predict(_lookup(space, steer, case)).mean.mean() for case in cases]
    print(f"judge's top-1 minus that of lookup, mean of {options.devices} devices (worst device)")
    print(f"{'':32}" + "".join(f"{f'{count} candidates':>20}" for count in COUNTS))
    for name, policy in policies.items():
        codes = [
            decode(space, [t], paths, Stepper(policy), limits, gumbel(0, max(COUNTS), space))
            for t, paths, limits in cases
        ]
        rankings = {name: steer} | (
            {f"{name}, mean less {d:g} spread": cautious(steer, d) for d in DOUBTS} if name == "whole" else {}
        )
        for title, ranking in rankings.items():
            cells = []
            for count in COUNTS:
                gaps = [
                    judge.predict(c[np.arange(len(c)), choose(ranking, c[:, :count])[:, 0]]).mean.mean() - k
                    for c, k in zip(codes, known, strict=True)
                ]
                cells.append(f"{np.mean(gaps):+.4f} ({np.min(gaps):+.4f})")
            print(f"{title:32}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    broken = []
    for case in cases:
        unmasked = without_mask(policies["whole"], space, case, 64)
        over = case[0].cost(unmasked.reshape(-1, unmasked.shape[2])).reshape(unmasked.shape[:2]) > case[2]
        broken.append((over[:, 0].mean(), over.mean(), over.all(1).mean()))
    greedy, samples, whole = np.mean(broken, axis=0)
    print(
        f"without the mask, limits are broken by {greedy:.1%} of greedy answers, by {samples:.1%} of samples, "
        f"and by all 64 samples for {whole:.1%} of budgets"
    )


def _lookup(space: MobileNetV3Space, steer: Half, case: Case) -> Codes:
    best = frontier(space, case[0], steer.additive)
    return best.codes[best.lookup(case[2][:, 0])]


if __name__ == "__main__":
    main()
