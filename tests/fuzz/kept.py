"""What nagsdk keeps for itself between two runs, where a full disk or another version may have left anything."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

import torch

from nagsdk.errors import NagsdkError
from nagsdk.families.protocol import Supernet
from nagsdk.supernet.resume import STATE, Average, Identity, load_state, save_state
from tests.conftest import TINY
from tests.fuzz import mutate
from tests.fuzz.checkpoints import damaged_safetensors
from tests.fuzz.formats import Formats, written

FORMATS = Formats()
_STEP = "step-0000001.safetensors"
_ADDRESS = "https://example.org/net.pth"


def _in_data_folder(folder: Path) -> None:
    os.environ["NAGSDK_DATA_DIR"] = str(folder / "data")


@FORMATS.add(
    "kept: hash of a download",
    lambda: json.dumps({"address": _ADDRESS, "sha256": "0" * 64}).encode(),
    mutate.damaged_json,
)
def _use_download(content: bytes, folder: Path) -> None:
    from nagsdk.bundle.imported import first_hash, hash_file

    _in_data_folder(folder)
    hash_file(_ADDRESS).parent.mkdir(parents=True)
    hash_file(_ADDRESS).write_bytes(content)
    json.dumps(first_hash(_ADDRESS))


@FORMATS.add(
    "kept: weights.json",
    lambda: json.dumps({
        "source": "net.pth", "checkpoint_sha256": "0" * 64, "sha256": "1" * 64, "imported_at": "2026-01-01T00:00:00Z"
    }).encode(),
    mutate.damaged_json,
)  # fmt: skip
def _use_weights_record(content: bytes, folder: Path) -> None:
    from nagsdk.bundle.imported import read_weights, read_weights_record

    record = read_weights_record(written(folder, "weights.json", content).parent)
    try:
        read_weights(folder / "supernet.safetensors", record["sha256"], "nagsdk bundle pull")
    except NagsdkError as error:
        assert error.message and error.next_step


def _plan() -> bytes:
    from nagsdk.training.plan import Plan

    return json.dumps(asdict(Plan("0" * 16, TINY.to_dict(), "none", "sandwich", 2, 8, 50, True, 0))).encode()


@FORMATS.add("kept: plan of a training", _plan, mutate.damaged_json)
def _use_plan(content: bytes, folder: Path) -> None:
    from nagsdk.training.plan import PLAN
    from nagsdk.training.work import work_of

    (folder / "out.work").mkdir()
    written(folder / "out.work", PLAN, content)
    work_of(folder / "out")


@cache
def _training() -> tuple[Identity, Supernet, torch.optim.Optimizer]:
    torch.manual_seed(0)
    supernet = TINY.supernet()
    optimizer = torch.optim.AdamW(supernet.parameters(), lr=0.1)
    sum(p.sum() for p in supernet.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    return Identity({"steps": 4}, TINY.fingerprint), supernet, optimizer


@cache
def _saved() -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    identity, supernet, optimizer = _training()
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder), identity, supernet, optimizer, Average(supernet, 0.9), 1)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _load(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        written(folder, name, content)
    identity, supernet, optimizer = _training()
    assert load_state(folder, identity, supernet, optimizer, Average(supernet, 0.9)) >= 0


@FORMATS.add("kept: state of a training", lambda: _saved()[STATE], mutate.damaged_json, 0.3)
def _use_training_state(content: bytes, folder: Path) -> None:
    _load(folder, {**_saved(), STATE: content})


@FORMATS.add("kept: checkpoint", lambda: _saved()[_STEP], damaged_safetensors, 0.3)
def _use_checkpoint(content: bytes, folder: Path) -> None:
    state = json.loads(_saved()[STATE]) | {"sha256": hashlib.sha256(content).hexdigest()}
    _load(folder, {STATE: json.dumps(state).encode(), _STEP: content})
