import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import all as everything

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main" in path.read_text("utf-8")} - {"all"}


def test_every_benchmark_is_run_or_listed_by_make_bench():
    elsewhere = set(re.findall(r"benchmarks/(\w+)\.py", " ".join(everything.ELSEWHERE)))
    assert {*everything.HERE_ONLY, *(name.split()[0] for name in everything.WITH_DATA), *elsewhere} == SCRIPTS


def test_the_page_of_figures_names_the_command_of_every_benchmark():
    page = (ROOT / "docs" / "figures.md").read_text("utf-8")
    assert set(re.findall(r"(\w+)\.py", page)) >= SCRIPTS
    for path in re.findall(r"(?:benchmarks|recipes|tests)/[\w/]+\.py", page):
        assert (ROOT / path).is_file(), path
