import csv
import json

import numpy as np
import pytest

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

SPACE = ofa_mobilenet_v3()


def content(seed=0, filler=(7, 6)):
    """An architecture and its dictionary, in which inactive places have any value."""
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))
    chosen = [SPACE.block_choice(c) if (c := architecture.code[b.decision]) >= 0 else filler for b in SPACE.blocks]
    depths = list(SPACE.settings(architecture).depths)
    held = {"wid": None, "ks": [k for k, _ in chosen], "e": [e for _, e in chosen], "d": depths}
    return architecture, {**held, "r": [architecture.resolution]}


@pytest.mark.parametrize("write", [json.dumps, repr, lambda d: f"  {json.dumps(d, indent=2)}\n"])
@pytest.mark.parametrize("filler", [(7, 6), (0, 0), (99, 99)])
def test_a_dictionary_is_an_architecture(write, filler):
    for seed in range(5):
        architecture, given = content(seed, filler)
        assert SPACE.parse(write(given)) == architecture
        assert SPACE.parse(write({**given, "r": given["r"][0]})) == architecture


def test_one_value_holds_for_all_places():
    found = SPACE.parse("{'ks': 7, 'e': 6, 'd': 4, 'r': 224}")
    assert found == SPACE.architecture(kernels=[7] * 20, expansions=[6] * 20, depths=[4] * 5, resolution=224)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "OFAMobileNetV3", "first_conv": {}, "blocks": []}', "net.config"),
        ("{'ks': 7, 'e': 6, 'd': 4}", "missing r"),
        ("{'ks': [7, 7], 'e': 6, 'd': 4, 'r': 224}", "2 kernels"),
        ("{'ks': 7, 'e': 6, 'd': 4, 'r': [160, 224]}", "2 values"),
        ("{'ks': 'seven', 'e': 6, 'd': 4, 'r': 224}", "whole numbers"),
        ("{'ks': [[7]], 'e': 6, 'd': 4, 'r': 224}", "whole numbers"),
        ("{'ks': [], 'e': 6, 'd': 4, 'r': 224}", "whole numbers"),
        ('{"ks": NaN, "e": 6, "d": 4, "r": 224}', "whole numbers"),
        ('{"ks": Infinity, "e": 6, "d": 4, "r": 224}', "whole numbers"),
        ("{'ks': 7, 'e': True, 'd': 4, 'r': 224}", "whole numbers"),
        ("{'ks': 7, 'e': 6, 'd': 4, 'r': 224, 'wid': 3}", "width"),
        ("{'ks': 9, 'e': 6, 'd': 4, 'r': 224}", "not in this space"),
        ("{'ks': __import__('os').getpid(), 'e': 6, 'd': 4, 'r': 224}", "neither JSON"),
        ("{" * 5000, "neither JSON"),
        ('{"a":' * 1900, "neither JSON"),
        ("{" + " " * 200_000, "longer than"),
    ],
)
def test_others_are_refused_by_what_they_are(text, says):
    with pytest.raises(ArchitectureError) as caught:
        SPACE.parse(text)
    assert says in caught.value.message and caught.value.next_step


def _pairs():
    return [content(seed) for seed in range(3)]


@pytest.mark.parametrize(
    "write",
    [
        lambda given: json.dumps(given),
        lambda given: "\ufeff" + repr(given),
        lambda given: "\n".join(map(json.dumps, given)),
        lambda given: "\r\n".join(map(repr, given)) + "\r\n",
        lambda given: json.dumps([{"arch": g, "top1": 70.5} for g in given]),
    ],
)
def test_files_of_dictionaries_are_tables(tmp_path, write):
    pairs = _pairs()
    (tmp_path / "a.json").write_text(write([given for _, given in pairs]), encoding="utf-8", newline="")
    codes, columns = SPACE.read_table(tmp_path / "a.json")
    assert SPACE.decode(codes) == [architecture for architecture, _ in pairs]
    assert {name: list(column) for name, column in columns.items()} in ({}, {"top1": ["70.5"] * 3})


def test_one_dictionary_is_a_table_too(tmp_path):
    architecture, given = content()
    (tmp_path / "a.json").write_text(json.dumps(given))
    assert SPACE.decode(SPACE.read_table(tmp_path / "a.json")[0]) == [architecture]


def _csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_columns_may_hold_dictionaries_or_lists(tmp_path):
    pairs = _pairs()
    expected = [architecture for architecture, _ in pairs]
    found, columns = SPACE.read_table(
        _csv(tmp_path / "a.csv", ("Sub-network", "Top-1"), [(repr(given), "76") for _, given in pairs])
    )
    assert SPACE.decode(found) == expected and list(columns["Top-1"]) == ["76"] * 3
    rows = [[given[name] for name in ("ks", "e", "d", "r")] for _, given in pairs]
    assert SPACE.decode(SPACE.read_table(_csv(tmp_path / "b.csv", ("ks", "e", "d", "r"), rows))[0]) == expected


def test_the_place_of_a_mistake_is_named(tmp_path):
    _, given = content()
    (tmp_path / "a.json").write_text(json.dumps([given, {**given, "d": [9] * 5}, given]))
    with pytest.raises(ArchitectureError, match=r"a\.json, architecture 2: "):
        SPACE.read_table(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(json.dumps([given, {"ks": 3}]))
    with pytest.raises(ArchitectureError, match=r"b\.json, dictionary 2: .* missing e, d, r"):
        SPACE.read_table(tmp_path / "b.json")
    with pytest.raises(ArchitectureError, match=r"c\.csv, line 3: "):
        SPACE.read_table(_csv(tmp_path / "c.csv", ("arch",), [(repr(given),), ("{'ks'",)]))
    (tmp_path / "d.csv").write_text("ks;e;d;r\n3;3;2;224\n")
    with pytest.raises(ArchitectureError, match="semicolons"):
        SPACE.read_table(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty, and no table"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, and no table"),
        ("ks,e,d,r\n7,6,4,224\n".encode("utf-16"), "is in UTF-16"),
        ('[{"ks": 7}]'.encode("utf-16"), "is in UTF-16"),
        (b"PK\x03\x04..archive/data.pkl", "is a checkpoint of PyTorch"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "is a pickle, such as a checkpoint"),
        ("ks,e,d,r,größe\n".encode("latin-1"), "cannot be read as a table"),
        (b"ks\te\td\tr\n7\t6\t4\t224\n", "by tabs"),
        (b'[{"ks": 7, "e": 6,', "a.json: "),
        (b"null", "does not have every column"),
        (b"ks: 7\ne: 6\n", "does not have every column"),
    ],
)
def test_other_files_are_named_and_the_advice_has_the_columns(tmp_path, content, says):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArchitectureError) as caught:
        SPACE.read_table(tmp_path / "a.json")
    assert says in caught.value.message and "a.json" in caught.value.message
    assert "ks" in caught.value.next_step or "commas" in caught.value.next_step
