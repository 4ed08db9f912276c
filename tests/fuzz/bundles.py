"""The files of a bundle."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from nagsdk.bundle.bundle import Bundle
from nagsdk.space.space import extremes
from tests.fuzz import mutate
from tests.fuzz.checkpoints import GLYPHS, damaged_safetensors, glyphs
from tests.fuzz.formats import Formats, written

FORMATS = Formats()


def _description() -> bytes:
    content = json.loads((GLYPHS / "bundle.json").read_bytes())
    content["provenance"] = {"made_by": "a test"}
    return json.dumps(content).encode()


def _bundle_with(folder: Path, name: str, content: bytes) -> Bundle:
    """The bundle glyphs in another folder, with one file replaced and listed with its new hash."""
    description = json.loads(_description())
    description["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    for other in description["files"]:
        if other != name:
            (folder / other).symlink_to(GLYPHS / other)
    (folder / name).write_bytes(content)
    (folder / "bundle.json").write_text(json.dumps(description))
    return Bundle(folder)


@FORMATS.add("bundle.json", _description, mutate.damaged_json)
def _use_description(content: bytes, folder: Path) -> None:
    for path in GLYPHS.iterdir():
        if path.name != "bundle.json":
            (folder / path.name).symlink_to(path)
    bundle = Bundle(written(folder, "bundle.json", content).parent)
    _ = (
        bundle.description,
        bundle.preprocessing,
        bundle.labels,
        repr(bundle),
        bundle.has_weights,
        bundle.has_test_images,
    )
    json.dumps(bundle.description.model_dump(), allow_nan=False)
    for architecture in bundle.space.decode(extremes(bundle.space)):
        bundle.space.macs(architecture)


@FORMATS.add("bundle: labels.txt", lambda: (GLYPHS / "labels.txt").read_bytes(), mutate.damaged_bytes)
def _use_labels(content: bytes, folder: Path) -> None:
    _ = _bundle_with(folder, "labels.txt", content).labels


@FORMATS.add("bundle: predictor.json", lambda: (GLYPHS / "predictor.json").read_bytes(), mutate.damaged_json)
def _use_predictor_card(content: bytes, folder: Path) -> None:
    predictor = _bundle_with(folder, "predictor.json", content).predictor
    _ = predictor.warnings
    json.dumps(dict(predictor.card), allow_nan=False)


@FORMATS.add("bundle: predictor", lambda: (GLYPHS / "predictor.safetensors").read_bytes(), damaged_safetensors, 0.5)
def _use_predictor(content: bytes, folder: Path) -> None:
    card = json.loads((GLYPHS / "predictor.json").read_bytes())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    bundle = _bundle_with(folder, "predictor.json", json.dumps(card).encode())
    description = json.loads((folder / "bundle.json").read_bytes())
    description["files"]["predictor.safetensors"] = {"sha256": card["sha256"], "bytes": len(content)}
    (folder / "predictor.safetensors").unlink()
    written(folder, "predictor.safetensors", content)
    (folder / "bundle.json").write_text(json.dumps(description))
    found = Bundle(folder).predictor.predict(extremes(bundle.space))
    assert np.isfinite(found.mean).all() and np.isfinite(found.low).all()


def _damaged_generator(content: bytes, rng: Random) -> bytes:
    """Damages card or arrays, mostly with the hash that fits."""
    from safetensors.numpy import load, save

    from nagsdk.generator.generator import _digest

    if rng.random() < 0.4:
        return damaged_safetensors(content, rng)
    size = int.from_bytes(content[:8], "little")
    card = json.loads(content[8 : 8 + size])["__metadata__"]["card"]
    arrays = load(content)
    if rng.random() < 0.6:
        card = mutate.damaged_json(card.encode(), rng).decode("utf-8", "replace")
    else:
        name = rng.choice(sorted(arrays))
        array = arrays[name].astype(rng.choice(["<f4", "<f8", "<i4"])).copy()
        array.flat[rng.randrange(array.size)] = rng.choice([0, 1e6, -1, float("nan")]) if array.dtype.kind == "f" else 7
        arrays[name] = array if rng.random() < 0.5 else array[..., :1].copy()
    return save(arrays, metadata={"card": card, "sha256": _digest(card, arrays)})


@FORMATS.add("bundle: generator", lambda: (GLYPHS / "generator.safetensors").read_bytes(), _damaged_generator, 0.5)
def _use_generator(content: bytes, folder: Path) -> None:
    from nagsdk.generator.generator import Generator

    bundle = _bundle_with(folder, "generator.safetensors", content)
    assert bundle.generator_file is not None
    Generator.load(bundle.generator_file, bundle.space, glyphs().predictor)


@FORMATS.add("bundle: test_labels.json", lambda: b"[0, 1, 2, 3]", mutate.damaged_json)
def _use_test_labels(content: bytes, folder: Path) -> None:
    _small_sheets(folder, "test_labels.json", content).test_set(32)


@FORMATS.add("bundle: sheet of images", lambda: _sheet(), mutate.damaged_bytes, 0.5)
def _use_sheet(content: bytes, folder: Path) -> None:
    _small_sheets(folder, "test.webp", content).test_set(32)


@cache
def _sheet() -> bytes:
    from nagsdk.images.sheets import write_sheet

    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), np.uint8)
        write_sheet(images, Path(folder) / "sheet.webp")
        return (Path(folder) / "sheet.webp").read_bytes()


def _small_sheets(folder: Path, name: str, content: bytes) -> Bundle:
    files = {"test.webp": _sheet(), "test_labels.json": b"[0, 1, 2, 3]", name: content}
    description = json.loads(_description())
    description["images"]["test"]["count"] = 4
    for file, text in files.items():
        written(folder, file, text)
        description["files"][file] = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
    written(folder, "bundle.json", json.dumps(description).encode())
    return Bundle(folder)
