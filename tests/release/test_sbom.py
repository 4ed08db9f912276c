"""The list of packages that a release comes with is valid CycloneDX and complete."""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.nightly, pytest.mark.wheel]
PROGRAMS = REPOSITORY / ".venv-release" / ("Scripts" if os.name == "nt" else "bin")
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1], encoding="utf-8").read()
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or ""))
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """The list for the environment of the tests, made as `make sbom` makes the one of the wheel."""
    if not PROGRAMS.is_dir():
        pytest.skip("cyclonedx-bom is not installed: `make sbom` installs it")
    path = tmp_path_factory.mktemp("sbom") / "nagsdk.cdx.json"
    command = [PROGRAMS / "cyclonedx-py", "environment", "--pyproject", REPOSITORY / "pyproject.toml"]
    options = ["--output-reproducible", "--output-file", path, sys.executable]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return path


def validate(path):
    command = [PROGRAMS / "python", "-c", VALIDATE, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_valid(listed, tmp_path):
    assert validate(listed).returncode == 0
    wrong = json.loads(listed.read_text("utf-8"))
    wrong["components"][0]["type"] = "nonsense"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    assert validate(tmp_path / "wrong.json").returncode == 1


def test_it_names_the_project_and_every_dependency(listed):
    content = json.loads(listed.read_text("utf-8"))
    root = content["metadata"]["component"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert (root["name"], root["version"]) == ("nagsdk", project["version"])
    packages = {canonicalize_name(component["name"]): component for component in content["components"]}
    asked = [r for r in map(Requirement, project["dependencies"]) if not r.marker or r.marker.evaluate()]
    assert {canonicalize_name(requirement.name) for requirement in asked} <= packages.keys()
    assert all(
        component["purl"].startswith("pkg:pypi/") for component in packages.values() if component["name"] != "nagsdk"
    )
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in content["dependencies"]}
    assert len(edges[root["bom-ref"]]) >= len(asked)
