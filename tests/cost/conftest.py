import pytest

from nagsdk.space.mobilenet_v3 import ofa_mobilenet_v3
from tests.worlds import World


@pytest.fixture
def world():
    return World(ofa_mobilenet_v3())


@pytest.fixture
def make_world():
    return World
