"""Messages between a session and its worker."""

import io
import sys
from typing import ClassVar

import pytest

from nagsdk.device.process import ProcessSession
from nagsdk.device.serve import read, timed, write


def test_lines_that_are_not_messages_are_skipped():
    stream = io.BytesIO()
    stream.write(b"a banner\n\n[1]\n{}\n")
    write(stream, {"answer": 1}, b"body")
    stream.seek(0)
    assert read(stream) == ({"answer": 1, "bytes": 4}, b"body")
    assert read(stream) is None


@pytest.mark.parametrize(
    "banner", ["print('hello', flush=True)", "import sys; sys.stdout.write('no end of line'); sys.stdout.flush()"]
)
def test_a_runtime_may_print_when_it_is_imported(tmp_path, monkeypatch, banner):
    (tmp_path / "talkative.py").write_text(
        f"{banner}\nfrom nagsdk.device.serve import serve\n"
        "handlers = {'unload': lambda request, body: (print('more') or {}, b'')}\n"
        "serve(lambda settings: ({'hello': settings['name']}, handlers))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    class Talkative(ProcessSession):
        runtime: ClassVar[str] = "It"
        worker: ClassVar[str] = "talkative"
        remedy: ClassVar[str] = "None."

    with Talkative({"name": "you"}, {}) as session:
        assert session.greeting["hello"] == "you"
        session.unload(0)


def test_cpu_times_are_reported_where_the_system_counts_them_finely(monkeypatch):
    def cpu_ms(threads):
        answer, _ = timed({"runs": 4, "warmup": 1}, lambda: sum(range(1000)), threads, 0.0, {})
        assert len(answer["wall_ms"]) == 4
        return answer["cpu_ms"]

    monkeypatch.setattr(sys, "platform", "darwin")
    assert len(cpu_ms(1)) == 4 and cpu_ms(2) == []
    monkeypatch.setattr(sys, "platform", "win32")
    assert cpu_ms(1) == []
