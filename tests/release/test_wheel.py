"""The wheel works on every Python that is here, in a fresh environment outside the checkout."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.nightly, pytest.mark.wheel]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def interpreter(version):
    """A Python of this version, from the search path or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]:
        # A program of pyenv in the search path may exist for versions that it does not start.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return str(path)
    pytest.skip(f"there is no Python {version} on this machine")


class Environment:
    """A virtual environment with the wheel, in a folder far from the checkout."""

    def __init__(self, python, folder):
        self.folder = folder
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
        # Neither the checkout nor the packages of the tests are visible.
        hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        self.variables = {name: value for name, value in os.environ.items() if name not in hidden}

    def run(self, program, *arguments):
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    def pip(self, *arguments):
        return self.run("pip", "--disable-pip-version-check", "install", "--quiet", *arguments)


@pytest.fixture(scope="module", params=PYTHONS)
def environment(request, archives, tmp_path_factory):
    found = Environment(interpreter(request.param), tmp_path_factory.mktemp(f"python{request.param}"))
    found.pip("--require-hashes", "--requirement", str(REPOSITORY / "requirements/base.txt"))
    found.pip("--no-deps", str(archives["whl"]))
    return found


def test_the_wheel_answers_without_pytorch(environment):
    """Help, devices and generation need no PyTorch, whose builds for other Pythons may be large."""
    assert "deploy" in environment.run("nagsdk", "--help")
    devices = json.loads(environment.run("nagsdk", "devices", "--json"))
    assert {"cpu", "pixel"} <= {device["id"] for device in devices}
    shown = json.loads(
        environment.run("nagsdk", "generate", "--device", "pixel", "--bundle", "glyphs", "--budget", "1ms", "--json")
    )
    assert shown["architecture"].startswith("mbv3:")
    place = environment.run("python", "-c", "import nagsdk; print(nagsdk.__file__)")
    assert Path(place.strip()).is_relative_to(environment.folder / "venv")


def test_the_wheel_builds_a_model(environment):
    torch = ["--constraint", str(REPOSITORY / "constraints.txt"), "torch"]
    if not os.environ.get("CI"):  # there, downloads take no time of anyone's
        planned = json.loads(environment.pip("--dry-run", "--report", "-", *torch))["install"]
        if cuda := [p for p in planned if p["metadata"]["name"].startswith("nvidia-")]:
            pytest.skip(f"PyTorch for this Python would bring {len(cuda)} packages of CUDA; CI=1 allows that")
    environment.pip(*torch)
    environment.run("pip", "check")
    environment.run("nagsdk", "generate", "--device", "cpu", "--budget", "0.2ms")
    environment.run(
        "nagsdk", "export", "--device", "cpu", "--arch", "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2", "--output", "model"
    )
    assert (environment.folder / "model/model.onnx").stat().st_size > 1000
