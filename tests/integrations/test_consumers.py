"""Tries the exported files with other programs; recipes/consumers.py does it with those that are not installed here."""

import re
import sys
import textwrap
from pathlib import Path

import pytest
from cpuinfo import get_cpu_info

from tests.conftest import REPOSITORY

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'nagsdk[litert]'")
sys.path.insert(0, str(REPOSITORY / "recipes"))

import consumers
from consumers import KINDS, ROWS, fault, names, reads, tried, write_files
from readers import PROGRAMS

PAGE = (REPOSITORY / "docs/consumers.md").read_text("utf-8")
COUNT = 20  # images; the recipe takes more
NOTED = {(row.program, kind) for row in ROWS for title, kind in consumers.NOTES if title == row.title}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder, COUNT)
    return folder


def saturates():
    """Whether this processor adds pairs of products of 8-bit integers in 16 bits, as OpenVINO uses it."""
    processor = get_cpu_info()
    return processor.get("arch") == "X86_64" and not any("vnni" in flag for flag in processor.get("flags", []))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_computes_what_the_runtime_of_nagsdk_does(files, name):
    if missing := PROGRAMS[name].missing:
        pytest.skip(f"{missing} is not installed: python recipes/consumers.py tries {name}")
    results = tried(name, Path(sys.executable), files)
    batches = next((row.batches for row in ROWS if row.program == name), consumers.BATCHES)
    cells = [(kind, results[file]) for kind in KINDS if reads(name, kind) for file in names(kind, batches)]
    assert cells
    for kind, result in cells:
        if (name, kind) == ("openvino", "int8") and saturates():
            assert result["equal"] >= 0.9 * COUNT  # 8-bit weights; docs/int8.md says so
        elif (name, kind) not in NOTED:
            assert fault(result, name, kind, COUNT) == ""
        elif "equal" in result:  # what a note excuses is rounding or a refusal, never garbage
            assert result["equal"] >= 0.9 * COUNT and result["error"] < 0.25


@pytest.mark.skipif(sys.platform == "win32", reason="the program that crashes is a shell script")
def test_a_program_that_crashes_is_started_again_for_the_other_files(tmp_path):
    crashing = tmp_path / "python"
    crashing.write_text(
        """#!/bin/sh
[ -e started ] && echo '{"a": {"reason": "crash"}, "b": {"equal": 64}}' > onnx.json && exit
touch started; echo '{"a": {"reason": "crash"}}' > onnx.json; exit 1
"""
    )
    crashing.chmod(0o755)
    assert tried("onnx", crashing, tmp_path) == {"a": {"reason": "crash"}, "b": {"equal": 64}}
    crashing.write_text("#!/bin/sh\necho no such package >&2; exit 1\n")
    (tmp_path / "onnx.json").unlink()
    with pytest.raises(ValueError, match="no such package"):
        tried("onnx", crashing, tmp_path)


def test_the_faults_of_a_result_are_told():
    assert fault({"equal": 64, "error": 1e-6}, "opencv", "fp32", 64) == ""
    assert "63 of 64" in fault({"equal": 63, "error": 1e-6}, "opencv", "fp32", 64)
    assert "2.0e-04" in fault({"equal": 64, "error": 2e-4}, "opencv", "fp32", 64)
    assert fault({"equal": 64, "error": 0.05}, "litert", "int8-dynamic", 64) == ""
    assert fault({"reason": "the process ended"}, "opencv", "int8-dynamic", 64) == "the process ended"


def test_the_table_of_the_page_is_complete():
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")
    ]
    assert lines[0] == ["program", *KINDS]
    assert [line[0] for line in lines[2:]] == [row.title for row in ROWS]
    notes = dict(re.findall(r"^(\d)\. (.+)$", PAGE, re.M))
    for row, line in zip(ROWS, lines[2:], strict=True):
        for kind, cell in zip(KINDS, line[1:], strict=True):
            if not reads(row.program, kind):
                assert cell == ""
            elif (row.title, kind) in consumers.NOTES:
                assert notes[re.search(r"\[(\d)\]$", cell)[1]] == consumers.NOTES[row.title, kind]
            else:
                assert re.fullmatch(r"64, \de[+-]\d\d", cell)


def test_every_row_is_of_a_program_and_every_note_of_a_row():
    assert {row.program for row in ROWS} <= set(PROGRAMS)
    assert {title for title, _ in consumers.NOTES} <= {row.title for row in ROWS}


def test_the_number_of_images_can_be_freed_as_the_page_says(files, tmp_path, monkeypatch):
    import numpy as np
    import onnxruntime

    (block,) = (b for b in re.findall(r"```python\n(.+?)```", PAGE, re.S) if "update_model_dims" in b)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes((files / "opset17_1.onnx").read_bytes())
    exec(textwrap.dedent(block), {})
    session = onnxruntime.InferenceSession("free.onnx", providers=["CPUExecutionProvider"])
    images, expected = (np.load(files / name) for name in ("images.npy", "opset17_1.onnx.npy"))
    assert np.abs(session.run(None, {"image": images[:5]})[0] - expected[:5]).max() < 1e-4
