import json
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nagsdk.device.backend import Burst, Presence
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError, OutputError
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measurement import Reading
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.store import Kept, Store
from nagsdk.measuring.store_file import export_readings, import_readings

KEY = MeasurementKey("f" * 16, "onnxruntime", "1.31", "fp32", "none", 1, 1, "0" * 16)
OTHER = MeasurementKey("f" * 16, "onnxruntime", "1.32", "fp32", "none", 1, 1, "0" * 16)


def reading(ms=1.0):
    return Reading(Burst((ms, ms * 1.1), (ms,), {"celsius": 40.0}), 2.0, 2.1)


def kept(ms=1.0, key=KEY, architecture="a", **more):
    return Kept(key, architecture, reading(ms), "5e55", **more)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    return tmp_path / "deep/s.sqlite" if request.param == "sqlite" else request.getfixturevalue("new_database")()


@pytest.fixture
def store(place):
    return Store(place)


def values(found):
    return [one.reading.burst.wall_ms[0] for one in found]


def test_readings_come_back_in_order_by_key_architecture_and_run(store, place, monkeypatch):
    monkeypatch.setattr("nagsdk.measuring.store._PAGE", 2)
    for ms in (3.0, 1.0, 2.0):
        store.add(kept(ms))
    store.add(kept(9.0, architecture="b"))
    store.add(kept(8.0, key=OTHER))
    run = store.begin(KEY, {"seed": 0})
    store.add(kept(7.0, run=run, turn=3))
    again = Store(place)
    assert again.check() == 6
    assert values(again.readings(KEY, "a")) == [3.0, 1.0, 2.0, 7.0]
    assert values(again.readings()) == [3.0, 1.0, 2.0, 9.0, 8.0, 7.0]
    (found,) = again.readings(run=run)
    assert (found.key, found.reading, found.session, found.turn) == (KEY, reading(7.0), "5e55", 3)
    assert datetime.fromisoformat(found.taken_at) <= datetime.now(UTC) and len(found.uid) == 32


def test_a_run_is_resumed_until_it_ends_and_only_with_the_same_settings(store):
    run = store.begin(KEY, {"seed": 0, "rounds": 5})
    assert store.unfinished(KEY, {"rounds": 5, "seed": 0}, 60.0) == run
    assert store.unfinished(KEY, {"seed": 1, "rounds": 5}, 60.0) is None
    assert store.unfinished(OTHER, {"seed": 0, "rounds": 5}, 60.0) is None
    assert store.unfinished(KEY, {"seed": 0, "rounds": 5}, 0.0) is None
    store.end(run)
    assert store.unfinished(KEY, {"seed": 0, "rounds": 5}, 60.0) is None


WRITER = """
import sys; sys.path[:0] = ["."]
from tests.measuring.test_store import kept; from nagsdk.measuring.store_place import store_here
store = store_here(sys.argv[1])
for number in range(int(sys.argv[3])):
    store.add(kept(number + 1.0, architecture=f"{sys.argv[2]}:{number}"))
    print(number, flush=True)
"""


def text_of(place):
    return str(place) if isinstance(place, Path) else place.url


