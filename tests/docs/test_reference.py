"""The reference pages match the code."""

import importlib.util

import pytest

from nagsdk.cli import COMMANDS
from nagsdk.plugin import hooks as hookspecs
from tests.conftest import REPOSITORY

spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "recipes" / "reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)
PAGES = reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name):
    assert (REPOSITORY / "docs" / name).read_text("utf-8") == PAGES[name], "run: python recipes/reference.py"


def test_the_pages_hold_everything():
    assert all(f"## nagsdk {name}\n" in PAGES["reference-cli.md"] for name in COMMANDS)
    assert all(f"## {name}\n" in PAGES["reference-hooks.md"] for name in vars(hookspecs) if name.startswith("nagsdk_"))
    assert "### deploy\n" in PAGES["reference-python.md"] and "#### Backend.presence\n" in PAGES["reference-python.md"]
    assert " at 0x" not in PAGES["reference-python.md"]
