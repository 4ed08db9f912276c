"""Builds the `glyphs` bundle: fonts → pictures → supernet → measured subnets → accuracy predictor → bundle.

    python recipes/glyphs/build.py --output bundles/glyphs --work build/glyphs

Needs the Debian packages in fonts.txt (`xargs -a recipes/glyphs/fonts.txt apt-get install -y`). Every step writes its
result to the work folder, and is skipped if the result is already there; delete a result to make it again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from fonts import CHARACTERS, Face, catalogue, split
from render import Look, render_many
from setting import BATCH, PASSES, PREPROCESSING, SIDE

from nagsdk.bundle.description import Footing
from nagsdk.bundle.write import RECALIBRATION as RECALIBRATION_SHEET
from nagsdk.bundle.write import TEST as TEST_SHEET
from nagsdk.bundle.write import TEST_LABELS, Facts, write_bundle
from nagsdk.common.files import write_atomically
from nagsdk.events import Advanced, Event
from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.protocol import Supernet
from nagsdk.images.batches import ArrayBatches, Shown, prepare
from nagsdk.images.sheets import read_sheet, write_sheet
from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS, AccuracyPredictor
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, extremes
from nagsdk.supernet.evaluate import measure, wilson
from nagsdk.supernet.train import CheckpointSaved, TrainAdvanced, train
from nagsdk.supernet.weights import half, load_supernet
from nagsdk.training.footing import footing_of
from nagsdk.training.subnets import fit_measured, measure_subnets

SUPERNET_WEIGHTS = "supernet.safetensors"
PREDICTOR = (PREDICTOR_WEIGHTS, CARD)
SUBNETS = 600
PARTS = ("train", "validation", "test")
COUNTS = {"train": 100_000, "validation": 8192}
RECALIBRATION, TEST = 1024, 2560


def check_plan(work: Path, seed: int) -> None:
    """Ends the program if the work folder contains results of another recipe, which would be taken for new ones."""
    file = work / "plan.json"
    plan = json.loads(
        json.dumps(
            {"seed": seed, "look": asdict(Look()), "counts": COUNTS, "passes": [asdict(recipe) for recipe in PASSES]}
        )
    )
    if not file.exists():
        _write_json(file, plan)
    elif json.loads(file.read_text("utf-8")) != plan:
        sys.exit(f"{work} contains results of another recipe. Choose another folder with --work, or delete this one.")


def find_fonts(work: Path, folders: list[Path], seed: int) -> dict[str, list[Face]]:
    """Finds the usable fonts of every part, and keeps them in fonts.json."""
    file = work / "fonts.json"
    if not file.exists():
        parts = dict(zip(PARTS, split(catalogue(folders), seed), strict=True))
        _write_json(file, {name: [asdict(face) for face in part] for name, part in parts.items()})
    return {name: [Face(**face) for face in part] for name, part in json.loads(file.read_text("utf-8")).items()}


def render_all(work: Path, parts: dict[str, list[Face]], seed: int) -> None:
    """Renders pictures for training and validation as arrays, and the shipped pictures, with other seeds, as sheets."""
    look = Look()
    for number, (name, count) in enumerate(COUNTS.items()):
        if not (work / f"{name}.labels.npy").exists():
            images, labels = render_many(parts[name], count, SIDE, look, seed + number)
            np.save(work / f"{name}.images.npy", images)
            np.save(work / f"{name}.labels.npy", labels)
    if not (work / RECALIBRATION_SHEET).exists():
        write_sheet(
            render_many(parts["train"], RECALIBRATION, SIDE, look, seed + 10).images, work / RECALIBRATION_SHEET
        )
    if not (work / TEST_LABELS).exists():
        images, labels = render_many(parts["test"], TEST, SIDE, look, seed + 11)
        write_sheet(images, work / TEST_SHEET)
        _write_json(work / TEST_LABELS, labels.tolist())


def train_supernet(work: Path, seed: int) -> Supernet:
    """Trains the supernet or loads the trained one, with the precision of the shipped weights.

    train.log contains the training curve, and the accuracy of the smallest and the largest subnet at every checkpoint.
    """
    space, weights = small_mobilenet_v3(), work / SUPERNET_WEIGHTS
    if not weights.exists():
        write_atomically(weights, half(_trained(space, work, seed)))
    return load_supernet(space, weights.read_bytes())


def _trained(space: MobileNetV3Space, work: Path, seed: int) -> Supernet:
    supernet = space.supernet()
    supernet.initialise(seed)
    images, labels = np.load(work / "train.images.npy", mmap_mode="r"), np.load(work / "train.labels.npy")
    start = time.monotonic()

    def listen(event: Event) -> None:
        if isinstance(event, TrainAdvanced) and event.done % 50 == 0:
            line = (
                f"{time.monotonic() - start:7.0f} s  {event.text}, smallest {event.loss_smallest:.3f}, "
                f"top-1 {event.top1_largest:.0f}"
            )
            with (work / "train.log").open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        if isinstance(event, CheckpointSaved):
            figures = dict(zip(*measure_extremes(supernet, work), strict=True))
            with (work / "train.log").open("a", encoding="utf-8") as log:
                log.write(f"{event.text}: {figures}\n")
            supernet.train()

    for number, recipe in enumerate(PASSES):
        train(
            supernet,
            ArrayBatches(images, labels, BATCH, PREPROCESSING, seed + number),
            recipe,
            listen,
            work / f"checkpoint{number}",
        )
    return supernet


def measure_extremes(supernet: Supernet, work: Path, count: int = 1024) -> tuple[list[str], list[float]]:
    """Texts and validation top-1 of the smallest and the largest architecture, at the lowest and highest resolution."""
    images, labels = np.load(work / "validation.images.npy")[:count], np.load(work / "validation.labels.npy")[:count]
    architectures = supernet.space.decode(extremes(supernet.space))
    figures = measure(
        supernet,
        architectures,
        lambda r: recalibration_pictures(work, r),
        lambda r: Shown(images, labels, r, PREPROCESSING),
    )
    return [a.text for a in architectures], figures.tolist()


def measured(
    supernet: Supernet, work: Path, subnets: Sequence[Architecture], pictures: tuple[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Top-1 of subnets on pictures with their labels, in per cent."""
    return measure(
        supernet,
        subnets,
        lambda r: recalibration_pictures(work, r),
        lambda r: Shown(*pictures, r, PREPROCESSING),
        show,
    )


