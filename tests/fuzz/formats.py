"""Every format that others may write: a valid sample, how it is damaged, and how it is used after it was read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from nagsdk.bundle.bundle import Bundle
from nagsdk.errors import DataError
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.store import Kept, Store
from nagsdk.measuring.store_file import export_readings, import_readings
from nagsdk.space.space import extremes
from tests.conftest import REPOSITORY, TINY
from tests.fuzz import mutate
from tests.fuzz.mutate import Damage
from tests.worlds import World

GLYPHS = REPOSITORY / "bundles" / "glyphs"
SAMPLES = Path(__file__).parent / "samples"
FORMATS: dict[str, Format] = {}


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        sample: Makes a valid content.
        damage: Damages a content.
        use: Reads a content in an empty folder and uses what was read, as commands do.
        share: How many cases there are, relative to other formats; slow ones have less.
    """

    sample: Callable[[], bytes]
    damage: Damage
    use: Callable[[bytes, Path], object]
    share: float = 1.0


def _format(
    name: str, sample: Callable[[], bytes], damage: Damage, share: float = 1.0
) -> Callable[[Callable[[bytes, Path], object]], Callable[[bytes, Path], object]]:
    def add(use: Callable[[bytes, Path], object]) -> Callable[[bytes, Path], object]:
        FORMATS[name] = Format(cache(sample), damage, use, share)
        return use

    return add


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# Projects and deployments.


def _manifest() -> bytes:
    return (SAMPLES / "manifest.json").read_bytes()


def _show(manifest: dict[str, object]) -> None:
    from nagsdk.manifest.manifest import manifest_text
    from nagsdk.manifest.result import result_of
    from nagsdk.reports.page import comparison_page, deployment_page

    manifest_text(manifest)
    json.dumps(result_of(manifest).to_dict(), allow_nan=False)
    deployment_page(manifest).encode()
    comparison_page({"a": manifest, "b": json.loads(_manifest())}).encode()


@_format("manifest.json", _manifest, mutate.damaged_json)
def _use_manifest(content: bytes, folder: Path) -> None:
    from nagsdk.manifest.manifest import read_manifest, with_other_line_ends
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.pipeline.opened import wrong_files

    _written(folder, "manifest.json", content)
    manifest = read_manifest(folder)
    _show(manifest)
    wrong_files(folder, manifest)
    with_other_line_ends(folder, manifest)
    deployment = Deployment.read(folder)
    deployment._repr_html_()
    json.dumps(deployment.to_dict(), allow_nan=False)


def _lock() -> bytes:
    inputs = {"options": {"seed": 0}, "device": "0" * 64, "bundle": "1" * 64, "weights": None, "images": None}
    entry = {
        "inputs": inputs,
        "statistics": {"stem.norm": b64encode(np.ones(8, "<f4").tobytes()).decode()},
        "manifest": json.loads(_manifest()),
    }
    return json.dumps({"format": 1, "deployments": {"a": entry}}).encode()


@_format("nagsdk.lock", _lock, mutate.damaged_json)
def _use_lock(content: bytes, folder: Path) -> None:
    from datetime import UTC, datetime

    from nagsdk.project.lock import read_lock, write_lock
    from nagsdk.project.restore import is_current

    lock = read_lock(_written(folder, "nagsdk.lock", content))
    for entry in lock.deployments.values():
        entry.statistics_bytes()
        is_current(entry, folder)
        _show(entry.manifest)
        (datetime.now(UTC) - datetime.fromisoformat(entry.manifest["created_at"])).total_seconds()
    write_lock(folder / "again", lock)


def _project() -> bytes:
    return (
        b'mirror = "mirror"\n[deployments.a]\ndevice = "cpu"\nbudget = ["80ms@p90", "12MB"]\nmin_top1 = 50.0\n'
        b'bundle = "glyphs"\noutput = "out"\nimages = "images"\nstrategy = "nag"\nresolution = 32\nthreads = 1\n'
        b'batch = 1\nprecision = "fp32"\nconfidence = 0.9\nseed = 0\n[deployments.b]\ndevice = "cpu"\nbudget = "1ms"\n'
    )


