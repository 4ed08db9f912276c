from tests.cost.conftest import make_world, world  # noqa: F401 — fixtures
