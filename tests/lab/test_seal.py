"""What somebody without a certificate, and somebody with one, can reach by dask's own protocol."""

import asyncio
import contextlib
import pickle
import socket
import ssl
import threading

import pytest

pytest.importorskip("distributed", reason="needs the extra lab")

from nagsdk.lab.certificates import security_of, write_certificates
from nagsdk.lab.seal import SealedError, _is_sealed, seal
from tests.lab.conftest import await_workers


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def in_thread(work):
    """Does work in a thread of its own, since a seal stays."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_sealed_thread_unpickles_nothing_and_others_are_not_concerned(tmp_path):
    from distributed.protocol import Serialize, dumps, loads
    from distributed.protocol.serialize import ToPickle

    def sealed():
        seal(everywhere=False)
        for packed in (ToPickle(Bomb(tmp_path / "a")), Serialize(Bomb(tmp_path / "b"))):
            with pytest.raises(SealedError):
                loads(dumps({"op": packed}))
        return loads(dumps({"op": "x", "body": b"bytes"}))

    assert in_thread(sealed) == {"op": "x", "body": b"bytes"}
    assert list(tmp_path.iterdir()) == [] and not _is_sealed()
    assert loads(dumps({"op": ToPickle([1, 2])})) == {"op": [1, 2]}


async def attack(address, security, message):
    """Sends a message of dask's protocol as a client with a certificate, and returns the answer, if any."""
    from distributed.comm import connect

    comm = await connect(address, timeout=5, deserialize=False, **security.get_connection_args("client"))
    try:
        with contextlib.suppress(OSError):
            await comm.write(message)
            return await asyncio.wait_for(comm.read(), 3)
    except TimeoutError:
        return None
    finally:
        comm.abort()


def test_not_even_a_client_with_a_certificate_runs_code_of_its_own(shared_lab, sleepers, tmp_path):
    from distributed.protocol import Serialize
    from distributed.protocol.serialize import ToPickle

    security = security_of("client", sleepers.folder / "certificates")
    bomb = Bomb(tmp_path / "ran")
    packed = pickle.dumps(bomb)
    messages = [
        {"op": "run", "function": packed},
        {"op": "run_function", "function": packed},
        {"op": "register_worker_plugin", "plugin": packed, "name": "x"},
        {"op": "plugin-add", "plugin": packed},
        {"op": "register-client", "client": "x", "versions": {}},
        {"op": "update-graph", "tasks": packed},
        {"op": "feed", "function": packed},
        {"op": "connection_stream"},
        {"op": "identity", "x": ToPickle(bomb)},
        {"op": "nagsdk", "x": Serialize(bomb)},
        {"op": "nagsdk", "call": ToPickle(bomb), "request": b"{}"},
        {"op": "upload_file", "filename": "x.py", "data": b"import os"},
        {"op": "terminate"},
    ]
    worker = shared_lab.workers()[0].address
    for address in (shared_lab.address, worker):
        for message in messages:
            asyncio.run(attack(address, security, dict(message)))
    assert list(tmp_path.iterdir()) == []
    assert await_workers(shared_lab, 2)


@pytest.mark.parametrize("other", ["no certificate", "another authority", "no encryption"])
def test_a_stranger_gets_no_further_than_the_handshake(shared_lab, sleepers, tmp_path, other):
    for address in (shared_lab.address, shared_lab.workers()[0].address):
        host, _, port = address.removeprefix("tls://").partition(":")
        context = ssl.create_default_context(cafile=sleepers.folder / "certificates" / "ca.pem")
        context.check_hostname = False
        if other == "another authority":
            folder = tmp_path / port
            write_certificates(folder)
            context.load_cert_chain(folder / "client.pem", folder / "client-key.pem")
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            if other == "no encryption":
                plain.sendall(b"\x00" * 64)
                with contextlib.suppress(ConnectionError):
                    assert not plain.recv(100).startswith(b"\x82")  # no message of dask
                continue
            with pytest.raises((ssl.SSLError, ConnectionError)), context.wrap_socket(plain) as stream:
                stream.sendall(b"\x00" * 64)  # TLS 1.3 tells only now that a certificate was missing
                while stream.recv(100):
                    pass
                raise ConnectionError("closed without an answer")