@_format("nagsdk.toml", _project, mutate.damaged_toml)
def _use_project(content: bytes, folder: Path) -> None:
    from nagsdk.project.toml import read_project

    for declared in read_project(_written(folder, "nagsdk.toml", content)).deployments:
        json.dumps(declared.options)


def _device() -> bytes:
    return (
        b'id = "board"\ntitle = "A board"\nbackend = "onnxruntime"\naliases = ["a", "b"]\nthreads = 2\nbatch = 1\n'
        b'precision = "fp32"\nprior = "cpu-prior.json"\ncaveat = "Old."\n'
        b'[options]\nspinning = "1"\ncores = "0"\nopset = "17"\n'
    )


@_format("device.toml", _device, mutate.damaged_toml)
def _use_device(content: bytes, folder: Path) -> None:
    from nagsdk.device.description import Overrides, read_device
    from nagsdk.plugin.host import host

    device = read_device(_written(folder, "board.toml", content))
    backend = host().backend_of(device)
    backend.presence(Overrides(threads=3).on(device, backend.precisions))


@_format("config.toml", lambda: b'device = "cpu"\ncache_dir = "cache"\noffline = true\nplugin_timeout_s = 5\n'
         b'disable_plugins = ["x"]\nbundle = "glyphs"\n', mutate.damaged_toml)  # fmt: skip
def _use_config(content: bytes, folder: Path) -> None:
    from nagsdk.common import config

    before = os.environ["NAGSDK_CONFIG"]
    os.environ["NAGSDK_CONFIG"] = str(_written(folder, "config.toml", content))
    try:
        for name in config.SETTINGS:
            config.look_up(name)
    finally:
        os.environ["NAGSDK_CONFIG"] = before


# Measurements, cost models and tables.

_KEY = MeasurementKey("cpu-0", "onnxruntime", "1", "fp32", "none", 1, 1, "0" * 16)


def _stored(path: Path) -> Store:
    from nagsdk.device.backend import Burst

    store = Store(path)
    for turn in range(4):
        burst = Burst((1.0, 1.1, 1.2), (1.0, 1.1, 1.2), {"celsius": 40.0})
        store.add(Kept(_KEY, TINY_TEXT, Reading(burst, 2.0, 2.1), "a" * 32, "b" * 32, turn))
    return store


TINY_TEXT = TINY.decode(extremes(TINY))[0].text


def _use_store(store: Store) -> None:
    kept = list(store.readings())
    store.check()
    json.dumps([one.reading.to_dict() for one in kept], allow_nan=False)
    for one in kept:
        taken = Measurement((one.reading,) * 3, one.reading.reference_ms)
        for value in (taken.latency(disturbed=True), taken.upper(disturbed=True), taken.normalised_ms(), taken.pace):
            assert np.isfinite(value)
        _ = taken.state, one.reading.contention


