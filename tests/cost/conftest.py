import pytest

from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from tests.worlds import World


@pytest.fixture
def world():
    return World(ofa_mobilenet_v3())


@pytest.fixture
def make_world():
    return World
