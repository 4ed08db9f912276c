"""The messages that the page on troubleshooting quotes are those of the code."""

import ast
import re

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/troubleshooting.md").read_text("utf-8")
QUOTES = re.findall(r"\"([^\"]+)\"", " ".join(re.findall(r"\*\*(.+?)\*\*", PAGE, re.DOTALL)))
QUOTES += re.findall(r"says\s+`([^`]+)`", PAGE)
# What stands for a value: an ellipsis, a number with what is counted, a name.
VALUES = r"…|\b[NM]\b(?: images| phones)?|\bprocess N\b|\bimagenet\b|\bnagsdk\.lock\b|\bxnnpack\b"


@pytest.fixture(scope="module")
def texts():
    """Every text of the core and of the plugins, with a space in the place of each value."""
    found = []
    for folder in ("nagsdk", "plugins"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(v.value if isinstance(v, ast.Constant) else " " for v in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return [" ".join(text.split()) for text in found]


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_of_the_code(quote, texts):
    parts = [re.escape(part) for part in re.split(VALUES, " ".join(quote.split()))]
    pattern = re.compile(".*".join(parts).replace(r"\ ", " *"))
    assert any(pattern.search(text) for text in texts), quote


def test_the_page_quotes_messages():
    assert len(QUOTES) > 15
