import csv
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures

SPACE = ofa_mobilenet_v3()
ROW = {"ks": "3" * 20, "e": "346" + "3" * 17, "d": "23422", "r": "224"}


def written(path, rows, header=None):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header or list(rows[0]))
        writer.writerows(row.values() if isinstance(row, dict) else row for row in rows)
    return path


def digits_of(architecture, filler, space=SPACE):
    """The CSV form of an architecture; `filler` is written at inactive positions."""
    chosen = [space.block_choice(c) if (c := architecture.code[b.decision]) >= 0 else filler for b in space.blocks]
    s = space.settings(architecture)
    return {
        "ks": "".join(str(k) for k, _ in chosen),
        "e": "".join(str(e) for _, e in chosen),
        "d": "".join(map(str, s.depths)),
        "r": str(s.resolution),
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 0), (7, 6), (9, 9)]), st.integers(1, 40))
def test_reads_back_any_architecture(tmp_path_factory, seed, filler, count):
    architectures = SPACE.decode(SPACE.sample(count, np.random.default_rng(seed)))
    path = written(
        tmp_path_factory.mktemp("t") / "a.csv",
        [{"note": f"n{i}", **digits_of(a, filler), "top1": "7"} for i, a in enumerate(architectures)],
    )
    codes, columns = read_architectures(path, SPACE)
    assert codes.dtype == np.int8
    assert (SPACE.validate(codes) == codes).all()
    assert SPACE.decode(codes) == architectures
    assert set(columns) == {"note", "top1"}
    assert columns["note"].tolist() == [f"n{i}" for i in range(count)]


@pytest.mark.parametrize(
    ("change", "line", "legal"),
    [
        ({"ks": "4" + "3" * 19}, 3, "Legal values: 3, 5, 7"),
        ({"e": "5" + "3" * 19}, 3, "Legal values: 3, 4, 6"),
        ({"d": "23425"}, 3, "Legal values: 2, 3, 4"),
        ({"d": "2342"}, 3, "5 digits"),
        ({"ks": "3" * 21}, 3, "20 digits"),
        ({"e": "x" * 20}, 3, "20 digits"),
        ({"e": "３" * 20}, 3, "20 digits"),
        ({"ks": ""}, 3, "20 digits"),
        ({"r": "225"}, 3, "Legal resolutions: 160, 164"),
        ({"r": "-1"}, 3, "Legal resolutions: 160, 164"),
        ({"r": ""}, 3, "Legal resolutions: 160, 164"),
        ({"r": "9" * 5000}, 3, "Legal resolutions: 160, 164"),
    ],
)
def test_refuses_a_bad_row_by_line_and_legal_values(tmp_path, change, line, legal):
    with pytest.raises(ArchitectureError) as caught:
        read_architectures(written(tmp_path / "a.csv", [ROW, {**ROW, **change}, {**ROW, **change}]), SPACE)
    assert f"line {line}" in caught.value.message
    assert legal in caught.value.next_step
    assert len(str(caught.value)) < 1000


def test_inactive_digits_are_ignored_and_active_ones_are_not(tmp_path):
    inactive, active = "33" + "99" + "3" * 16, "39" + "33" + "3" * 16
    assert len(read_architectures(written(tmp_path / "a.csv", [{**ROW, "ks": inactive}]), SPACE)[0]) == 1
    with pytest.raises(ArchitectureError, match="stage1.block2"):
        read_architectures(written(tmp_path / "b.csv", [{**ROW, "ks": active}]), SPACE)


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ks,e,d,r\n\n" + ",".join(ROW.values()) + '\n\n"3\n3",3,3,3\n')
    with pytest.raises(ArchitectureError, match="line 6"):
        read_architectures(path, SPACE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ks,e,d\n",
        b"ks,e,d,r,r\n",
        b"ks,e,d,r,x,x\n",
        b"ks,e,d,r\n1,2\n",
        b"ks,e,d,r\n" + b"1," * 300 + b"\n",
        b"\xff\xfe\x00",
        b'ks,e,d,r\n"1',
        b"ks,e,d,r\n\x00,\x00,\x00,\x00\n",
    ],
)
def test_refuses_files_that_are_not_tables(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ArchitectureError):
        read_architectures(tmp_path / "a.csv", SPACE)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=string.digits + ',"\n\r\tksedr\x00é', max_size=200), st.booleans())
def test_any_text_is_read_or_refused(tmp_path_factory, text, headed):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    path.write_text(("ks,e,d,r\n" if headed else "") + text, encoding="utf-8", newline="")
    try:
        codes, _ = read_architectures(path, SPACE)
    except ArchitectureError:
        return
    SPACE.validate(codes)


def test_missing_folder_and_oversized_files_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(ArchitectureError):
            read_architectures(path, SPACE)
    monkeypatch.setattr("nagsdk.space.table._MOST_BYTES", 10)
    with pytest.raises(ArchitectureError, match="larger"):
        read_architectures(written(tmp_path / "a.csv", [ROW]), SPACE)


def test_header_alone_is_no_architecture_and_marks_and_spaces_are_forgiven(tmp_path):
    (tmp_path / "a.csv").write_text("ks,e,d,r\n")
    assert read_architectures(tmp_path / "a.csv", SPACE)[0].shape == (0, len(SPACE.decisions))
    (tmp_path / "b.csv").write_bytes(
        b"\xef\xbb\xbf r ,ks,e,d\r\n" + ",".join([" 160 ", ROW["ks"], ROW["e"], ROW["d"]]).encode() + b"\r\n"
    )
    assert SPACE.decode(read_architectures(tmp_path / "b.csv", SPACE)[0])[0].resolution == 160


def test_other_spaces(tmp_path, tiny_space):
    rows = [
        digits_of(a, (0, 0), tiny_space) for a in tiny_space.decode(tiny_space.sample(50, np.random.default_rng(0)))
    ]
    codes, _ = read_architectures(written(tmp_path / "a.csv", rows), tiny_space)
    assert [digits_of(a, (0, 0), tiny_space) for a in tiny_space.decode(codes)] == rows


def test_reads_the_published_tables(shared):
    codes, columns = read_architectures(shared / "data" / "ofa_mbv3_w1.0_imagenet_top1.csv", SPACE)
    assert len(codes) == 1819
    # The table contains the MACs of every row, which checks the decoding independently.
    assert [SPACE.macs(a) for a in SPACE.decode(codes[:50])] == columns["macs"][:50].astype(int).tolist()
