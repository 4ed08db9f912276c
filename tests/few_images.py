"""A fixture for tests that deploy and whose statements need few images."""

import functools

import pytest

from nagsdk.bundle.bundle import Bundle, TestSet
from tests.conftest import REPOSITORY

_recalibration_images, _test_set = Bundle.recalibration_images, Bundle.test_set


@functools.cache
def _few_recalibration_images(folder, resolution):
    return _recalibration_images(Bundle(folder), resolution)[::8]


@functools.cache
def _few_test_images(folder, resolution):
    found = _test_set(Bundle(folder), resolution)
    return found and TestSet(found.inputs[::8], found.labels[::8])


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """In this process, shipped bundles use an eighth of their images, which are decoded once for all tests."""

    def recalibration_images(bundle, resolution, folder=None):
        if folder is None and bundle.has_images and bundle.folder.is_relative_to(REPOSITORY):
            return _few_recalibration_images(bundle.folder, resolution)
        return _recalibration_images(bundle, resolution, folder)

    def test_set(bundle, resolution):
        shipped = bundle.folder.is_relative_to(REPOSITORY)
        return _few_test_images(bundle.folder, resolution) if shipped else _test_set(bundle, resolution)

    monkeypatch.setattr(Bundle, "recalibration_images", recalibration_images)
    monkeypatch.setattr(Bundle, "test_set", test_set)
