"""Messages between a session and its worker."""

import io
from typing import ClassVar

import pytest

from nagsdk.device.process import ProcessSession
from nagsdk.device.serve import read, write


def test_what_is_no_message_is_skipped():
    stream = io.BytesIO()
    stream.write(b"a banner\n\n[1]\n{}\n")
    write(stream, {"answer": 1}, b"body")
    stream.seek(0)
    assert read(stream) == ({"answer": 1, "bytes": 4}, b"body")
    assert read(stream) is None


@pytest.mark.parametrize("banner", ["print('hello', flush=True)", "import sys; sys.stdout.write('no end of line'); sys.stdout.flush()"])
def test_a_runtime_may_print_when_it_is_imported(tmp_path, monkeypatch, banner):
    (tmp_path / "talkative.py").write_text(
        f"{banner}\nfrom nagsdk.device.serve import serve\n"
        "serve(lambda settings: ({'hello': settings['name']}, {'unload': lambda request, body: (print('more') or {}, b'')}))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    class Talkative(ProcessSession):
        runtime: ClassVar[str] = "It"
        worker: ClassVar[str] = "talkative"
        remedy: ClassVar[str] = "None."

    with Talkative({"name": "you"}, {}) as session:
        assert session.greeting["hello"] == "you"
        session.unload(0)