def measure_all(work: Path, supernet: Supernet, seed: int) -> tuple[Codes, Any]:
    """Measures top-1 of subnets on the validation fonts; the accuracy predictor is fitted to these values."""
    pictures = np.load(work / "validation.images.npy", mmap_mode="r"), np.load(work / "validation.labels.npy")
    assert isinstance(supernet.space, MobileNetV3Space)
    return measure_subnets(
        supernet.space,
        lambda subnets: measured(supernet, work, subnets, pictures),
        SUBNETS,
        work / "measured.csv",
        seed,
        on_event=show,
    )


def test_figures(work: Path, supernet: Supernet, seed: int) -> dict[str, Any]:
    """Top-1 of the smallest, the largest and 20 random subnets on the shipped test pictures, with 95 % intervals."""
    file = work / "figures.json"
    if not file.exists():
        codes = np.vstack([extremes(supernet.space), supernet.space.sample(20, np.random.default_rng(seed + 1))])
        subnets = supernet.space.decode(codes)
        top1 = measured(supernet, work, subnets, test_pictures(work))
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
    figures: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return figures


def predict_accuracy(work: Path, supernet: Supernet, codes: Codes, top1: Any, seed: int) -> Footing:
    """Fits the accuracy predictor to the measured subnets, and compares others with it on the test fonts."""
    space, file = supernet.space, work / "footing.json"
    if not all((work / name).exists() for name in PREDICTOR):
        # Fitted elsewhere, so that a part of the files is never taken for the whole.
        fitted = work / "fitted"
        fitted.mkdir(exist_ok=True)
        fit_measured(space, codes, top1, COUNTS["validation"], fitted, seed, show)
        for name in PREDICTOR:
            (fitted / name).replace(work / name)
        file.unlink(missing_ok=True)
    if not file.exists():
        pictures = test_pictures(work)
        found = footing_of(
            space,
            AccuracyPredictor.load(work, space),
            codes,
            lambda subnets: measured(supernet, work, subnets, pictures),
            f"{COUNTS['validation']} pictures of other fonts",
            seed,
        )
        _write_json(file, found.model_dump())
    return Footing.model_validate_json(file.read_text("utf-8"))


