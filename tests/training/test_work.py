"""Unfinished work is continued, and nothing else is overwritten by it."""

import json

import pytest

from nagsdk.errors import OutputError
from nagsdk.training.work import work_of


@pytest.fixture
def work(tmp_path):
    (tmp_path / "flowers.work").mkdir()
    return tmp_path / "flowers.work"


def plan(**changes):
    names = ("images", "space", "init", "recipe", "epochs", "batch", "subnets", "flip", "seed")
    return json.dumps(dict.fromkeys(names, 1) | changes)


def test_a_new_an_empty_and_an_unfinished_folder_are_taken(work):
    assert work_of(work.with_suffix("")) == work
    (work / "0123456789abcdef-images-300-0").mkdir()  # of nagsdk predictor fit
    assert work_of(work.with_suffix("")) == work
    (work / "plan.json").write_text(plan())
    (work / "test.webp").touch()
    assert work_of(work.with_suffix("")) == work
    assert work_of(work.parent / "new") == work.parent / "new.work"


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"images": 1}'])
def test_a_folder_with_another_plan_is_refused(work, content):
    (work / "plan.json").write_text(content)
    (work / "step-1.safetensors").write_text("mine")
    with pytest.raises(OutputError, match=r"plan\.json, step-1\.safetensors"):
        work_of(work.with_suffix(""))


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "a.work").touch()
    with pytest.raises(OutputError, match="a file exists where a folder is needed"):
        work_of(tmp_path / "a")
