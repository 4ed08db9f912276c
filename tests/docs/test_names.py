"""Every module, name and path that the documentation names exists, under its present name."""

import ast
import re
import tomllib
from pkgutil import resolve_name

import pytest

from nagsdk.cli import COMMANDS
from nagsdk.common.moved import MOVED
from tests.conftest import REPOSITORY
from tests.docs.blocks import blocks

FILES = ("nagsdk.toml", "nagsdk.lock", "nagsdk.gradle", "nagsdk.cdx.json")
FOLDERS = "nagsdk|plugins|tests|docs|recipes|benchmarks|integrations|bundles|devices"
# The changelog names what was, and the reference pages are made from the code.
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "SECURITY.md",
    *sorted(page for page in (REPOSITORY / "docs").rglob("*.md") if not page.name.startswith("reference-")),
]


def label(page):
    return str(page.relative_to(REPOSITORY))


def names_in(text):
    found = re.findall(r"(?<![\w./-])nagsdk(?:\.[A-Za-z_]\w*)+", text)
    return {name for name in found if not name.startswith(FILES)}


def paths_in(text):
    return {path.rstrip(".") for path in re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*", text)}


def exists(path):
    # A word in capitals stands for a name that a reader chooses; the tutorial's plugin is made from the template.
    chosen = re.search(r"\b[A-Z]{4,}\b|_NAME", path) is not None
    made = REPOSITORY / "plugins/template" / path.replace("board", "template")
    return chosen or (REPOSITORY / path).exists() or made.exists()


def imports_of(page):
    """Names that the Python blocks import from the package, as ``module:name``."""
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nagsdk":
                    yield from (f"{node.module}:{alias.name}" for alias in node.names)


def resolve(name):
    module = ".".join(name.replace(":", ".").split(".")[:2])
    if module in MOVED:
        raise ImportError(f"{module} is {' and '.join(MOVED[module])} now")
    return resolve_name(name)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_name_exists(page):
    for name in sorted({*names_in(page.read_text("utf-8")), *imports_of(page)}):
        try:
            resolve(name)
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{label(page)} names {name}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_path_exists(page):
    missing = sorted(path for path in paths_in(page.read_text("utf-8")) if not exists(path))
    assert not missing, f"{label(page)} names {', '.join(missing)}"


def test_names_and_paths_are_found():
    """What the two tests above look for is really in the pages."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert {"nagsdk.Target", "nagsdk.deploy", "nagsdk.Budget.parse"} <= names_in(text)
    assert {"nagsdk/common/moved.py", "plugins/nagsdk_android/", "tests/plugins/android"} <= paths_in(text)
    assert "nagsdk.cost.metric:Metric" in {name for page in PAGES for name in imports_of(page)}


@pytest.mark.parametrize("name", ["nagsdk.metric", "nagsdk.Targets", "nagsdk.pipeline.workbench", "nagsdk.plugin:Hook"])
def test_a_name_that_moved_or_never_was_is_refused(name):
    with pytest.raises((ImportError, AttributeError)):
        resolve(name)


def test_every_command_is_described():
    page = (REPOSITORY / "docs/cli.md").read_text("utf-8")
    assert [name for name in COMMANDS if not re.search(rf"^\| [^|]*`{name}\b", page, re.MULTILINE)] == []


def test_the_layers_of_the_page_are_those_that_are_checked():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    (contract,) = [c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    from_low = reversed(contract["layers"])
    checked = {name: number for number, layer in enumerate(from_low, 1) for name in re.findall(r"\w+", layer)}
    page = (REPOSITORY / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", page, re.MULTILINE)
    named = {name: int(row) for row, places in rows for name in re.findall(r"`nagsdk/(\w+)(?:/|\.py)`", places)}
    assert named == checked
