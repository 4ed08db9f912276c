"""The checks that every backend must pass, in one class."""

from __future__ import annotations

from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.export import ExportChecks
from nagsdk.testing.measuring import MeasurementChecks
from nagsdk.testing.sessions import SessionChecks


class BackendConformance(DiscoveryChecks, ExportChecks, SessionChecks, MeasurementChecks):
    """Base class for the tests of a backend.

    Subclass it in a test file, name the class ``Test…`` and define the fixtures `backend` and `device`. The fixture
    `impossible` may return devices with settings that this machine cannot provide. The docstring of each check is the
    rule that the backend must follow.
    """
