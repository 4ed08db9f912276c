"""Compares ways to train a supernet at equal steps: which subnets a step trains, on which pictures, and from where.

    python benchmarks/training_options.py --fonts DIR --work build/options [--steps 300] [--seeds 0 1] [--ways pada …]
    python benchmarks/training_options.py --fonts DIR --work build/options --continue [--steps 150]

DIR has the fonts of the Debian packages in recipes/glyphs/fonts.txt, or some of them. Supernets learn pictures of those
that the bundle glyphs was trained with. The first command trains at 32 and 40 pixels from random weights, on pictures
with less noise and less rotation, since few steps teach nothing about those of the bundle, and measures on pictures of
other fonts. The second one continues the training of the supernet that glyphs ships, on pictures like its own, and
measures on the bundle's test pictures; its first row is the supernet as it ships. Every step of every way but `alone`
trains four networks on a batch of 64:

  sandwich   the largest, two random ones, and the smallest, as `nagsdk train` does
  uniform    the largest and three random ones (single-path sampling)
  shiftnas   random ones of those MACs whose outputs are still farthest from the largest network's (ShiftNAS, 2021)
  pada       choices and pictures whose gradients are large, pictures with importance weights (PA&DA, 2023)
  few-shot   from the middle on, two supernets in turns: the choices of the decision in which gradients agree least are
             parted (Few-Shot NAS with gradient matching, 2022). Two supernets are shipped instead of one
  start      from the weights of the largest network after as many steps alone (InstaTune, 2023), which are not counted
  twice      sandwich, for twice the steps: what the steps that `start` does not count would have given

Gradients are measured at the logits, where they cost nothing. Printed are the top-1 of the smallest and of the largest
subnet, the mean over 40 random ones, how far it lies below the middle of both ends, and differences from `sandwich`,
with standard errors over the seeds. The work folder keeps pictures and figures, which are not made again. The defaults
take half an hour and a quarter of an hour on an idle core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes" / "glyphs"))
from fonts import catalogue  # type: ignore[import-not-found, import-untyped, unused-ignore]
from render import Look, render_many  # type: ignore[import-not-found, import-untyped, unused-ignore]
from training_ways import WAYS, Pictures, Task

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.families.protocol import Supernet
from nagsdk.families.torch_scope import threads
from nagsdk.images.batches import Augmentation, Shown, prepare
from nagsdk.space.space import extremes
from nagsdk.training.source import Source

SIDE, TRAINED_ON, MEASURED_ON, RECALIBRATION, RANDOM = 48, 12_000, 2048, 512, 40
CLEAR = Look(height=(0.5, 0.8), turn=6.0, shear=0.06, blur=0.012, contrast=0.5, ground=0.12, noise=0.03)
SHIPPED = "as it ships"
CONTINUED = ("sandwich", "uniform", "shiftnas", "pada", "few-shot")


def measured(task: Task, trained: Sequence[tuple[Supernet, Any]]) -> dict[str, float]:
    """Top-1 of both ends and of random subnets, each in the supernet that it is for."""
    codes = np.vstack([extremes(task.space), task.space.sample(RANDOM, np.random.default_rng(1))])
    top1 = np.empty(len(codes))
    for supernet, mine in trained:
        rows = mine(codes)
        top1[rows] = task.top1(supernet, codes[rows])
    smallest, largest, mean = float(top1[0]), float(top1[1]), float(top1[2:].mean())
    return {"smallest": smallest, "largest": largest, "mean": mean, "below": (smallest + largest) / 2 - mean}


def task_of(fonts: Path, work: Path, bundle: Bundle, continued: bool) -> Task:
    """Renders the pictures, or takes those in the work folder."""
    known = bundle.description.provenance["fonts"]
    faces = catalogue([fonts])
    first = [face for face in faces if face.family in known["train"]["families"]]
    others = [face for part in ("validation", "test") for face in faces if face.family in known[part]["families"]]
    print(f"{len(first)} fonts to learn from, {len(others)} others", file=sys.stderr, flush=True)
    space, look = small_mobilenet_v3(), Look() if continued else CLEAR

    def pictures(name: str, fonts: Sequence[Any], count: int, seed: int) -> Pictures:
        file = work / f"{name}-{'like-glyphs' if continued else 'clear'}.npz"
        if not file.is_file():
            images, labels = render_many(fonts, count, SIDE, look, seed)
            np.savez(file, images=images, labels=labels)
        with np.load(file) as held:
            return Pictures(held["images"], held["labels"])

    train, preprocessing = pictures("train", first, TRAINED_ON, 500), bundle.preprocessing
    if continued:
        own = Source(bundle, None)
        return Task(space, train, own.recalibration, own.shown("test"), preprocessing, Augmentation(flip=False),
                    bundle.supernet)  # fmt: skip
    test = pictures("test", others, MEASURED_ON, 501)
    return Task(
        space.with_resolutions((32, 40)),
        train,
        lambda r: prepare(train.images[:RECALIBRATION], r, preprocessing),
        lambda r: Shown(*test, r, preprocessing),
        preprocessing,
        None,
        None,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True, help="folder with fonts")
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and figures")
    parser.add_argument("--continue", action="store_true", dest="continued", help="continue the training of glyphs")
    parser.add_argument("--steps", type=int, help="default: 300, or 150 with --continue")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="default: 0 1")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="default: all that apply")
    options = parser.parse_args()
    ways = options.ways or (CONTINUED if options.continued else tuple(WAYS))
    steps = options.steps or (150 if options.continued else 300)
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / f"figures-{'continued' if options.continued else 'fresh'}-{steps}.json"
    rows: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    with threads(1):
        task = task_of(options.fonts, options.work, load_bundle("glyphs"), options.continued)
        todo: list[tuple[str, int]] = [(name, seed) for seed in options.seeds for name in ways]
        if task.start is not None:
            todo.insert(0, (SHIPPED, 0))
        for name, seed in todo:
            if str(seed) in rows.setdefault(name, {}):
                continue
            if name == SHIPPED:
                assert task.start is not None
                found = measured(task, [(task.start, lambda codes: np.ones(len(codes), bool))])
            else:
                found = measured(task, WAYS[name](task, task.recipe(steps, seed)).trained())
            rows[name][str(seed)] = found
            file.write_text(json.dumps(rows, indent=1), "utf-8")
            print(f"seed {seed}, {name}: {found}", file=sys.stderr, flush=True)
    show({name: [of[seed] for seed in sorted(of)] for name, of in rows.items() if of}, steps)


def show(rows: dict[str, list[dict[str, float]]], steps: int) -> None:
    """Prints the means, and differences from the sandwich rule with standard errors."""
    print(f"{steps} steps: top-1 in %, minus sandwich ± standard error in points")
    print(f"{'':12}" + "".join(f"{key:>26}" for key in ("smallest", "largest", "mean", "below")))
    for name, found in rows.items():
        cells = []
        for key in ("smallest", "largest", "mean", "below"):
            values, rule = (np.array([row[key] for row in of]) for of in (found, rows["sandwich"][: len(found)]))
            cell = f"{values.mean():.2f}"
            if name not in (SHIPPED, "sandwich"):
                gain = values - rule
                error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
                cell += f" ({gain.mean():+.2f} ± {error:.2f})"
            cells.append(f"{cell:>26}")
        print(f"{name:12}" + "".join(cells))


if __name__ == "__main__":
    main()
