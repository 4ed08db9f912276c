import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


def build(source, folder, *kinds):
    """Builds archives from a source folder into another folder, without looking at the network."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *kinds]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.suffix.removeprefix("."): path for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The wheel (``whl``) and the source archive (``gz``) of this checkout."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    return build(REPOSITORY, tmp_path_factory.mktemp("dist"))
