"""Measures a training on few images of a user against plain networks that were trained as long, on the same images.

    python benchmarks/own_images.py [--images 600] [--truth 1500] [--minutes 15] [--space small] [--init none]
        [--seeds 1] [--rivals 15] [--epochs 10] [--work DIR] [--json]

The pictures are made: one of six symbols, in any of several fonts, turned, sheared and coloured, on crops of the
photographs that scikit-image ships (`pip install scikit-image`). `nagsdk train --minutes` gets a folder of them; the
networks it leaves are judged on further pictures of the same kind (the truth). Rivals are trained on the images that
the training of nagsdk learns from, for as long as it was given (or --rivals):

- without --init, a plain network of four convolutions from random weights,
- the largest network of the space alone, with the same initial weights, augmentation and optimiser, by epochs of a
  cosine schedule (with --init, this is plain fine-tuning of the same checkpoint),
- with --smallest, the smallest network of the space alone in the same way.

Takes twice to four times the minutes given, for each seed.

With --epochs, nothing goes by time: the weights of --init are compared with random ones after equally many epochs of
the supernet, at the two lowest resolutions of the space.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn
from torch.nn import functional

import nagsdk
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.memory import memory_kept
from nagsdk.cost.table import exact_table
from nagsdk.events import Event, Notice
from nagsdk.families import preset
from nagsdk.generator.frontier import frontier
from nagsdk.images.batches import ArrayBatches, Augmentation, prepare, stratified
from nagsdk.images.decoded import Labelled, decode, square_side
from nagsdk.images.folder import scan
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes
from nagsdk.supernet.initial import adopt
from nagsdk.supernet.passes import passes, train_passes
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.training.plan import DEFAULT_BATCH, preprocessing_of
from nagsdk.training.schedule import most_recalibration, rate_of
from nagsdk.training.start import first_weights

SYMBOLS = {"club": "♣", "diamond": "♦", "heart": "♥", "note": "♫", "spade": "♠", "star": "★"}
SIDE = 160
_FACES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field", "immunohistochemistry",
                "brick", "grass", "gravel")  # fmt: skip
_BATCH, _RATE, _RATE_LEARNT = 32, 2e-3, 1e-3


def photographs() -> list[Image.Image]:
    """The photographs on which symbols lie."""
    from skimage import data

    return [Image.fromarray(getattr(data, name)()).convert("RGB") for name in _PHOTOGRAPHS]


def picture(symbol: str, grounds: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    """One symbol on a crop of a photograph."""
    ground = grounds[rng.integers(len(grounds))]
    side = int(rng.uniform(0.25, 0.9) * min(ground.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in ground.size)
    shown = ground.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    size = int(rng.uniform(0.4, 0.8) * SIDE)
    mask = Image.new("L", (2 * SIDE, 2 * SIDE))
    font = ImageFont.truetype(_FACES[rng.integers(len(_FACES))], size)
    ImageDraw.Draw(mask).text((SIDE, SIDE), symbol, 255, font, anchor="mm")
    turned = mask.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    shift = rng.integers(-SIDE // 6, SIDE // 6, 2)
    turned = turned.crop(
        (SIDE // 2 + shift[0], SIDE // 2 + shift[1], 3 * SIDE // 2 + shift[0], 3 * SIDE // 2 + shift[1])
    )
    colour = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(0, 256, 3)))
    opaque = rng.uniform(0.7, 1.0)
    cover = turned.point([int(value * opaque) for value in range(256)])
    return Image.composite(colour, shown, cover)


def fill(root: Path, count: int, seed: int) -> Path:
    """Writes a folder of pictures, `count` in all classes together."""
    grounds, rng = photographs(), np.random.default_rng(seed)
    for number, (name, symbol) in zip(range(count), itertools.cycle(SYMBOLS.items()), strict=False):
        (root / name).mkdir(parents=True, exist_ok=True)
        picture(symbol, grounds, rng).save(root / name / f"{number:05d}.jpg", quality=90)
    return root


def plain() -> nn.Module:
    """Four convolutions, as people write them first."""
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise((3, 32, 64, 128, 256)):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, len(SYMBOLS)))


def trained(network: nn.Module, batches: ArrayBatches, resolution: int, seconds: float, rate: float) -> int:
    """Trains a network for a time by AdamW and a cosine over that time; returns the number of steps."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    began = time.monotonic()
    for step in itertools.count():
        spent = (time.monotonic() - began) / seconds
        if spent >= 1:
            return step
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 20, 0.5 * (1 + math.cos(math.pi * spent)))
        images, labels = batches(step, resolution)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(network(images), labels, label_smoothing=0.05))
        optimizer.step()
    raise AssertionError


