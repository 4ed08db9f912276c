import gzip

import pytest

from nagsdk.common import download as module
from nagsdk.common.download import Pace, download, public, require_reachable
from nagsdk.errors import BundleError
from nagsdk.project import artifacts
from tests.common.server import CONTENT, Handler


def refused(server, tmp_path, path="/weights", most=10**7, **settings):
    """The error of a download, which leaves nothing."""
    with pytest.raises(BundleError) as caught:
        download(server if isinstance(server, str) else server.address(path), tmp_path / "f", most, **settings)
    assert list(tmp_path.iterdir()) == [] and caught.value.next_step and caught.value.exit_code == 5
    return f"{caught.value.message} {caught.value.next_step}"


def test_a_download_tells_its_progress(server, tmp_path):
    events = []
    download(server.address(), tmp_path / "f", 10**7, events.append)
    assert (tmp_path / "f").read_bytes() == CONTENT and list(tmp_path.iterdir()) == [tmp_path / "f"]
    assert events[0].total == len(CONTENT)


@pytest.mark.parametrize("told", [True, False])
def test_too_much_is_refused(server, tmp_path, told):
    server.answers["/weights"] = (200, {"Content-Length": str(len(CONTENT))} if told else {}, [CONTENT])
    assert "1000" in refused(server, tmp_path, most=1000)


@pytest.mark.parametrize(
    ("headers", "parts", "says"),
    [
        ({"Content-Length": str(2 * len(CONTENT))}, [CONTENT], "cannot be downloaded"),  # it breaks off
        ({"Content-Length": str(10**30)}, [CONTENT], "cannot be downloaded"),
        ({"Content-Encoding": "gzip"}, [gzip.compress(bytes(10**6))], "compressed content"),
        ({"Transfer-Encoding": "chunked"}, [b"no length\r\n"], "cannot be downloaded"),
        ({"Bad\x01Header": "x"}, [b""], "cannot be downloaded"),
    ],
)
def test_answers_that_are_no_file_are_refused(server, tmp_path, headers, parts, says):
    server.answers["/weights"] = (200, headers, parts)
    assert says in refused(server, tmp_path)


def test_nothing_compressed_is_asked_for(server, tmp_path):
    download(server.address(), tmp_path / "f", 10**7)
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [204, 304, 401, 404, 416, 500])
def test_a_refusal_names_the_way_without_network(server, tmp_path, status):
    server.answers["/weights"] = (status, {}, [])
    if status == 204:  # an empty file
        download(server.address(), tmp_path / "f", 10**7)
        assert (tmp_path / "f").read_bytes() == b""
        return
    told = refused(server, tmp_path)
    assert str(status) in told and "a file that is on this machine" in told


