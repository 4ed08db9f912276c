"""No locked package has a vulnerability that is publicly known."""

import json
import os
import subprocess

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.nightly
PROGRAM = REPOSITORY / ".venv-release" / ("Scripts" if os.name == "nt" else "bin") / "pip-audit"


def audit(*arguments):
    """What pip-audit found, as a list of packages; skips where it could not ask."""
    if not PROGRAM.exists() and not PROGRAM.with_suffix(".exe").exists():
        pytest.skip("pip-audit is not installed: `make audit` installs it")
    command = [PROGRAM, "--progress-spinner", "off", "--disable-pip", "--format", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        pytest.skip(f"no answer about vulnerabilities: {done.stderr.strip().splitlines()[-1]}")
    packages = json.loads(done.stdout)["dependencies"]
    assert packages
    # A mirror of the index may know the packages, but not their vulnerabilities.
    if unknown := [package["name"] for package in packages if "skip_reason" in package]:
        pytest.skip(f"the index says nothing about vulnerabilities of {len(unknown)} packages, {unknown[0]} among them")
    return packages


def vulnerable(packages):
    return {f"{p['name']} {p['version']}": [v["id"] for v in p["vulns"]] for p in packages if p["vulns"]}


@pytest.mark.parametrize("lock", ["base", "test", "docs", "release"])
def test_a_lock(lock):
    assert vulnerable(audit("--require-hashes", "--requirement", REPOSITORY / f"requirements/{lock}.txt")) == {}


def test_pytorch_whose_hash_is_not_locked(tmp_path):
    pins = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    (tmp_path / "torch.txt").write_text(next(pin for pin in pins if pin.startswith("torch==")))
    assert vulnerable(audit("--no-deps", "--requirement", tmp_path / "torch.txt")) == {}


def test_a_package_with_a_known_vulnerability_is_found(tmp_path):
    (tmp_path / "old.txt").write_text("jinja2==2.10")
    assert any(
        name.startswith("jinja2") for name in vulnerable(audit("--no-deps", "--requirement", tmp_path / "old.txt"))
    )
