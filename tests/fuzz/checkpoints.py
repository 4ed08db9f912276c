"""Checkpoints of other programs, and weights."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from nagsdk.bundle.bundle import Bundle
from tests.conftest import REPOSITORY
from tests.fuzz import mutate
from tests.fuzz.formats import Formats, written

FORMATS = Formats()
GLYPHS = REPOSITORY / "bundles" / "glyphs"


@cache
def glyphs() -> Bundle:
    """The bundle whose files the samples are."""
    return Bundle(GLYPHS)


def _checkpoint() -> bytes:
    import torch

    content = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.ones(3, 4), "b.bias": torch.zeros(2)}, "epoch": 3}, content)
    return content.getvalue()


@FORMATS.add("checkpoint of PyTorch", _checkpoint, mutate.damaged_bytes, 0.5)
def _use_checkpoint(content: bytes, folder: Path) -> None:
    from nagsdk.families.state_file import read_state

    for tensor in read_state(written(folder, "net.pth", content)).values():
        tensor.sum()


def _safetensors() -> bytes:
    from safetensors.numpy import save

    return save({"a": np.ones((3, 4), np.float32), "b": np.zeros(2, np.float16)})


def damaged_safetensors(content: bytes, rng: Random) -> bytes:
    """A copy with a damaged JSON header, or damaged bytes."""
    if rng.random() < 0.3:
        return mutate.damaged_bytes(content, rng)
    size = int.from_bytes(content[:8], "little")
    header = mutate.damaged_json(content[8 : 8 + size].rstrip(), rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


@FORMATS.add("checkpoint of safetensors", _safetensors, damaged_safetensors)
def _use_safetensors(content: bytes, folder: Path) -> None:
    from nagsdk.families.state_file import read_state

    read_state(written(folder, "net.safetensors", content))


@FORMATS.add("weights of a supernet", lambda: (GLYPHS / "supernet.safetensors").read_bytes(), damaged_safetensors, 0.3)
def _use_weights(content: bytes, folder: Path) -> None:
    from nagsdk.supernet.weights import load_supernet

    load_supernet(glyphs().space, content)
