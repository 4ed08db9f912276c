"""The checks that every backend must pass, in one class."""

from __future__ import annotations

from nagsdk.testing.discovery import DiscoveryChecks
from nagsdk.testing.export import ExportChecks
from nagsdk.testing.measuring import MeasurementChecks
from nagsdk.testing.sessions import SessionChecks


class BackendConformance(DiscoveryChecks, ExportChecks, SessionChecks, MeasurementChecks):
    """Subclass it in a test file, name the class ``Test…`` and define the fixtures `backend` and `device`.

    The fixture `impossible` may name devices that ask for what cannot be had here. Every check's docstring is the rule that it
    holds the backend to.
    """
