import pytest

from nagsdk.testing.export import ExportChecks
from nagsdk.testing.measuring import MeasurementChecks
from nagsdk.testing.sessions import SessionChecks


class RunChecks(ExportChecks, MeasurementChecks):
    """Checks of what networks compute and how they are timed, which sessions that stay open pass too."""

    @pytest.fixture(autouse=True)
    def one_session(self, backend, keeping_open):
        keeping_open(backend)

    test_answers_depend_on_the_images = SessionChecks.test_answers_depend_on_the_images
    test_networks_side_by_side = SessionChecks.test_networks_side_by_side
    test_damaged_artifact = SessionChecks.test_damaged_artifact
    test_foreign_requests = SessionChecks.test_foreign_requests
