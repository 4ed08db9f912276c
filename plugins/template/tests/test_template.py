"""Runs nagsdk's conformance suite, which checks every rule that nagsdk relies on."""

import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin.host import host
from nagsdk.testing import BackendConformance
from nagsdk_template.backend import TemplateBackend


class TestTemplate(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return TemplateBackend()

    @pytest.fixture(params=[(1, 1), (2, 2)], ids=["1-thread", "2-threads-batch-2"])
    def device(self, request: pytest.FixtureRequest) -> Device:
        threads, batch = request.param
        return Device("template", "The template", "template", threads=threads, batch=batch)


def test_nagsdk_finds_the_device():
    device = host().device("template")
    assert isinstance(host().backend_of(device), TemplateBackend)
