"""Runs nagsdk's checks of a family of networks."""

import pytest

from nagsdk.families import preset
from nagsdk.testing.spaces import check_space
from nagsdk_template_space.space import TemplateSpace


@pytest.fixture(scope="module")
def space() -> TemplateSpace:
    return TemplateSpace()


def test_the_family_keeps_the_rules(space: TemplateSpace):
    check_space(space, devices=("cpu",))


def test_nagsdk_finds_the_family(space: TemplateSpace):
    assert preset("template_space") == space