@torch.no_grad()
def top1(
    network: Callable[[torch.Tensor], torch.Tensor], truth: Labelled, resolution: int, preprocessing: Any
) -> float:
    """Top-1 on the truth in per cent."""
    right = 0
    for rows in np.array_split(np.arange(len(truth.labels)), max(1, len(truth.labels) // 64)):
        logits = network(prepare(truth.images[rows], resolution, preprocessing))
        right += int((logits.argmax(1).numpy() == truth.labels[rows]).sum())
    return 100 * right / len(truth.labels)


def whole(folder: Path, side: int) -> Labelled:
    """All images of a folder, whatever their part."""
    parts = decode(scan(folder), side).values()
    return Labelled(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))


def of_bundle(bundle: Bundle, truth: Labelled, budgets: int) -> Iterator[dict[str, Any]]:
    """Largest, smallest, and what `lookup` takes for budgets between them, judged on the truth."""
    space, low_high = bundle.space, [bundle.space.macs(a) for a in bundle.space.decode(extremes(bundle.space))]
    wanted: dict[str, float] = {"smallest": low_high[0], "largest": low_high[1]}
    for share in np.linspace(0, 1, budgets + 2)[1:-1]:
        wanted[f"{100 * share:.0f} % of the way"] = low_high[0] + share * (low_high[1] - low_high[0])
    wanted["half of the MACs"] = low_high[1] / 2
    for name, macs in wanted.items():
        end = name in ("smallest", "largest")
        found = space.decode(extremes(space))[name == "largest"] if end else _chosen(bundle, macs)
        subnet = bundle.supernet.extract(found)
        recalibrate(subnet, torch.from_numpy(bundle.recalibration_images(found.resolution)))
        # As it is shown: lowered where the architecture was chosen for its predicted top-1.
        said = (bundle.predictor.predict if end else bundle.predictor.of_chosen)(space.encode([found]))
        yield {
            "network": name,
            "architecture": found.text,
            "MMACs": round(space.macs(found) / 1e6, 2),
            "top1": round(top1(subnet, truth, found.resolution, bundle.preprocessing), 2),
            "predicted": [round(float(v[0]), 1) for v in (said.low, said.mean, said.high)],
        }


def _chosen(bundle: Bundle, macs: float) -> Architecture:
    """What the strategy `lookup` takes for a limit on multiply-accumulates."""
    space = bundle.space
    best = frontier(space, exact_table(space, lambda layer: float(layer.macs)), bundle.predictor.additive)
    return space.decode(best.codes[best.lookup(np.array([macs]))])[0]


def tell(event: Event) -> None:
    """Prints notices."""
    if isinstance(event, Notice):
        print(f"   {event.text}", flush=True)


def folders(a: argparse.Namespace, seed: int, work: Path) -> tuple[Path, Path]:
    """The folder of a user and that of the truth."""
    photos, truth = work / f"photos{seed}", work / "truth"
    for folder, count, number in ((photos, a.images, seed), (truth, a.truth, 10**6)):
        if not folder.is_dir():
            fill(folder, count, number)
    return photos, truth


def measured(a: argparse.Namespace, seed: int, work: Path) -> dict[str, Any]:
    """One training and its rivals."""
    photos, truth_folder = folders(a, seed, work)
    output = work / f"own{seed}"
    began = time.monotonic()
    report = nagsdk.train(
        data=photos, output=output, space=a.space, init=a.init, minutes=a.minutes, seed=seed, flip=True, on_event=tell
    )
    seconds = time.monotonic() - began
    bundle = load_bundle(output)
    side = square_side(bundle.space, bundle.preprocessing)
    truth, train = whole(truth_folder, side), decode(scan(photos), side)["train"]
    rows = list(of_bundle(bundle, truth, a.budgets))
    length = 60 * (a.rivals or a.minutes)
    preprocessing, resolution = bundle.preprocessing, max(bundle.space.resolutions)
    batches = ArrayBatches(train.images, train.labels, _BATCH, preprocessing, seed, Augmentation())
    torch.manual_seed(seed)
    networks: list[tuple[str, nn.Module, int, float]] = []
    if a.init == "none":
        networks.append(("plain CNN", plain(), resolution, _RATE))
    source = first_weights(a.init, bundle.space) or bundle.space.supernet()
    smallest, largest = source.space.decode(extremes(source.space))
    for name, architecture in (("largest alone", largest), *((("smallest alone", smallest),) if a.smallest else ())):
        subnet = source.extract(architecture) if a.init != "none" else bundle.space.build(architecture)
        if a.init != "none":
            last = [m for m in subnet.modules() if isinstance(m, nn.Linear)][-1]
            last.out_features = bundle.space.classes
            last.weight = nn.Parameter(torch.zeros(bundle.space.classes, last.in_features))
            last.bias = nn.Parameter(torch.zeros(bundle.space.classes))
        side_of = resolution if name == "largest alone" else min(bundle.space.resolutions)
        networks.append((name, subnet, side_of, _RATE if a.init == "none" else _RATE_LEARNT))
    for name, network, pixels, rate in networks:
        with memory_kept():  # as in nagsdk.train
            steps = trained(network, batches, pixels, length, rate)
        rows.append(
            {"network": name, "steps": steps, "top1": round(top1(network.eval(), truth, pixels, preprocessing), 2)}
        )
    return {
        "seed": seed,
        "seconds": round(seconds),
        "planned": bundle.description.provenance["schedule"]["seconds"],
        "spent": bundle.description.provenance["spent_s"],
        "by cost": bool(report.predictor and report.predictor["by_cost"]),
        "rows": rows,
    }


def by_epochs(a: argparse.Namespace, seed: int, work: Path, init: str) -> Iterator[tuple[str, float]]:
    """Largest and smallest network after as many epochs as `nagsdk train --epochs` would train, on the truth."""
    photos, truth_folder = folders(a, seed, work)
    space = preset(a.space).with_classes(len(SYMBOLS))
    space = space.with_resolutions(space.resolutions[:2])
    preprocessing = preprocessing_of(space, init)
    side = square_side(space, preprocessing)
    train, truth = decode(scan(photos), side)["train"], whole(truth_folder, side)
    supernet, source = space.supernet(), first_weights(init, space)
    supernet.initialise(seed)
    if source is not None:
        adopt(supernet, source)
    steps, learnt = a.epochs * (len(train.labels) // DEFAULT_BATCH), source is not None
    train_passes(
        supernet,
        lambda recipe: ArrayBatches(
            train.images, train.labels, DEFAULT_BATCH, preprocessing, recipe.seed, Augmentation()
        ),
        passes("sandwich", space, steps, rate_of(space.peak_rate, DEFAULT_BATCH, learnt), seed, learnt, steps),
        lambda: prepare(train.images, max(space.resolutions), preprocessing),
    )
    some = train.images[stratified(train.labels, most_recalibration(space.resolutions), seed)]
    for name, architecture in zip(("smallest", "largest"), space.decode(extremes(space)), strict=True):
        subnet = supernet.extract(architecture)
        recalibrate(subnet, prepare(some, architecture.resolution, preprocessing))
        yield name, top1(subnet, truth, architecture.resolution, preprocessing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--truth", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rivals", type=float, help="minutes of each rival instead of --minutes")
    parser.add_argument("--space", default="small")
    parser.add_argument("--init", default="none")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="compare --init with random weights at equal epochs")
    parser.add_argument("--budgets", type=int, default=3)
    parser.add_argument("--smallest", action="store_true", help="also train the smallest network alone")
    parser.add_argument("--work", type=Path, help="folder that is kept; what it holds is used again")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = a.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        found = []
        for seed in range(a.seeds):
            if a.epochs:
                for init in (a.init, "none"):
                    for name, found_top1 in by_epochs(a, seed, work, init):
                        print(f"seed {seed}, {a.epochs} epochs: --init {init}: {name} {found_top1:.1f} %", flush=True)
                continue
            found.append(measured(a, seed, work))
            if a.json:
                continue
            one = found[-1]
            planned = ", ".join(f"{part} {s:.0f}" for part, s in one["planned"].items())
            spent = ", ".join(f"{part} {s:.0f}" for part, s in one["spent"].items())
            print(f"seed {seed}: {one['seconds']} s of {60 * a.minutes:.0f}; cost decides: {one['by cost']}")
            print(f"  planned: {planned} s; took: {spent} s, the generator after these")
            for row in one["rows"]:
                more = (
                    f"{row['MMACs']} MMACs, predicted {row['predicted']}" if "MMACs" in row else f"{row['steps']} steps"
                )
                print(f"  {row['network']:18} top-1 {row['top1']:5.1f} %  {more}", flush=True)
    if a.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
