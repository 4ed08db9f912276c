import http.server
import threading

import pytest

from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.pull import pull
from nagsdk.common.download import download
from nagsdk.errors import BundleError
from nagsdk.project import artifacts

CONTENT = bytes(range(256)) * 4000


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; breaks off after `breaks_after` bytes of the first answer, honours ranges."""

    breaks_after = None
    ranges = True
    length_told = True
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if self.server.length_told:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        stop, self.server.breaks_after = self.server.breaks_after, None
        self.wfile.write(body if stop is None else body[:stop])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/weights"


def test_a_download_tells_its_progress(server, tmp_path):
    events = []
    download(address(server), tmp_path / "f", 10**7, events.append)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert events[0].total == len(CONTENT)


@pytest.mark.parametrize("ranges", [True, False])
def test_it_goes_on_where_it_broke_off(server, tmp_path, ranges):
    server.breaks_after, server.ranges = 100_000, ranges
    with pytest.raises(BundleError, match="cannot be downloaded|broke off"):
        download(address(server), tmp_path / "f", 10**7)
    assert 0 < (tmp_path / "f").stat().st_size <= 100_000
    download(address(server), tmp_path / "f", 10**7)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.requests[0] is None and server.requests[1].startswith("bytes=")


def test_a_whole_file_is_not_downloaded_again(server, tmp_path):
    (tmp_path / "f").write_bytes(CONTENT)
    download(address(server), tmp_path / "f", 10**7)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("told", [True, False])
def test_too_much_is_refused(server, tmp_path, told):
    server.length_told = told
    with pytest.raises(BundleError, match="limit|more than"):
        download(address(server), tmp_path / "f", 1000)
    assert not (tmp_path / "f").exists() or (tmp_path / "f").stat().st_size <= 1000


def test_a_refusal_names_the_way_without_network(server, tmp_path):
    server.status = 404
    with pytest.raises(BundleError) as caught:
        download(address(server), tmp_path / "f", 10**7)
    assert "--from FILE" in caught.value.next_step and caught.value.exit_code == 5


def test_offline_nothing_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_OFFLINE", "1")
    with pytest.raises(BundleError, match="NAGSDK_OFFLINE forbids downloads") as caught:
        download(address(server), tmp_path / "f", 10**7)
    assert server.requests == [] and "--from FILE" in caught.value.next_step
    with pytest.raises(BundleError, match="NAGSDK_OFFLINE"):
        pull(load_bundle("imagenet"))
    monkeypatch.setenv("NAGSDK_OFFLINE", "0")
    download(address(server), tmp_path / "f", 10**7)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_offline_a_mirror_on_the_network_is_not_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_OFFLINE", "1")
    notices = []
    mirror = address(server).rpartition("/")[0]
    record = {"sha256": "0" * 64, "bytes": 10}
    assert artifacts.take(record, tmp_path / "model.onnx", mirror, notices.append) is None
    assert "NAGSDK_OFFLINE forbids downloads" in notices[0].text and notices[0].warning
    assert server.requests == []


def test_no_server(tmp_path):
    with pytest.raises(BundleError):
        download("http://127.0.0.1:9/none", tmp_path / "f", 10**7)
