"""The store of measurements, cost models and what is fitted from measurements."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from nagsdk.device.backend import Burst
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.store import Kept, Store
from nagsdk.measuring.store_file import export_readings, import_readings
from nagsdk.space.space import extremes
from tests.conftest import TINY
from tests.fuzz import mutate
from tests.fuzz.architectures import TINY_TEXT
from tests.fuzz.formats import Formats, written
from tests.worlds import World

FORMATS = Formats()


_BURST = Burst((1.0, 1.1, 1.2), (1.0, 1.1, 1.2), {"celsius": 40.0})
_KEY = MeasurementKey("cpu-0", "onnxruntime", "1", "fp32", "none", 1, 1, "0" * 16)


def _stored(path: Path) -> Store:
    store = Store(path)
    for turn in range(4):
        store.add(Kept(_KEY, TINY_TEXT, Reading(_BURST, 2.0, 2.1), "a" * 32, "b" * 32, turn))
    return store


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


@FORMATS.add("store export", _exported, _damaged_export, 0.5)
def _use_export(content: bytes, folder: Path) -> None:
    store = Store(folder / "store")
    import_readings(store, written(folder, "readings.jsonl", content))
    _use_store(store)


def _database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store = _stored(Path(folder) / "store")
        store.database._idle.close()
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


@FORMATS.add("store database", _database, _damaged_database, 0.5)
def _use_database(content: bytes, folder: Path) -> None:
    store = Store(written(folder, "store", content))
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


@FORMATS.add("cost model card", _card, _damaged_card)
def _use_card(content: bytes, folder: Path) -> None:
    from nagsdk.cost.card import from_json, to_json

    model = from_json(content.decode("utf-8", "replace"), TINY)
    codes = extremes(TINY)
    for values in (*model.predict(codes), model.upper(codes, 0.5), model.upper(codes, 0.8, 90.0)):
        assert np.isfinite(values).all()
    assert np.isfinite(model.limit_for_mean(5.0, 0.8))
    json.loads(to_json(model))


@FORMATS.add("prior", lambda: _world().prior.to_json().encode(), mutate.damaged_json)
def _use_prior(content: bytes, folder: Path) -> None:
    from nagsdk.cost.model import CostModel
    from nagsdk.cost.prior import read_prior

    model = CostModel.from_prior(TINY, read_prior(written(folder, "prior.json", content)).for_threads(4))
    mean, deviation = model.predict(extremes(TINY))
    assert np.isfinite(mean).all() and np.isfinite(deviation).all()


_CHOICE = b'{"name": "a", "p50_ms": {"a": 1.0, "b": 2.0}, "architecture": "x", "date": "2026-01-01"}'


@FORMATS.add("rewrite", lambda: _CHOICE, mutate.damaged_json)
def _use_rewrite(content: bytes, folder: Path) -> None:
    from nagsdk.measuring.rewrites import read_choice

    choice = read_choice(written(folder, "choice.json", content), ("a", "b"))
    if choice is not None:
        json.dumps([choice.told, choice.to_dict()], allow_nan=False)


def _measured() -> bytes:
    return b"ks,e,d,r,top1\n" + b"3333,2222,11,16,50.5\n7735,3323,22,24,61.25\n" * 4


def _old_database() -> bytes:
    """A store of format 1, which is taken over."""
    payload = json.dumps({"reading": Reading(_BURST, 2.0, 2.1).to_dict(), "session": "a" * 32, "run": "b" * 32})
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "create table reading (id integer primary key, device text, architecture text, taken_at text, payload text);"
        "create index reading_by_key on reading (device); pragma user_version = 1;"
    )
    connection.execute("insert into reading values (1, 'cpu', ?, '2026-01-01T00:00:00+00:00', ?)", (TINY_TEXT, payload))
    connection.commit()
    return bytes(connection.serialize())


def _damaged_old_database(content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.3:
        return mutate.damaged_bytes(content, rng)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    (payload,) = connection.execute("select payload from reading").fetchone()
    damaged = mutate.damaged_json(payload.encode(), rng).decode("utf-8", "replace")
    connection.execute("update reading set payload = ?", (damaged,))
    connection.commit()
    return bytes(connection.serialize())


FORMATS.add("store database, old", _old_database, _damaged_old_database, 0.3)(_use_database)