def _exported() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        export_readings(_stored(Path(folder) / "store"), Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def _sealed(content: bytes) -> bytes:
    """The file with the hash of what it holds, so that more than the hash is checked."""
    lines = content.rstrip(b"\n").split(b"\n")[:-1]
    body = b"".join(line + b"\n" for line in lines)
    end = {"readings": max(len(lines) - 1, 0), "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end).encode() + b"\n"


def _damaged_export(content: bytes, rng: Random) -> bytes:
    damaged = mutate.damaged_lines(content, rng)
    return damaged if rng.random() < 0.2 else _sealed(damaged)


@_format("store export", _exported, _damaged_export, 0.5)
def _use_export(content: bytes, folder: Path) -> None:
    store = Store(folder / "store")
    import_readings(store, _written(folder, "readings.jsonl", content))
    _use_store(store)


def _database() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = _stored(Path(folder) / "store")
        store.close() if hasattr(store, "close") else store._idle.close()
        with sqlite3.connect(Path(folder) / "store") as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
            connection.execute("pragma journal_mode = delete")
        connection.close()
        return (Path(folder) / "store").read_bytes()


def _damaged_database(content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.4:
        return mutate.damaged_bytes(content, rng)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    table, names = rng.choice(
        [
            ("key", ("fields", "hash")),
            ("reading", ("uid", "architecture", "run", "turn", "session", "taken_at", "reading")),
        ]
    )
    name = rng.choice(names)
    (old,) = connection.execute(f"select {name} from {table} limit 1").fetchone()
    new = rng.choice(mutate.NASTY)
    if name in ("fields", "reading"):
        new = mutate.damaged_json(old.encode(), rng).decode("utf-8", "replace")
    if isinstance(new, (list, dict)) or (isinstance(new, int) and abs(new) >= 2**63):
        new = str(new).encode()
    try:
        connection.execute(f"update {table} set {name} = ? where id = 1", (new,))
    except (sqlite3.IntegrityError, UnicodeEncodeError):  # the database itself refuses it
        return mutate.damaged_bytes(content, rng)
    connection.commit()
    return bytes(connection.serialize())


@_format("store database", _database, _damaged_database, 0.5)
def _use_database(content: bytes, folder: Path) -> None:
    store = Store(_written(folder, "store", content))
    _use_store(store)
    export_readings(store, folder / "out")


@cache
def _world() -> World:
    return World(TINY)


def _card() -> bytes:
    from nagsdk.cost.card import to_json

    return to_json(_world().model()).encode()


def _damaged_card(content: bytes, rng: Random) -> bytes:
    from nagsdk.cost.card import _SEAL, _hash

    damaged = mutate.damaged_json(content, rng)
    body, seal, _ = damaged.decode("utf-8", "replace").rpartition(_SEAL)
    return f'{body}{seal}{_hash(body)}"}}\n'.encode() if seal and rng.random() < 0.9 else damaged


@_format("cost model card", _card, _damaged_card)
def _use_card(content: bytes, folder: Path) -> None:
    from nagsdk.cost.card import from_json, to_json

    model = from_json(content.decode("utf-8", "replace"), TINY)
    codes = extremes(TINY)
    for values in (*model.predict(codes), model.upper(codes, 0.5), model.upper(codes, 0.8, 90.0)):
        assert np.isfinite(values).all()
    assert np.isfinite(model.limit_for_mean(5.0, 0.8))
    json.loads(to_json(model))


@_format("prior", lambda: _world().prior.to_json().encode(), mutate.damaged_json)
def _use_prior(content: bytes, folder: Path) -> None:
    from nagsdk.cost.model import CostModel
    from nagsdk.cost.prior import read_prior

    model = CostModel.from_prior(TINY, read_prior(_written(folder, "prior.json", content)).for_threads(4))
    mean, deviation = model.predict(extremes(TINY))
    assert np.isfinite(mean).all() and np.isfinite(deviation).all()


@_format("rewrite", lambda: b'{"name": "a", "p50_ms": {"a": 1.0, "b": 2.0}, "architecture": "x", "date": "2026-01-01"}',
         mutate.damaged_json)  # fmt: skip
def _use_rewrite(content: bytes, folder: Path) -> None:
    from nagsdk.measuring.rewrites import read_choice

    choice = read_choice(_written(folder, "choice.json", content), ("a", "b"))
    if choice is not None:
        json.dumps([choice.told, choice.to_dict()], allow_nan=False)


def _measured() -> bytes:
    return b"ks,e,d,r,top1\n" + b"3333,2222,11,16,50.5\n7735,3323,22,24,61.25\n" * 4


@_format("measured.csv", _measured, mutate.damaged_csv)
def _use_measured(content: bytes, folder: Path) -> None:
    from nagsdk.training.subnets import _measured as read

    codes, top1 = read(_written(folder, "measured.csv", content), TINY)
    assert len(codes) == len(top1) and np.isfinite(top1).all()
    TINY.decode(codes)


@_format("archs.csv", _measured, mutate.damaged_csv)
def _use_archs(content: bytes, folder: Path) -> None:
    _read_archs(_written(folder, "archs.csv", content))


def _dictionaries() -> bytes:
    one = {"ks": [3, 5, 7, 3], "e": [2, 2, 3, 3], "d": [1, 2], "r": [16], "top1": 50.5}
    return json.dumps([one, {**one, "r": 24}]).encode()


@_format("archs.json", _dictionaries, mutate.damaged_json)
def _use_dictionaries(content: bytes, folder: Path) -> None:
    _read_archs(_written(folder, "archs.json", content))


def _damaged_literal(content: bytes, rng: Random) -> bytes:
    damaged = mutate.damaged_tree(json.loads(content), rng)
    return repr(damaged).encode("utf-8", "replace") if rng.random() < 0.8 else mutate.damaged_bytes(content, rng)


@_format("archs as Python literals", _dictionaries, _damaged_literal)
def _use_literals(content: bytes, folder: Path) -> None:
    _read_archs(_written(folder, "archs.txt", content))


def _read_archs(path: Path) -> None:
    codes, _ = TINY.read_table(path)
    for architecture in TINY.decode(codes):
        TINY.macs(architecture)


# Texts that are typed or that a device prints.


@_format("architecture", lambda: TINY_TEXT.encode(), mutate.damaged_text)
def _use_architecture(content: bytes, folder: Path) -> None:
    TINY.macs(TINY.parse(content.decode("utf-8", "replace")))


@_format("budget", lambda: b"80.5ms@p90", mutate.damaged_bytes)
def _use_budget(content: bytes, folder: Path) -> None:
    from nagsdk.budget import Budget

    for text in content.decode("utf-8", "replace").split(","):
        budget = Budget.parse(text)
        json.dumps([str(budget), budget.to_dict(), str(budget.rounded(up=True))], allow_nan=False)


def _tool_output() -> bytes:
    return (SAMPLES / "benchmark_model.txt").read_bytes()


@_format("phone: benchmark", _tool_output, mutate.damaged_bytes, 2.0)
def _use_tool_output(content: bytes, folder: Path) -> None:
    from nagsdk_android.tool_output import parse

    report = parse(content.decode("utf-8", "replace"))
    for delegate in ("xnnpack", "gpu"):
        report.fallback(delegate)


@_format("phone: state", lambda: (SAMPLES / "state.txt").read_bytes(), mutate.damaged_bytes, 2.0)
def _use_state(content: bytes, folder: Path) -> None:
    from nagsdk_android.state import parse

    state = parse(content.decode("utf-8", "replace"))
    _ = state.hot, state.throttled, state.capped()
    json.dumps(dict(state.to_properties()), allow_nan=False)


# Images, weights and bundles.


def _image(suffix: str) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(content, suffix, **({"exif": exif} if suffix != "BMP" else {}))
    return content.getvalue()


def _use_image(content: bytes, folder: Path) -> None:
    from nagsdk.images.preprocessing import crop, read_image

    try:
        image = read_image(_written(folder, "image.jpg", content))
    except (OSError, ValueError) as error:  # what callers of this function handle: they name the image
        raise DataError(str(error), "Leave it out.") from error
    crop(image, 20, 16)


for _suffix in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
    _format(f"image: {_suffix}", lambda suffix=_suffix: _image(suffix), mutate.damaged_bytes, 0.5)(_use_image)  # type: ignore[misc]


def _checkpoint() -> bytes:
    import torch

    content = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.ones(3, 4), "b.bias": torch.zeros(2)}, "epoch": 3}, content)
    return content.getvalue()