def test_pictures(work: Path) -> tuple[Any, Any]:
    """The shipped test pictures and their labels."""
    return read_sheet(work / TEST_SHEET, TEST, SIDE), np.array(json.loads((work / TEST_LABELS).read_text("utf-8")))


def provenance(parts: dict[str, list[Face]], figures: dict[str, Any], seed: int) -> dict[str, Any]:
    """What bundle.json records about how the bundle was made."""
    fonts = {
        name: {
            "files": len(part),
            "families": sorted({face.family for face in part}),
            "groups": len({face.group for face in part}),
        }
        for name, part in parts.items()
    }
    return {
        "recipe": "recipes/glyphs/build.py",
        "data": "Pictures rendered from free fonts; fonts are split by family, clones kept together; test pictures "
        "show test families only.",
        "debian_packages": Path(__file__).with_name("fonts.txt").read_text("utf-8").split(),
        "fonts": fonts,
        "pictures": {**COUNTS, "recalibration": RECALIBRATION, "test": TEST, "look": asdict(Look())},
        "training": {
            "method": "sandwich rule with in-place distillation (BigNAS); the largest network alone at first",
            "batch": BATCH,
            "passes": [asdict(recipe) for recipe in PASSES],
            "seed": seed,
        },
        "top1_on_test_fonts": figures,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
        "built": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def recalibration_pictures(work: Path, resolution: int) -> torch.Tensor:
    """The shipped recalibration pictures, normalised."""
    return prepare(read_sheet(work / RECALIBRATION_SHEET, RECALIBRATION, SIDE), resolution, PREPROCESSING)


def show(event: Event) -> None:
    """Prints every twentieth step of progress."""
    if isinstance(event, Advanced) and event.done % 20 == 0:
        print(event.text, flush=True)


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(value), "utf-8")
    temporary.replace(path)


def main() -> int:
    """Runs all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/glyphs"))
    parser.add_argument(
        "--fonts", type=Path, action="append", help="folder with fonts (repeatable; default: /usr/share/fonts)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    check_plan(options.work, options.seed)
    parts = find_fonts(options.work, options.fonts or [Path("/usr/share/fonts")], options.seed)
    render_all(options.work, parts, options.seed)
    torch.set_num_threads(options.threads)
    supernet = train_supernet(options.work, options.seed)
    measured = measure_all(options.work, supernet, options.seed)
    figures = test_figures(options.work, supernet, options.seed)
    assert isinstance(supernet.space, MobileNetV3Space)
    footing = predict_accuracy(options.work, supernet, *measured, options.seed)
    names = (SUPERNET_WEIGHTS, "measured.csv", RECALIBRATION_SHEET, TEST_SHEET, TEST_LABELS, *PREDICTOR)
    files = [options.work / name for name in names]
    facts = provenance(parts, figures, options.seed)
    title = "Printed characters in the wild: 47 classes, 32 to 48 pixels"
    about = Facts("glyphs", title, "Apache-2.0", facts)
    sheets = (SIDE, RECALIBRATION, TEST)
    write_bundle(options.output, about, supernet.space, PREPROCESSING, CHARACTERS, files, sheets, footing)
    print(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
