import pytest

from tests.families.traced.chains import Chains


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("NAGSDK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    space = Chains()
    assert space.decisions
    patch.undo()
    return space
