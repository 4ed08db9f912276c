"""Architectures in all their forms, tables of them, and budgets."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np

from nagsdk.space.space import extremes
from tests.conftest import TINY
from tests.fuzz import mutate
from tests.fuzz.formats import Formats, written

FORMATS = Formats()
TINY_TEXT = TINY.decode(extremes(TINY))[0].text


def _measured() -> bytes:
    return b"ks,e,d,r,top1\n" + b"3333,2222,11,16,50.5\n7735,3323,22,24,61.25\n" * 4


@FORMATS.add("measured.csv", _measured, mutate.damaged_csv)
def _use_measured(content: bytes, folder: Path) -> None:
    from nagsdk.training.subnets import _measured as read

    codes, top1 = read(written(folder, "measured.csv", content), TINY)
    assert len(codes) == len(top1) and np.isfinite(top1).all()
    TINY.decode(codes)


@FORMATS.add("archs.csv", _measured, mutate.damaged_csv)
def _use_archs(content: bytes, folder: Path) -> None:
    _read_archs(written(folder, "archs.csv", content))


def _dictionaries() -> bytes:
    one = {"ks": [3, 5, 7, 3], "e": [2, 2, 3, 3], "d": [1, 2], "r": [16], "top1": 50.5}
    return json.dumps([one, {**one, "r": 24}]).encode()


@FORMATS.add("archs.json", _dictionaries, mutate.damaged_json)
def _use_dictionaries(content: bytes, folder: Path) -> None:
    _read_archs(written(folder, "archs.json", content))


def _damaged_literal(content: bytes, rng: Random) -> bytes:
    damaged = mutate.damaged_tree(json.loads(content), rng)
    return repr(damaged).encode("utf-8", "replace") if rng.random() < 0.8 else mutate.damaged_bytes(content, rng)


@FORMATS.add("archs as Python literals", _dictionaries, _damaged_literal)
def _use_literals(content: bytes, folder: Path) -> None:
    _read_archs(written(folder, "archs.txt", content))


def _read_archs(path: Path) -> None:
    codes, _ = TINY.read_table(path)
    for architecture in TINY.decode(codes):
        TINY.macs(architecture)


@FORMATS.add("architecture", lambda: TINY_TEXT.encode(), mutate.damaged_text)
def _use_architecture(content: bytes, folder: Path) -> None:
    TINY.macs(TINY.parse(content.decode("utf-8", "replace")))


@FORMATS.add("budget", lambda: b"80.5ms@p90", mutate.damaged_bytes)
def _use_budget(content: bytes, folder: Path) -> None:
    from nagsdk.budget import Budget

    for text in content.decode("utf-8", "replace").split(","):
        budget = Budget.parse(text)
        json.dumps([str(budget), budget.to_dict(), str(budget.rounded(up=True))], allow_nan=False)
