import json
import time

import pytest

from nagsdk.device.backend import Burst
from nagsdk.device.measurement import Measurement, Reading
from nagsdk.device.quiet import known_quiet_ms, remember_quiet_ms


def session(level):
    return [Measurement((Reading(Burst((1.0,)), level, level),), 1.0)]


def test_the_lowest_recent_level_is_known(tmp_path):
    path = tmp_path / "new folder" / "quiet.json"
    assert known_quiet_ms(path) is None
    for level in (5.1, 5.0, 7.0):
        remember_quiet_ms(path, session(level))
    assert known_quiet_ms(path) == 5.0


def test_it_forgets_by_number_and_by_age(tmp_path):
    path = tmp_path / "quiet.json"
    path.write_text(json.dumps([[time.time() - 8 * 86400, 1.0], [time.time() - 6 * 86400, 4.0]]))
    assert known_quiet_ms(path) == 4.0
    for _ in range(20):
        remember_quiet_ms(path, session(6.0))
    assert known_quiet_ms(path) == 6.0


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"[[1]]", b'[["a", "b"]]', b"null", b"\xff", b"[[9e99, NaN]]", b"[[9e99, -1]]"])
def test_a_torn_file_counts_as_absent_and_is_replaced(tmp_path, content):
    path = tmp_path / "quiet.json"
    path.write_bytes(content)
    assert known_quiet_ms(path) is None
    remember_quiet_ms(path, session(5.0))
    assert known_quiet_ms(path) == 5.0