@pytest.mark.parametrize(
    "address",
    [
        "", "weights", "not a url", "file:///etc/hostname", "ftp://127.0.0.1/x", "http://[::1", "http://\0/",
        "https://", "http://127.0.0.1:99999/x", "javascript:1", "//127.0.0.1/x", "http:///x", "https://a\x1b[2J/x",
        "http://" + 70_000 * "a",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_file_is_refused(tmp_path, address):
    refused(address, tmp_path)


def test_addresses_without_protection_are_for_this_machine_or_a_known_hash(server, tmp_path):
    assert "not an https address" in refused("http://example.invalid/weights", tmp_path)
    # The name does not exist, so the attempt is what shows that it was allowed.
    assert "cannot be downloaded" in refused("http://example.invalid/weights", tmp_path, hash_known=True)
    download(server.address(), tmp_path / "f", 10**7)


def test_redirects_must_be_allowed_too(server, tmp_path):
    for path, to in (
        ("/good", server.address()),
        ("/away", "http://example.invalid/x"),
        ("/file", "file:///etc/hostname"),
        ("/bad", "http://[::1"),
        ("/loop", "/loop"),
    ):
        server.answers[path] = (302, {"Location": to}, [])
    download(server.address("/good"), tmp_path / "f", 10**7)
    (tmp_path / "f").unlink()
    assert "not an https address" in refused(server, tmp_path, "/away")
    assert "more than 10 times" in refused(server, tmp_path, "/loop")
    refused(server, tmp_path, "/file")
    refused(server, tmp_path, "/bad")


def test_a_redirect_from_https_to_http_is_refused(tmp_path, monkeypatch):
    import httpx

    def answer(request):
        return httpx.Response(302, headers={"Location": "http://127.0.0.1/x"})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(module, "_client", lambda seconds: client)
    assert "leads from https to http://127.0.0.1/x" in refused("https://a.invalid/x?token=1", tmp_path, hash_known=True)


def test_secrets_in_addresses_are_not_shown(server, tmp_path):
    address = server.address("/absent?token=secret#part").replace("127", "me:secret@127")
    assert public(address) == server.address("/absent")
    events = []
    with pytest.raises(BundleError) as caught:
        download(address, tmp_path / "f", 10**7, events.append)
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    assert server.asked[0][0] == "/absent?token=secret"
    monkey = server.address("/weights?token=secret")
    download(monkey, tmp_path / "f", 10**7, events.append)
    assert events and not any("secret" in event.text for event in events)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("HTTP_PROXY", "garbage"),
        ("HTTP_PROXY", "http://[::1"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
    ],
)
def test_settings_of_the_network_that_cannot_be_used_are_named(server, tmp_path, monkeypatch, variable, value):
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    told = refused(server, tmp_path)
    assert "SSL_CERT_FILE" in told or "cannot be downloaded" in told


def test_the_slowest_transfers_end():
    dripping = Pace("x", 0.0, 10**6)
    for second in range(60):
        dripping.check(float(second), second)
    with pytest.raises(BundleError, match="60 bytes came within 60 seconds"):
        dripping.check(60.0, 60)
    steady, now = Pace("x", 0.0, 10**6), 0.0
    with pytest.raises(BundleError, match="longer than"):
        while now < 10**5:
            now += 30
            steady.check(now, int(now * 1001))
    assert 600 < now < 700
    fast = Pace("x", 0.0, 500 * 10**6)
    for second in range(0, 500, 10):
        fast.check(float(second), second * 10**6)


@pytest.mark.parametrize("state", ["nothing", "headers", "content"])
def test_time_limits_hold_in_every_state_of_a_transfer(server, tmp_path, monkeypatch, state):
    monkeypatch.setattr(module, "_WINDOW_S", 0.2)

    def drip():
        while not server.over.wait(0.02):
            yield b"x"

    if state == "content":
        server.answers["/weights"] = (200, {"Content-Length": "1000000"}, drip())
    else:

        def slowly(handler):
            if state == "nothing":
                server.over.wait()
                return
            for part in drip():
                try:
                    handler.wfile.write(part)
                except OSError:
                    return

        monkeypatch.setattr(Handler, "do_GET", slowly)
    assert "too slow" in refused(server, tmp_path)


def test_offline_nothing_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_OFFLINE", "1")
    told = refused(server, tmp_path)
    assert "NAGSDK_OFFLINE forbids downloads" in told and "--from FILE" in told and server.asked == []
    monkeypatch.setenv("NAGSDK_OFFLINE", "0")
    download(server.address(), tmp_path / "f", 10**7)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_offline_a_mirror_on_the_network_is_not_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_OFFLINE", "1")
    notices = []
    mirror = server.address("")
    record = {"sha256": "0" * 64, "bytes": 10}
    assert artifacts.take(record, tmp_path / "model.onnx", mirror, notices.append) is None
    assert "NAGSDK_OFFLINE forbids downloads" in notices[0].text and notices[0].warning
    assert server.asked == []


def test_whether_a_server_would_send_is_asked_without_downloading(server):
    require_reachable(server.address(), 5)
    with pytest.raises(BundleError, match="404"):
        require_reachable(server.address("/absent"), 5)
    with pytest.raises(BundleError):
        require_reachable("http://[::1", 5)


def test_no_server(tmp_path):
    refused("http://127.0.0.1:9/none", tmp_path)
