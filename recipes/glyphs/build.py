"""Builds the `glyphs` bundle: fonts → pictures → supernet → measured subnets → accuracy predictor → bundle.

    python recipes/glyphs/build.py --output bundles/glyphs --work build/glyphs

Needs the Debian packages of fonts.txt (`xargs -a recipes/glyphs/fonts.txt apt-get install -y`). Every step leaves its
result in the work folder and is skipped where it is already there; delete a result to have it made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from fonts import Face, catalogue, split
from render import Look, render_many
from setting import BATCH, NORMALISATION, RECIPE, SIDE, glyph_space
from sheets import read_sheet, write_sheet

from nagsdk.events import Event
from nagsdk.supernet.checkpoint import load_supernet, save_supernet
from nagsdk.supernet.data import ArrayBatches, portions, prepare
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.network import Supernet
from nagsdk.supernet.train import CheckpointSaved, TrainAdvanced, extremes, initialise, train

PARTS = ("train", "validation", "test")
COUNTS = {"train": 100_000, "validation": 4096}
RECALIBRATION, TEST = 1024, 2560


def find_fonts(work: Path, folders: list[Path], seed: int) -> dict[str, list[Face]]:
    """The usable fonts of every part, kept in fonts.json."""
    file = work / "fonts.json"
    if not file.exists():
        parts = dict(zip(PARTS, split(catalogue(folders), seed), strict=True))
        _write_json(file, {name: [asdict(face) for face in part] for name, part in parts.items()})
    return {name: [Face(**face) for face in part] for name, part in json.loads(file.read_text()).items()}


def render_all(work: Path, parts: dict[str, list[Face]], seed: int) -> None:
    """Pictures to train and to validate on as arrays; pictures that are shipped as sheets, from other seeds."""
    look = Look()
    for number, (name, count) in enumerate(COUNTS.items()):
        if not (work / f"{name}.labels.npy").exists():
            images, labels = render_many(parts[name], count, SIDE, look, seed + number)
            np.save(work / f"{name}.images.npy", images)
            np.save(work / f"{name}.labels.npy", labels)
    if not (work / "recalibration.webp").exists():
        write_sheet(render_many(parts["train"], RECALIBRATION, SIDE, look, seed + 10).images, work / "recalibration.webp")
    if not (work / "test_labels.json").exists():
        images, labels = render_many(parts["test"], TEST, SIDE, look, seed + 11)
        write_sheet(images, work / "test.webp")
        _write_json(work / "test_labels.json", labels.tolist())


def train_supernet(work: Path, seed: int) -> Supernet:
    """Trains, or loads what was trained; the curve goes to train.log, the extremes' accuracy is told at every checkpoint."""
    space, weights = glyph_space(), work / "supernet.safetensors"
    if weights.exists():
        return load_supernet(space, weights.read_bytes())
    supernet = Supernet(space)
    initialise(supernet, seed)
    data = ArrayBatches(np.load(work / "train.images.npy", mmap_mode="r"), np.load(work / "train.labels.npy"), BATCH, NORMALISATION, seed)
    began = time.monotonic()

    def listen(event: Event) -> None:
        if isinstance(event, TrainAdvanced) and event.done % 50 == 0:
            line = f"{time.monotonic() - began:7.0f} s  {event.text}, smallest {event.loss_smallest:.3f}, top-1 {event.top1_largest:.0f}"
            with (work / "train.log").open("a") as log:
                log.write(line + "\n")
        if isinstance(event, CheckpointSaved):
            figures = dict(zip(*measure_extremes(supernet, work), strict=True))
            with (work / "train.log").open("a") as log:
                log.write(f"{event.text}: {figures}\n")
            supernet.train()

    train(supernet, data, RECIPE, listen, work / "checkpoint")
    save_supernet(supernet, weights)
    return supernet


def measure_extremes(supernet: Supernet, work: Path, count: int = 1024) -> tuple[list[str], list[float]]:
    """Texts and validation top-1 of the smallest and the largest architecture, each at its own end of the resolutions."""
    images, labels = np.load(work / "validation.images.npy")[:count], np.load(work / "validation.labels.npy")[:count]
    architectures = supernet.space.decode(extremes(supernet.space))
    figures = measure(supernet, architectures, lambda r: recalibration_batches(work, r), lambda r: (prepare(images, r, NORMALISATION), torch.from_numpy(labels)))
    return [a.text for a in architectures], figures.tolist()


def recalibration_batches(work: Path, resolution: int) -> list[torch.Tensor]:
    """The shipped recalibration pictures, normalised, in batches of 256."""
    return list(portions(prepare(read_sheet(work / "recalibration.webp", RECALIBRATION, SIDE), resolution, NORMALISATION), 256))


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def main() -> int:
    """Runs all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/glyphs"))
    parser.add_argument("--fonts", type=Path, action="append", help="folder with fonts (repeatable; default: /usr/share/fonts)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    parts = find_fonts(options.work, options.fonts or [Path("/usr/share/fonts")], options.seed)
    render_all(options.work, parts, options.seed)
    torch.set_num_threads(options.threads)
    supernet = train_supernet(options.work, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
