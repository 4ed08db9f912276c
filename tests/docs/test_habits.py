"""Checks the files that an open-source project is expected to have: complete and consistent with the code."""

import json
import re
import sqlite3
import tomllib
from contextlib import closing

import pytest

import nagsdk
from nagsdk.cost import card, prior
from nagsdk.generator import generator
from nagsdk.measuring import store, store_file
from nagsdk.plugin import API_VERSION
from nagsdk.predictor import model
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
# The pages at the root of the repository, and the pages of the documentation that belong to them.
PAGES = sorted([*REPOSITORY.glob("*.md"), *DECISIONS, DOCS / "releases.md", DOCS / "glossary.md"])
PROSE = sorted(page for page in {*PAGES, *DOCS.rglob("*.md")} if not page.name.startswith("reference-"))
TERMS = """
    architecture, budget, bundle, burst, calibration, confidence, cost model, deployment, drift, frontier, generator,
    held, lock, manifest, missed, pace, pin, precision, prior, reference network, rewrite, serial, session, subnet,
    supernet, target, unverified, upper bound
"""
HEADINGS = ("Added", "Changed", "Fixed", "Removed", "Security")
MOST = 120


def parsed(name):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: `make docs` installs it")
    return yaml.safe_load((REPOSITORY / name).read_text("utf-8"))


def name(page):
    return str(page.relative_to(REPOSITORY))


def test_citation_names_the_software_and_the_papers():
    citation = parsed("CITATION.cff")
    assert (citation["cff-version"], citation["title"], citation["type"]) == ("1.2.0", "nagsdk", "software")
    assert citation["authors"] == [{"name": "The nagsdk contributors"}]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["license"] == project["license"]
    by_title = {reference["title"]: reference for reference in citation["references"]}
    assert all(reference["authors"] and reference["year"] for reference in by_title.values())
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    assert any(f"*{title}*" in readme for title in by_title)


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    (cited,) = re.findall(r"^version: (.+)$", (REPOSITORY / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited == project["version"] == nagsdk.__version__


@pytest.mark.parametrize("page", ["decisions/index.md", "architecture.md"])
def test_lists_of_decisions_have_every_record(page):
    text = (DOCS / page).read_text("utf-8")
    # The links of both pages end in the name of a record.
    listed = re.findall(r"\[([^\]]+)\]\((?:decisions/)?(\d{4}-[a-z0-9-]+\.md)\)", text)
    assert listed == [(path.read_text("utf-8").splitlines()[0].partition(". ")[2], path.name) for path in DECISIONS]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_record_says_context_decision_and_consequences(page):
    text = page.read_text("utf-8")
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert page.name[:4] == f"{DECISIONS.index(page) + 1:04}"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert re.search(r"^Status: (accepted|replaced by decision \d+)$", text, re.MULTILINE)
    assert 10 <= len(text.splitlines()) <= 30


def test_the_glossary_explains_every_term_in_a_few_words():
    explained = re.findall(r"^## (.+)\n\n(.+(?:\n.+)*)$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    words = [term for term, _ in explained]
    assert words == sorted(set(words))
    assert {" ".join(term.split()) for term in TERMS.split(",")} <= set(words)
    assert all(len(text.split()) <= 60 and text.rstrip().endswith((".", ")")) for _, text in explained)


def test_the_changelog_has_a_line_for_each_change():
    text = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    versions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert versions[0].startswith("Unreleased\n")
    for version in versions:
        sections = re.split(r"^### ", version, flags=re.MULTILINE)[1:]
        headings = [section.splitlines()[0] for section in sections]
        assert headings == [heading for heading in HEADINGS if heading in headings]
        for line in (line for section in sections for line in section.splitlines()[1:] if line):
            assert line.startswith("- ") and len(line) <= MOST, line


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_lines_of_prose_are_short(page):
    fenced = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        assert fenced or len(line) <= MOST or line.startswith(("|", "    ")), f"{name(page)}:{number}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_points_to_is_there(page):
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:nagsdk|plugins|docs|tests|recipes|\.github|\.ci)/[\w./-]+)`", text):
        # A word in capitals is a placeholder for a name that the reader chooses.
        assert re.search("[A-Z]{4}", path) or (REPOSITORY / path).exists(), path


def formats(folder):
    """The format number in the code for every row of the table, by the text with which the row starts."""
    schemas = {kind: DOCS / f"schemas/{kind}.schema.json" for kind in ("manifest", "lock", "bundle")}
    stated = {kind: json.loads(path.read_text("utf-8"))["properties"]["format"] for kind, path in schemas.items()}
    store.Store(folder / "store.sqlite")
    with closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        (kept,) = connection.execute("pragma user_version").fetchone()
    from nagsdk.supernet.resume import RULE

    return {
        "plugin API": API_VERSION,
        "`manifest.json`": stated["manifest"]["const"],
        "`nagsdk.lock`": stated["lock"]["const"],
        "`bundle.json`": stated["bundle"]["maximum"],
        "accuracy predictor": model.FORMAT,
        "generator": generator.FORMAT,
        "store": kept,
        "exported readings": int(store_file.FORMAT.rpartition("/")[2]),
        "cost model": int(card.FORMAT.rpartition("/")[2]),
        "prior": int(prior.FORMAT.rpartition("/")[2]),
        "checkpoint": RULE,
    }


def test_the_page_of_releases_knows_every_format(tmp_path):
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (.+?) \|", (DOCS / "releases.md").read_text("utf-8"), re.MULTILINE)
    expected = formats(tmp_path)
    assert len(rows) == len(expected)
    for (what, number, place), (begins, known) in zip(rows, expected.items(), strict=True):
        assert what.startswith(begins) and int(number) == known, what
        for text in (store_file.FORMAT, card.FORMAT, prior.FORMAT):
            assert text.rpartition("/")[0] not in place or text in place


def test_hooks_before_a_commit_are_those_of_make_lint():
    config = (REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8")
    hooks = re.findall(r"^ +entry: \.venv/bin/(.+)$", config, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    (parts,) = re.findall(r"^lint: (.+)$", makefile, re.MULTILINE)
    recipes = {part: re.findall(rf"^{part}:.*\n((?:\t.+\n)+)", makefile, re.MULTILINE) for part in parts.split()}
    commands = [c for (recipe,) in recipes.values() for c in re.findall(r"^\t\$\(BIN\)/(.+)$", recipe, re.MULTILINE)]
    # The hook formats files where `make lint` only checks them, and git passes the names of the files.
    assert sorted(hooks) == sorted(command.removesuffix(" .").removesuffix(" --check") for command in commands)


@pytest.mark.parametrize("path", sorted((REPOSITORY / ".github").rglob("*.yml"), key=str), ids=name)
def test_files_for_github_parse(path):
    assert parsed(name(path))


def test_the_workflows_do_what_the_makefile_knows():
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    texts = [path.read_text("utf-8") for path in (REPOSITORY / ".github/workflows").glob("*.yml")]
    made = [word for text in texts for run in re.findall(r"run: make ([a-z -]+)", text) for word in run.split()]
    assert {"lint", "docs", "lock", "audit", "sbom"} == set(made)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in made)
    workflow = parsed(".github/workflows/ci.yml")
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert f">={pythons[0]}" == project["requires-python"]
    assert "not been run yet" in (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
