from contextlib import ExitStack

import pytest


@pytest.fixture(scope="module")
def keeping_open():
    """A function that lets a backend hand out one session of each device again and again, which stays open.

    To start a worker takes most of the time of a check; checks of how sessions begin and end start one each.
    """
    with ExitStack() as closing:
        sessions = {}

        def keep(backend):
            start = backend.open

            def open(device):
                if device not in sessions:
                    sessions[device] = session = start(device)
                    closing.callback(session.close)
                    session.close = lambda: None
                return sessions[device]

            backend.open = open

        yield keep