@_format("checkpoint of PyTorch", _checkpoint, mutate.damaged_bytes, 0.5)
def _use_checkpoint(content: bytes, folder: Path) -> None:
    from nagsdk.families.state_file import read_state

    for tensor in read_state(_written(folder, "net.pth", content)).values():
        tensor.sum()


def _safetensors() -> bytes:
    from safetensors.numpy import save

    return save({"a": np.ones((3, 4), np.float32), "b": np.zeros(2, np.float16)})


def _damaged_safetensors(content: bytes, rng: Random) -> bytes:
    """Damages the header as JSON, or the bytes."""
    if rng.random() < 0.3:
        return mutate.damaged_bytes(content, rng)
    size = int.from_bytes(content[:8], "little")
    header = mutate.damaged_json(content[8 : 8 + size].rstrip(), rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


@_format("checkpoint of safetensors", _safetensors, _damaged_safetensors)
def _use_safetensors(content: bytes, folder: Path) -> None:
    from nagsdk.families.state_file import read_state

    read_state(_written(folder, "net.safetensors", content))


@_format("weights of a supernet", lambda: (GLYPHS / "supernet.safetensors").read_bytes(), _damaged_safetensors, 0.1)
def _use_weights(content: bytes, folder: Path) -> None:
    from nagsdk.supernet.weights import load_supernet

    load_supernet(_glyphs().space, content)


@cache
def _glyphs() -> Bundle:
    return Bundle(GLYPHS)


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


@_format("bundle.json", _description, mutate.damaged_json)
def _use_description(content: bytes, folder: Path) -> None:
    for path in GLYPHS.iterdir():
        if path.name != "bundle.json":
            (folder / path.name).symlink_to(path)
    bundle = Bundle(_written(folder, "bundle.json", content).parent)
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


@_format("bundle: labels.txt", lambda: (GLYPHS / "labels.txt").read_bytes(), mutate.damaged_bytes)
def _use_labels(content: bytes, folder: Path) -> None:
    _ = _bundle_with(folder, "labels.txt", content).labels


@_format("bundle: predictor.json", lambda: (GLYPHS / "predictor.json").read_bytes(), mutate.damaged_json)
def _use_predictor_card(content: bytes, folder: Path) -> None:
    predictor = _bundle_with(folder, "predictor.json", content).predictor
    _ = predictor.warnings
    json.dumps(dict(predictor.card), allow_nan=False)


@_format("bundle: predictor", lambda: (GLYPHS / "predictor.safetensors").read_bytes(), _damaged_safetensors, 0.5)
def _use_predictor(content: bytes, folder: Path) -> None:
    card = json.loads((GLYPHS / "predictor.json").read_bytes())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    bundle = _bundle_with(folder, "predictor.json", json.dumps(card).encode())
    description = json.loads((folder / "bundle.json").read_bytes())
    description["files"]["predictor.safetensors"] = {"sha256": card["sha256"], "bytes": len(content)}
    (folder / "predictor.safetensors").unlink()
    _written(folder, "predictor.safetensors", content)
    (folder / "bundle.json").write_text(json.dumps(description))
    found = Bundle(folder).predictor.predict(extremes(bundle.space))
    assert np.isfinite(found.mean).all() and np.isfinite(found.low).all()


def _damaged_generator(content: bytes, rng: Random) -> bytes:
    """Damages card or arrays, mostly with the hash that fits."""
    from safetensors import safe_open  # noqa: F401 — the reader's library
    from safetensors.numpy import load, save

    from nagsdk.generator.generator import _digest

    if rng.random() < 0.4:
        return _damaged_safetensors(content, rng)
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


@_format("bundle: generator", lambda: (GLYPHS / "generator.safetensors").read_bytes(), _damaged_generator, 0.5)
def _use_generator(content: bytes, folder: Path) -> None:
    from nagsdk.generator.generator import Generator

    bundle = _bundle_with(folder, "generator.safetensors", content)
    assert bundle.generator_file is not None
    Generator.load(bundle.generator_file, bundle.space, _glyphs().predictor)


@_format("bundle: test_labels.json", lambda: b"[0, 1, 2, 3]", mutate.damaged_json)
def _use_test_labels(content: bytes, folder: Path) -> None:
    _small_sheets(folder, "test_labels.json", content).test_set(32)


@_format("bundle: sheet of images", lambda: _sheet(), mutate.damaged_bytes, 0.5)
def _use_sheet(content: bytes, folder: Path) -> None:
    _small_sheets(folder, "test.webp", content).test_set(32)


@cache
def _sheet() -> bytes:
    import tempfile

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
        _written(folder, file, text)
        description["files"][file] = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
    _written(folder, "bundle.json", json.dumps(description).encode())
    return Bundle(folder)


def clean(folder: Path) -> None:
    """Empties a folder for the next case."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