def written_by(place, writers, each, killed):
    """Lets processes write at once, kills some after so many readings, and returns what each was told is stored."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, text_of(place), f"w{number}", str(each)], stdout=subprocess.PIPE, text=True
        )
        for number in range(writers)
    ]
    told = {f"w{number}": [] for number in range(writers)}

    def listen(number):
        for line in started[number].stdout:
            told[f"w{number}"].append(int(line))
            if len(told[f"w{number}"]) == killed.get(number):
                started[number].kill()

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(writers)]
    for listener in listeners:
        listener.start()
    store = Store(place)
    while waiting := [listener for listener in listeners if listener.is_alive()]:
        store.prune(datetime(2001, 1, 1, tzinfo=UTC))  # removes keys without readings while others write
        waiting[0].join(0.2)
    assert all((one.wait() == 0) == (number not in killed) for number, one in enumerate(started))
    return told


def require_all_once(place, told, each, killed):
    found = [one.architecture for one in Store(place).readings()]
    assert len(found) == len(set(found)) == Store(place).check(), "a reading is doubled"
    acknowledged = {f"{name}:{number}" for name, numbers in told.items() for number in numbers}
    assert acknowledged <= set(found), "a reading is lost"
    assert len(found) <= len(acknowledged) + len(killed)
    assert all(len(numbers) == each for name, numbers in told.items() if int(name[1:]) not in killed)


def test_processes_write_at_once_without_loss_also_where_some_are_killed(place):
    Store(place)
    killed = {2: 10}
    require_all_once(place, written_by(place, 3, 200, killed), 200, killed)


@pytest.mark.nightly
def test_eight_writers_keep_every_one_of_100_000_readings(place):
    Store(place)
    killed = {1: 1000, 4: 5000, 6: 9000}
    require_all_once(place, written_by(place, 8, 12_500, killed), 12_500, killed)


def test_foreign_damaged_and_newer_files_are_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    store = Store(path)
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(NagsdkError, match="is not a store of measurements") as caught:
        Store(tmp_path / "text")
    assert "safe place" in caught.value.next_step
    for i in range(200):
        store.add(kept(float(i + 1)))
    with sqlite3.connect(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    whole = path.read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NagsdkError, match=r"is damaged.*\n.*\.recover"):
        list(Store(tmp_path / "half").readings())
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(NagsdkError, match="newer version"):
        Store(path)


def test_the_first_format_is_migrated(tmp_path):
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table reading (id integer primary key, device text, architecture text, taken_at text, payload text)"
        )
        connection.execute("create index reading_by_key on reading (device, architecture)")
        connection.execute("pragma user_version = 1")
        rows = [
            ("cpu", "a", "2026-01-02T03:04:05+00:00", json.dumps(reading(4.0).to_dict())),
            (
                "cpu/calibration",
                "a",
                "2026-01-02T03:04:06+00:00",
                json.dumps({"run": "r", "session": "s", "reading": reading(5.0).to_dict()}),
            ),
            ("cpu/calibration", "calibration", "2026-01-02T03:04:07+00:00", json.dumps({"run": "r", "state": "begun"})),
        ]
        connection.executemany(
            "insert into reading (device, architecture, taken_at, payload) values (?, ?, ?, ?)", rows
        )
    found = list(Store(path).readings())
    assert values(found) == [4.0, 5.0] and [one.key.device for one in found] == ["cpu", "cpu/calibration"]
    assert found[0].taken_at == rows[0][2]
    Store(path).add(kept(6.0))
    assert values(Store(path).readings()) == [4.0, 5.0, 6.0]


def test_pruning_deletes_old_readings(store):
    old, young = (datetime.now(UTC) - timedelta(days=d) for d in (40, 2))
    store.add(kept(1.0, taken_at=old.isoformat(timespec="seconds")))
    store.add(kept(2.0, taken_at=young.isoformat(timespec="seconds")))
    assert store.prune(datetime.now(UTC) - timedelta(days=30)) == 1
    assert values(store.readings()) == [2.0]


def test_exported_readings_are_imported_once(tmp_path, store, request):
    run = store.begin(KEY, {})
    for i in range(5):
        store.add(kept(i + 1.0, run=run, turn=i))
    assert export_readings(store, tmp_path / "out" / "r.jsonl") == 5
    other = Store(tmp_path / "other.sqlite")
    if store.place.endswith("s.sqlite"):
        other = Store(request.getfixturevalue("new_database")())
    assert import_readings(other, tmp_path / "out" / "r.jsonl") == 5
    assert import_readings(other, tmp_path / "out" / "r.jsonl") == 0
    assert list(other.readings()) == list(store.readings())


def damaged(text):
    lines = text.splitlines(keepends=True)
    yield "is incomplete", "".join(lines[:-1])
    yield "line 3 is cut off", "".join(lines[:2]) + lines[2][: len(lines[2]) // 2]
    yield "changed", text.replace('"turn": 0', '"turn": 1', 1)
    yield "after the end", text + lines[1]
    yield "line 1: the format of the file is not", text.replace("nagsdk-readings/1", "nagsdk-readings/7")
    yield "invalid form", text.replace('"architecture": "a"', '"architecture": "\\u0000"', 1)
    yield "line 2: the field 'turn' is missing", text.replace('"turn": 0, ', "", 1)
    yield "missing, unknown or invalid fields\\.\n", text.replace('"runtime": ', '"run_time": ', 1)
    yield "line 1", "{}\n"
    yield "is incomplete", ""


def test_damaged_changed_and_foreign_files_add_nothing(tmp_path):
    store = Store(tmp_path / "s.sqlite")
    for i in range(3):
        store.add(kept(i + 1.0))
    export_readings(store, tmp_path / "r")
    target = Store(tmp_path / "target")
    for complaint, text in damaged((tmp_path / "r").read_text()):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(NagsdkError, match=complaint):
            import_readings(target, tmp_path / "bad")
        assert not list(target.readings())
    with pytest.raises(NagsdkError, match="cannot be read"):
        import_readings(target, tmp_path / "nowhere")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_break_the_import(tmp_path, noise, at):
    store = Store(tmp_path / "s")
    if not list(store.readings()):
        store.add(kept())
    export_readings(store, tmp_path / "r")
    whole = (tmp_path / "r").read_bytes()
    (tmp_path / "bad").write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    target = Store(tmp_path / "target")
    try:
        import_readings(target, tmp_path / "bad")
    except NagsdkError:
        assert not list(target.readings())
    else:
        assert (tmp_path / "bad").read_bytes() == whole
        (tmp_path / "target").unlink()


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path):
    store = Store(tmp_path / "s.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_readings(store, tmp_path / "file" / "r")


def test_keys_distinguish_settings():
    device = Device("d", "", "onnxruntime", precision="fp32")
    presence = Presence.of({"runtime": "ORT", "runtime_version": "1"})
    base = MeasurementKey.of(device, presence, Protocol())
    others = [
        MeasurementKey.of(Device("d", "", "onnxruntime", precision="fp16"), presence, Protocol()),
        MeasurementKey.of(Device("d", "", "onnxruntime", precision="fp32", threads=2), presence, Protocol()),
        MeasurementKey.of(Device("d", "", "onnxruntime", precision="fp32", batch=2), presence, Protocol()),
        MeasurementKey.of(device, Presence.of({"runtime": "ORT", "runtime_version": "2"}), Protocol()),
        MeasurementKey.of(
            device, Presence.of({"runtime": "ORT", "runtime_version": "1", "rewrite": "split"}), Protocol()
        ),
        MeasurementKey.of(device, presence, Protocol(runs=7)),
    ]
    assert len({key.hash for key in (base, *others)}) == 7
    assert MeasurementKey.from_dict(json.loads(json.dumps(base.to_dict()))) == base
    for broken in (
        {},
        {**base.to_dict(), "threads": "1"},
        {**base.to_dict(), "more": 1},
        {**base.to_dict(), "device": "x" * 1000},
    ):
        with pytest.raises(NagsdkError, match="key of a measurement"):
            MeasurementKey.from_dict(broken)
