"""The layout of the package: what a reader may rely on, and what nobody should lose by accident."""

import graphlib
import statistics
import tomllib

import grimp
import pytest

import nagsdk
from tests.conftest import REPOSITORY

PACKAGES = [
    "nagsdk",
    *sorted(p.name for p in (REPOSITORY / "plugins").glob("nagsdk_*") if (p / "__init__.py").is_file()),
]
MOST_LINES, MOST_MEDIAN, MOST_AT_ROOT = 350, 115, 10


@pytest.fixture(scope="module")
def imports():
    """Every import, also those inside functions and those for type checkers alone, by module."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def folder(module):
    """The folder of a module; modules at the root of a package count as folders of their own."""
    return ".".join(module.split(".")[:2])


def circle(edges):
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_no_file_imports_itself_through_others(imports):
    assert circle(imports) is None


def test_no_folder_imports_itself_through_others(imports):
    edges = {}
    for module, targets in imports.items():
        if module not in PACKAGES:
            edges.setdefault(folder(module), set()).update(
                folder(target) for target in targets if target not in PACKAGES and folder(target) != folder(module)
            )
    assert circle(edges) is None


def test_files_stay_short_and_few_lie_at_the_root():
    files = [file for name in ("nagsdk", "plugins") for file in (REPOSITORY / name).rglob("*.py")]
    lines = {file: len(file.read_text("utf-8").splitlines()) for file in files}
    long = {str(file.relative_to(REPOSITORY)): count for file, count in lines.items() if count > MOST_LINES}
    assert long == {}
    own = [count for file, count in lines.items() if (REPOSITORY / "nagsdk") in file.parents]
    assert statistics.median(own) <= MOST_MEDIAN
    assert len(list((REPOSITORY / "nagsdk").glob("*.py"))) <= MOST_AT_ROOT


def test_every_folder_of_tests_mirrors_a_folder_of_the_package():
    folders = {p.name for p in (REPOSITORY / "nagsdk").iterdir() if (p / "__init__.py").is_file()}
    own = {p.name for p in (REPOSITORY / "tests").iterdir() if (p / "__init__.py").is_file()}
    beside = {"chaos", "docs", "fuzz", "integrations", "plugins", "recipes", "release"}
    assert own - beside <= folders


def test_the_version_is_said_once_for_users_and_once_for_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert nagsdk.__version__ == project["version"]
