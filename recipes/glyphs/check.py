"""Checks a `glyphs` bundle on new pictures: its accuracy predictor, and how much accuracy shared weights cost.

    python recipes/glyphs/check.py predictor --work build/glyphs --bundle bundles/glyphs
    python recipes/glyphs/check.py alone --work build/glyphs --bundle bundles/glyphs

Each takes about an hour on one core.
predictor: Kendall tau between predicted and measured top-1 of subnets that the predictor never saw, compared with the
tau between two measurements of them on different pictures, which no predictor can exceed by much.
alone: the smallest and the largest architecture are trained alone, for as many steps on the same pictures, and compared
with the bundle's subnets.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from build import find_fonts, measured, recalibration_pictures
from render import Look, Pictures, render_many
from scipy.stats import kendalltau
from setting import BATCH, PASSES, PREPROCESSING, SIDE
from torch.nn import functional

from nagsdk.bundle.bundle import Bundle
from nagsdk.families.protocol import Subnet
from nagsdk.images.batches import ArrayBatches, Shown
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import top1
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.train import optimizer_of

SEED = 100


def rendered(work: Path, count: int) -> list[Pictures]:
    """Renders two sets of pictures of the validation fonts that were not used for training, fitting or measuring."""
    fonts = find_fonts(work, [Path("/usr/share/fonts")], 0)["validation"]
    return [render_many(fonts, count, SIDE, Look(), SEED + number) for number in (0, 1)]


def check_predictor(bundle: Bundle, work: Path, subnets: int, pictures: int) -> dict[str, Any]:
    """Compares predicted with measured top-1 of unseen subnets; the top of this file explains the figures."""
    known = {a.text for a in bundle.space.decode(bundle.space.read_table(bundle.folder / "measured.csv")[0])}
    codes = bundle.space.sample(2 * subnets, np.random.default_rng(SEED))
    unseen = [a for a in dict.fromkeys(bundle.space.decode(codes)) if a.text not in known][:subnets]
    first, second = (measured(bundle.supernet, work, unseen, part) for part in rendered(work, pictures))
    predicted = bundle.predictor.predict(bundle.space.encode(unseen))
    retest = float(kendalltau(first, second)[0])
    taus = [float(kendalltau(predicted.mean, truth)[0]) for truth in (first, second)]
    within = (predicted.low <= first) & (first <= predicted.high)
    return {
        "subnets": len(unseen),
        "pictures": pictures,
        "retest_tau": retest,
        "tau": float(np.mean(taus)),
        "tau_over_retest": float(np.mean(taus)) / retest,
        "rmse": float(np.sqrt(np.mean((predicted.mean - first) ** 2))),
        "bias": float(np.mean(predicted.mean - first)),
        "intervals_cover": float(within.mean()),
        "top1_sd": float(first.std()),
    }


def train_alone(work: Path, architecture: Architecture, bundle: Bundle) -> Subnet:
    """Trains one architecture like the supernet: same initial weights, steps, pictures, rates and optimiser."""
    supernet = bundle.space.supernet()
    supernet.initialise(0)
    subnet = supernet.extract(architecture)
    subnet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = np.load(work / "train.images.npy", mmap_mode="r"), np.load(work / "train.labels.npy")
    for number, recipe in enumerate(PASSES):
        optimizer = optimizer_of(subnet, recipe)
        batches = ArrayBatches(images, labels, BATCH, PREPROCESSING, number)
        subnet.train()
        for step in range(recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            x, y = batches(step, architecture.resolution)
            optimizer.zero_grad()
            loss = functional.cross_entropy(subnet(x), y, label_smoothing=recipe.label_smoothing)
            torch.autograd.backward(loss)
            optimizer.step()
            if step % 100 == 0:
                print(f"{architecture.text} pass {number} step {step} loss {loss.item():.3f}", flush=True)
    recalibrate(subnet, recalibration_pictures(work, architecture.resolution))
    return subnet


def check_alone(bundle: Bundle, work: Path, pictures: int) -> list[dict[str, Any]]:
    """Compares the two extreme architectures with the same ones trained alone."""
    (shown, _) = rendered(work, pictures)
    rows = []
    for architecture in bundle.space.decode(extremes(bundle.space)):
        (shared,) = measured(bundle.supernet, work, [architecture], shown)
        own = top1(train_alone(work, architecture, bundle), Shown(*shown, architecture.resolution, PREPROCESSING))
        rows.append(
            {
                "architecture": architecture.text,
                "shared": float(shared),
                "alone": own,
                "shared_less_alone": float(shared) - own,
            }
        )
    return rows


def main() -> int:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("predictor", "alone"))
    parser.add_argument("--work", type=Path, default=Path("build/glyphs"))
    parser.add_argument("--bundle", type=Path, default=Path("bundles/glyphs"))
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--subnets", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bundle = Bundle(options.bundle)
    if options.what == "predictor":
        print(json.dumps(check_predictor(bundle, options.work, options.subnets, options.pictures), indent=1))
    else:
        print(json.dumps(check_alone(bundle, options.work, options.pictures), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
