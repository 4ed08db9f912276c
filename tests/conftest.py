import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the tests run in two processes on two cores

from pathlib import Path

import pytest

from nagsdk.common.telemetry import switch_off
from nagsdk.families.mobilenet_v3.definition import Stage
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from tests.common.server import server  # noqa: F401 — a fixture
from tests.postgres import new_database, postgres, server_files  # noqa: F401 — fixtures

switch_off()  # some tests run ONNX Runtime in this process
REPOSITORY = Path(__file__).parents[1]
TINY = MobileNetV3Space(
    stages=(Stage(8, 2, "relu", se=False, depths=(1, 2)), Stage(16, 2, "hswish", se=True, depths=(1, 2))),
    stem_width=8,
    head_width=32,
    feature_width=40,
    kernels=(3, 5, 7),
    expansions=(2, 3),
    resolution_choices=(16, 24),
    classes=5,
)


def pytest_ignore_collect(collection_path, config):
    """Skips files without CUDA tests for `pytest -m cuda`, since machines with GPUs may have few packages installed."""
    if (
        config.option.markexpr == "cuda"
        and collection_path.suffix == ".py"
        and "mark.cuda" not in collection_path.read_text("utf-8")
    ):
        return True
    return None


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    """Gives every test its own folders, so that none reads or writes the user's."""
    root = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("NAGSDK_DATA_DIR", str(root / "data"))
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(root / "cache"))
    # With the packages of imagenet-lite installed, commands would use it where they name no bundle.
    monkeypatch.setenv("NAGSDK_BUNDLE", "glyphs")
    (root / "config.toml").touch()
    monkeypatch.setenv("NAGSDK_CONFIG", str(root / "config.toml"))
    return root


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference data, which is not part of the project."""
    path = Path(os.environ.get("NAGSDK_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip("reference data not found (set NAGSDK_SHARED)")
    return path


@pytest.fixture(scope="session")
def tiny_space() -> MobileNetV3Space:
    return TINY
