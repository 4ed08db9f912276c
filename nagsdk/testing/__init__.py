"""Checks for plugins: subclass `BackendConformance` in a pytest file of your own (needs pytest)."""

from nagsdk.testing.conformance import BackendConformance
from nagsdk.testing.networks import random_images, random_subnet, small_space

__all__ = ["BackendConformance", "random_images", "random_subnet", "small_space"]
