"""Builds the `glyphs` bundle: fonts → pictures → supernet → measured subnets → accuracy predictor → bundle.

    python recipes/glyphs/build.py --output bundles/glyphs --work build/glyphs

Needs the Debian packages of fonts.txt (`xargs -a recipes/glyphs/fonts.txt apt-get install -y`). Every step leaves its
result in the work folder and is skipped where it is already there; delete a result to have it made again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from figures import read_table, spread, write_table
from fonts import Face, catalogue, split
from pack import pack
from render import Look, render_many
from safetensors.torch import save
from setting import BATCH, PASSES, PREPROCESSING, SIDE, glyph_space
from sheets import read_sheet, write_sheet

from nagsdk.events import Advanced, Event
from nagsdk.files import write_atomically
from nagsdk.predictor.fit import fit_predictor
from nagsdk.space.mobilenet_v3 import MobileNetV3Space
from nagsdk.supernet.checkpoint import load_supernet
from nagsdk.supernet.data import ArrayBatches, portions, prepare
from nagsdk.supernet.evaluate import measure, wilson
from nagsdk.supernet.network import Supernet
from nagsdk.supernet.train import CheckpointSaved, TrainAdvanced, extremes, initialise, train

WEIGHTS = "supernet.safetensors"
PREDICTOR = ("predictor.safetensors", "predictor.json")
SUBNETS = 300
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
    """Trains, or loads what was trained, as shipped; train.log has the curve, and the extremes' accuracy at every checkpoint."""
    space, weights = glyph_space(), work / WEIGHTS
    if not weights.exists():
        write_atomically(weights, half(_trained(space, work, seed)))
    return load_supernet(space, weights.read_bytes())


def half(supernet: Supernet) -> bytes:
    """Weights as float16 safetensors; running statistics stay float32, for variances may leave float16's range."""
    state = {name: tensor for name, tensor in supernet.state_dict().items() if not name.endswith("num_batches_tracked")}
    stored = {name: (tensor if "running_" in name else tensor.to(torch.float16)).contiguous() for name, tensor in state.items()}
    return save(stored, metadata={"space": supernet.space.fingerprint})


def _trained(space: MobileNetV3Space, work: Path, seed: int) -> Supernet:
    supernet = Supernet(space)
    initialise(supernet, seed)
    images, labels = np.load(work / "train.images.npy", mmap_mode="r"), np.load(work / "train.labels.npy")
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

    for number, recipe in enumerate(PASSES):
        train(supernet, ArrayBatches(images, labels, BATCH, PREPROCESSING, seed + number), recipe, listen, work / f"checkpoint{number}")
    return supernet


def measure_extremes(supernet: Supernet, work: Path, count: int = 1024) -> tuple[list[str], list[float]]:
    """Texts and validation top-1 of the smallest and the largest architecture, each at its own end of the resolutions."""
    images, labels = np.load(work / "validation.images.npy")[:count], np.load(work / "validation.labels.npy")[:count]
    architectures = supernet.space.decode(extremes(supernet.space))
    figures = measure(
        supernet,
        architectures,
        lambda r: recalibration_batches(work, r),
        lambda r: (prepare(images, r, PREPROCESSING), torch.from_numpy(labels)),
    )
    return [a.text for a in architectures], figures.tolist()


def measure_subnets(work: Path, supernet: Supernet, seed: int) -> Path:
    """Top-1 of subnets all over the space on the validation fonts: what the accuracy predictor is fitted on."""
    table = work / "measured.csv"
    if not table.exists():
        images, labels = np.load(work / "validation.images.npy"), torch.from_numpy(np.load(work / "validation.labels.npy"))
        subnets = spread(supernet.space, SUBNETS, seed)
        top1 = measure(
            supernet, subnets, lambda r: recalibration_batches(work, r), lambda r: (prepare(images, r, PREPROCESSING), labels), show
        )
        write_table(table, supernet.space, subnets, top1)
    return table


def test_figures(work: Path, supernet: Supernet, seed: int) -> dict[str, Any]:
    """Top-1 on the shipped pictures of the test fonts: smallest, 20 random, largest, with 95 % intervals."""
    file = work / "figures.json"
    if not file.exists():
        images, labels = read_sheet(work / "test.webp", TEST, SIDE), torch.tensor(json.loads((work / "test_labels.json").read_text()))
        codes = np.vstack([extremes(supernet.space), supernet.space.sample(20, np.random.default_rng(seed + 1))])
        subnets = supernet.space.decode(codes)
        top1 = measure(
            supernet, subnets, lambda r: recalibration_batches(work, r), lambda r: (prepare(images, r, PREPROCESSING), labels), show
        )
        rows = [
            {
                "architecture": a.text,
                "mmacs": round(supernet.space.macs(a) / 1e6, 3),
                "top1": round(t, 2),
                "interval_95": [round(100 * v, 2) for v in wilson(t / 100, TEST)],
            }
            for a, t in zip(subnets, top1.tolist(), strict=True)
        ]
        _write_json(file, {"test_pictures": TEST, "smallest": rows[0], "largest": rows[1], "random": rows[2:]})
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def predict_accuracy(work: Path, space: MobileNetV3Space, table: Path, seed: int) -> None:
    """Fits the accuracy predictor to the measured subnets."""
    if not all((work / name).exists() for name in PREDICTOR):
        subnets, top1 = read_table(table, space)
        source = f"{len(subnets)} subnets of this bundle, each recalibrated and measured on {COUNTS['validation']} pictures of fonts of its own (measured.csv)"
        fit_predictor(space, space.encode(subnets), top1, source=source, seed=seed, listener=show).save(work)


def provenance(parts: dict[str, list[Face]], figures: dict[str, Any], seed: int) -> dict[str, Any]:
    """What bundle.json tells of how the bundle came about."""
    fonts = {
        name: {"files": len(part), "families": sorted({face.family for face in part}), "groups": len({face.group for face in part})}
        for name, part in parts.items()
    }
    return {
        "recipe": "recipes/glyphs/build.py",
        "data": "Pictures rendered from free fonts; fonts are split by family, clones kept together; test pictures show test families only.",
        "debian_packages": Path(__file__).with_name("fonts.txt").read_text().split(),
        "fonts": fonts,
        "pictures": {**COUNTS, "recalibration": RECALIBRATION, "test": TEST, "look": asdict(Look())},
        "training": {
            "method": "sandwich rule with in-place distillation (BigNAS); the largest network alone at first",
            "batch": BATCH,
            "passes": [asdict(recipe) for recipe in PASSES],
            "seed": seed,
        },
        "top1_on_test_fonts": figures,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__, "numpy": np.__version__},
        "built": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def recalibration_batches(work: Path, resolution: int) -> list[torch.Tensor]:
    """The shipped recalibration pictures, normalised, in batches of 256."""
    return list(portions(prepare(read_sheet(work / "recalibration.webp", RECALIBRATION, SIDE), resolution, PREPROCESSING), 256))


def show(event: Event) -> None:
    """Prints progress now and then."""
    if isinstance(event, Advanced) and event.done % 20 == 0:
        print(event.text, flush=True)


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
    table = measure_subnets(options.work, supernet, options.seed)
    figures = test_figures(options.work, supernet, options.seed)
    predict_accuracy(options.work, supernet.space, table, options.seed)
    files = [options.work / name for name in (WEIGHTS, "measured.csv", "recalibration.webp", "test.webp", "test_labels.json", *PREDICTOR)]
    facts = provenance(parts, figures, options.seed)
    pack(options.output, supernet.space, files, RECALIBRATION, TEST, facts)
    print(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
