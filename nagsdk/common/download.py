"""Downloads: only over HTTPS or of content whose hash is known, with limits on size, speed and total time."""

from __future__ import annotations

import ipaddress
import queue
import ssl
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from nagsdk.common import config
from nagsdk.common.files import replacing
from nagsdk.errors import BundleError
from nagsdk.events import Listener, ignore, stage

if TYPE_CHECKING:
    import httpx

# One read may take this long. Reads that bring next to nothing all succeed, so there are limits on the whole, too.
_READ_S = 30.0
_WINDOW_S, _LEAST_IN_WINDOW = 60.0, 60_000
_SHORTEST_LIMIT_S, _SLOWEST_BYTES_S = 600.0, 20_000
_MOST_REDIRECTS = 10
_AGAIN = "Run the command again, or use a file that is on this machine."
_CHECK = "Check the address, or use a file that is on this machine."


def public(address: str) -> str:
    """An address without credentials, query and fragment, which may hold secrets and do not say which file it is.

    Args:
        address: An http or https address.

    Raises:
        BundleError: It is none.
    """
    return _shown(_url(address))


def download(
    address: str, path: Path, most_bytes: int, on_event: Listener = ignore, *, hash_known: bool = False
) -> None:
    """Downloads a file completely or not at all.

    Args:
        address: An https address. Plain http is allowed from this machine, and where the hash is known.
        path: File to write or replace.
        most_bytes: Longer content is refused.
        on_event: Receives progress events.
        hash_known: Whether the caller compares the content with a hash that is known from elsewhere.

    Raises:
        BundleError: The setting `offline` forbids it, the address is not allowed, or the server cannot be reached,
            refuses, is too slow or sends too much.
        OutputError: The file cannot be written.
    """
    name = public(address)
    _require_allowed(_url(address), hash_known)
    offline = config.look_up("offline")
    if offline.value:
        raise BundleError(
            f"{name} is not contacted, because {offline.where} forbids downloads (setting offline).",
            "Use a file that is on this machine (--from FILE, or a folder as mirror), or remove the setting.",
        )
    transfer = _Transfer(address, most_bytes, hash_known)
    with replacing(path) as file, closing(transfer.parts(name)) as parts:
        next(parts)  # the server has answered
        with stage(on_event, "Downloading", transfer.total) as advance:
            for done, part in parts:
                file.write(part)
                advance(done, f"Downloading, {done / 1e6:.1f} MB")


def require_reachable(address: str, seconds: float) -> None:
    """Asks a server whether it would send a file.

    Args:
        address: The address of the file.
        seconds: Time limit of every step of the connection.

    Raises:
        BundleError: It would not, or it cannot be reached.
    """
    with _explaining(public(address)), _client(seconds) as client:
        _follow(client, client.build_request("HEAD", address), hash_known=False).close()


class Pace:
    """Ends transfers that would go on for ever although every single read succeeds.

    Args:
        name: The address, for messages.
        now: Time of the beginning, in seconds.
        most_bytes: Largest length of the content, which sets the limit of the whole time.
    """

    def __init__(self, name: str, now: float, most_bytes: int) -> None:
        self.name = name
        self.end = now + _SHORTEST_LIMIT_S + most_bytes / _SLOWEST_BYTES_S
        self.since, self.had = now, 0

    def check(self, now: float, received: int) -> None:
        """Raises an error if the transfer is too slow.

        Args:
            now: The present time in seconds.
            received: Number of bytes so far.

        Raises:
            BundleError: Too little came within the last minute, or the whole takes too long.
        """
        if now - self.since >= _WINDOW_S:
            if received - self.had < _LEAST_IN_WINDOW:
                raise BundleError(
                    f"{self.name} is too slow: {received - self.had} bytes came within {_WINDOW_S:.0f} seconds.", _AGAIN
                )
            self.since, self.had = now, received
        if now > self.end:
            raise BundleError(
                f"{self.name} is too slow: the download took longer than is allowed for its size.", _AGAIN
            )


