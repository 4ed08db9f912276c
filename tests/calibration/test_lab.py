import json
from dataclasses import replace

import numpy as np
import pytest

from nagsdk import inventory
from nagsdk.bundle.bundle import load_bundle
from nagsdk.calibration.lab import FORMAT, Lab, Member, lab_prior
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import flat_prior
from nagsdk.errors import NagsdkError, OutputError, UnknownNameError, UsageError
from nagsdk.measuring.key import MeasurementKey

KEY = MeasurementKey("one", "numbers", "1", "fp32", "none", 1, 1, "protocol")


@pytest.fixture(scope="module")
def small():
    return load_bundle("glyphs").space


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_DATA_DIR", str(tmp_path / "data"))
    return Lab.here()


def member(name="phone", count=5, **changes):
    values = {
        "name": name,
        "title": "A phone",
        "key": KEY.to_dict(),
        "space": "s",
        "date": "2026-01-01",
        "architectures": [f"a{n}" for n in range(count)],
        "p50_ms": [float(n + 1) for n in range(count)],
    }
    return Member.from_dict({**values, **changes})


def test_members_are_kept_exported_and_taken_in_again(lab, tmp_path):
    one, two = member("one"), member("Two", 7)
    assert lab.add([one, two]) == 2 and lab.add([one]) == 0
    assert sorted(m.name for m in lab.members()) == ["Two", "one"]
    assert inventory.export_pool(tmp_path / "lab.json") == 2
    lab.remove("Two")
    assert inventory.import_pool(tmp_path / "lab.json") == 1 and lab.members() == [one, two]
    assert [(m["name"], m["samples"], "device" in m) for m in inventory.pool_members()] == [
        ("one", 5, False),
        ("Two", 7, False),
    ]


def test_a_name_belongs_to_one_member(lab, tmp_path):
    lab.add([member("one")])
    other = member("ONE", 6)
    with pytest.raises(UsageError, match="another member with the name ONE"):
        lab.add([other])
    assert lab.add([other], replacing=True) == 1 and lab.members() == [other]
    with pytest.raises(UnknownNameError, match="nobody"):
        lab.remove("nobody")
    lab.remove("ONE")
    with pytest.raises(OutputError, match="empty"):
        lab.export(tmp_path / "x.json")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../up"},
        {"name": ""},
        {"title": "x" * 1000},
        {"title": 3},
        {"architectures": ["a"] * 4, "p50_ms": [1.0] * 4},
        {"p50_ms": [1.0] * 4},
        {"p50_ms": [1.0, 2.0, 3.0, 4.0, -5.0]},
        {"p50_ms": [1.0, 2.0, 3.0, 4.0, True]},
        {"p50_ms": [1.0, 2.0, 3.0, 4.0, 1e99]},
        {"architectures": "abcde"},
        {"key": {}},
        {"key": None},
        {"space": None},
        {"more": 1},
    ],
)
def test_a_file_with_a_bad_member_adds_nothing(lab, tmp_path, change):
    good = member("good").to_dict()
    bad = {**member("bad").to_dict(), **change}
    file = tmp_path / "lab.json"
    file.write_text(json.dumps({"format": FORMAT, "members": [good, bad]}))
    with pytest.raises(UsageError, match="cannot be read as a pool"):
        lab.take_in(file)
    assert lab.members() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"format": "nagsdk-lab-pool/1"}',
        '{"format": "nagsdk-lab-pool/2", "members": []}',
        '{"format": "nagsdk-lab-pool/1", "members": {}}',
        '{"format": "nagsdk-lab-pool/1", "members": [1]}',
        '{"format": "nagsdk-lab-pool/1", "members": [' + ",".join(["null"] * 201) + "]}",
        "[" * 10_000,
        " " * 17_000_000,
    ],
)
def test_what_is_no_pool_is_refused(lab, tmp_path, text):
    file = tmp_path / "lab.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="cannot be read as a pool"):
        lab.take_in(file)
    with pytest.raises(NagsdkError):
        lab.take_in(tmp_path / "missing.json")


def test_two_members_of_one_file_have_two_names(lab, tmp_path):
    file = tmp_path / "lab.json"
    file.write_text(json.dumps({"format": FORMAT, "members": [member("a").to_dict(), member("A").to_dict()]}))
    with pytest.raises(UsageError, match="same name"):
        lab.take_in(file)


def test_only_other_devices_with_the_same_settings_tell_something(small):
    mine = replace(member(), space=small.fingerprint)
    assert mine.alike(replace(KEY, device="two", runtime_version="2"), small)
    assert not mine.alike(KEY, small)
    for change in ({"runtime": "x"}, {"precision": "int8"}, {"threads": 2}, {"batch": 2}, {"rewrite": "split"}):
        assert not mine.alike(replace(KEY, device="two", **change), small)
    assert not member().alike(replace(KEY, device="two"), small)


def test_five_samples_with_a_pool_do_better_than_without(small):
    table, rng = FeatureTable.of(small), np.random.default_rng(0)
    common = np.divide(1.0, table.typical, out=np.zeros_like(table.typical), where=table.typical > 0)
    common *= np.exp(rng.normal(0, 1.5, len(common)))
    devices = [common * np.exp(rng.normal(0, 0.1, len(common)) + rng.normal(0, 0.5)) for _ in range(4)]
    latency = lambda prices, codes: table.of_codes(codes) @ prices  # noqa: E731

    def measured(number):
        codes = small.sample(20, rng)
        texts = tuple(a.text for a in small.decode(codes))
        return Member(f"d{number}", "", KEY, small.fingerprint, "", texts, tuple(latency(devices[number], codes)))

    known = lab_prior(small, [measured(number) for number in (1, 2, 3)])
    assert known.source["members"] == ["d1", "d2", "d3"] and np.isfinite(known.spread)
    codes, fresh = small.sample(5, rng), small.sample(300, rng)
    errors = []
    for prior in (known, flat_prior(table)):
        found = CostModel.fit(small, prior, codes, latency(devices[0], codes)).mean(fresh)
        errors.append(float(np.sqrt(np.mean((found / latency(devices[0], fresh) - 1) ** 2))))
    assert errors[0] < 0.5 * errors[1]


def test_what_is_known_of_the_device_counts_like_a_member(small):
    table = FeatureTable.of(small)
    described = replace(flat_prior(table), spread=0.2)
    codes = small.sample(10, np.random.default_rng(0))
    ms = tuple(3.0 * (table.of_codes(codes) @ described.weights))
    one = Member("a", "", KEY, small.fingerprint, "", tuple(a.text for a in small.decode(codes)), ms)
    alone, both = lab_prior(small, [one]), lab_prior(small, [one], described)
    assert alone.spread == 1.0 and both.spread < 1.0
    assert table.typical @ described.weights < table.typical @ both.weights < table.typical @ alone.weights


def test_an_architecture_of_another_space_is_refused(small):
    with pytest.raises(NagsdkError):
        lab_prior(small, [member()])