class _Transfer:
    """A request in a thread of its own, so that time limits hold in every state of it: name service, headers, content.

    Args:
        address: The address.
        most_bytes: Longer content is refused.
        hash_known: See `download`.

    Attributes:
        total: Length of the content, if the server tells it; known when the first part is yielded.
    """

    def __init__(self, address: str, most_bytes: int, hash_known: bool) -> None:
        self.total: int | None = None
        self.address, self.most_bytes, self.hash_known = address, most_bytes, hash_known
        self._queue: queue.Queue[bytes | Exception | None] = queue.Queue(16)
        self._left = threading.Event()

    def parts(self, name: str) -> Generator[tuple[int, bytes]]:
        """Yields the number of bytes so far, and the next part; the first one is empty.

        Args:
            name: The address, for messages.
        """
        # A daemon, because a read that hangs must not keep the process alive after the command has ended.
        threading.Thread(target=self._run, args=(name,), daemon=True).start()
        pace, received = Pace(name, monotonic(), self.most_bytes), 0
        try:
            while True:
                pace.check(monotonic(), received)
                try:
                    part = self._queue.get(timeout=1.0)
                except queue.Empty:
                    continue
                if part is None:
                    return
                if isinstance(part, Exception):
                    raise part
                received += len(part)
                yield received, part
        finally:
            self._left.set()

    def _run(self, name: str) -> None:
        try:
            with _explaining(name), _client(_READ_S) as client:
                for part in self._received(client, name):
                    if not self._put(part):
                        return
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, item: bytes | Exception | None) -> bool:
        """Hands an item over; returns False if nobody takes it any more."""
        while not self._left.is_set():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False

    def _received(self, client: httpx.Client, name: str) -> Iterator[bytes]:
        # Compressed content could be unpacked to any size.
        request = client.build_request("GET", self.address, headers={"Accept-Encoding": "identity"})
        response, received = _follow(client, request, self.hash_known), 0
        try:
            if (coding := response.headers.get("content-encoding", "identity")) != "identity":
                raise BundleError(f"{name} sends compressed content ({coding[:40]}), which was not asked for.", _CHECK)
            length = response.headers.get("content-length", "")
            self.total = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
            if self.total is not None and self.total > self.most_bytes:
                raise BundleError(f"{name} has {self.total} bytes; {self.most_bytes} is the limit.", _CHECK)
            yield b""
            for part in response.iter_raw():
                received += len(part)
                if received > self.most_bytes:
                    raise BundleError(f"{name} sends more than {self.most_bytes} bytes.", _CHECK)
                yield part
            if self.total is not None and received != self.total:
                raise BundleError(f"The download of {name} broke off.", _AGAIN)
        finally:
            response.close()


def _client(seconds: float) -> httpx.Client:
    """Raises a `BundleError` if the proxy or the certificates that are set on this machine cannot be used."""
    import httpx

    try:
        return httpx.Client(timeout=seconds, follow_redirects=False)
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise BundleError(
            f"The network settings of this machine cannot be used: {error}",
            "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY (SOCKS needs the package socksio), SSL_CERT_FILE and "
            "SSL_CERT_DIR.",
        ) from error


def _follow(client: httpx.Client, request: httpx.Request, hash_known: bool) -> httpx.Response:
    """The answer after redirects, each of which must be allowed like the first address."""
    for _ in range(_MOST_REDIRECTS + 1):
        response = client.send(request, stream=True)
        following = response.next_request
        if following is None:
            if response.is_success:
                return response
            response.close()
            what = f"{response.status_code} {response.reason_phrase[:80]}".strip()
            raise BundleError(f"{_shown(request.url)} cannot be downloaded: the server answers {what}.", _CHECK)
        response.close()
        if request.url.scheme == "https" and following.url.scheme != "https":
            raise BundleError(
                f"{_shown(request.url)} leads from https to {_shown(following.url)}, which is not protected.", _CHECK
            )
        _require_allowed(following.url, hash_known)
        request = following
    raise BundleError(f"{_shown(request.url)} is redirected more than {_MOST_REDIRECTS} times.", _CHECK)


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Turns errors of the connection into a `BundleError`; their texts may name addresses with secrets in them."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, UnicodeError) as error:
        what = " ".join(str(error).split())
        what = type(error).__name__ if not what or "://" in what else what
        raise BundleError(f"{name} cannot be downloaded: {what}.", _AGAIN) from error


def _url(address: str) -> httpx.URL:
    import httpx

    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise BundleError(f"An address cannot be used: {error}.", _CHECK) from error
    if url.scheme not in ("https", "http") or not url.host:
        raise BundleError(f"{_shown(url)} is not an https address.", _CHECK)
    return url


def _require_allowed(url: httpx.URL, hash_known: bool) -> None:
    if url.scheme == "https" or (url.scheme == "http" and (hash_known or _is_this_machine(url.host))):
        return
    raise BundleError(
        f"{_shown(url)} is not an https address, so anybody on the way could change the file.",
        "Use an https address, or a file that is on this machine.",
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
