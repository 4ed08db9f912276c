"""What goes wrong in a lab: nothing that was measured is lost, and work goes on where another such device is free."""

import asyncio
import contextlib
import signal
import threading

import pytest

from nagsdk.device.burst import Timing
from nagsdk.errors import ConnectionLostError, DeviceUnavailableError, UsageError
from nagsdk.lab import connection, daemons, places, taking
from nagsdk.lab.connected import connected
from nagsdk.lab.connection import Lab
from nagsdk.lab.functions import check_versions
from nagsdk.lab.local import free_port
from nagsdk.lab.lookup import properties_used
from nagsdk.lab.messages import CHUNK_BYTES
from nagsdk.lab.reach import reached
from nagsdk.measuring.measure import measure
from nagsdk.measuring.protocol import Protocol
from tests.lab.conftest import await_workers, start_lab, start_worker

PROTOCOL = Protocol(warmup=0, runs=3, reference_runs=2, rounds=6, width=1e9, most_rounds=6, spread_s=0, patience_s=0)


@pytest.fixture
def networks(tmp_path):
    found = {}
    for number in range(3):
        path = tmp_path / f"network{number}.onnx"
        path.write_bytes(b"onnx" * (300 + number))
        found[f"network {number}"] = path
    return found


@pytest.fixture
def lab_of(sleepers, client, monkeypatch):
    """Makes a lab; the second value are its processes, by name."""

    def make(**workers):
        address, scheduler, processes = start_lab(sleepers, **workers)
        await_workers(connected(address), len(workers))
        return address, {"scheduler": scheduler, **processes}

    return make


def measured_through(found, networks, after_reading, sessions=4):
    """Measures as a calibration does: what is missing after a lost connection is measured in the next session."""
    backend, device = found
    taken, workers = {name: [] for name in networks}, []

    def keep(name, reading):
        taken[name].append(reading)
        after_reading(sum(map(len, taken.values())), workers[-1])

    names = list(networks)
    for _ in range(sessions):
        missing = {n: networks[n] for n in names if len(taken[n]) < PROTOCOL.rounds}
        if not missing:
            break
        with contextlib.suppress(ConnectionLostError), backend.open(device) as session:
            workers.append(session.worker)
            measure(session, missing, networks[names[0]], PROTOCOL, on_reading=keep)
    return taken, workers


def test_a_worker_killed_in_mid_burst(lab_of, sleepers, networks):
    """The other worker has a device with another serial number, which its plugin does not tell from the first one."""
    address, _ = lab_of()
    processes = {n: start_worker(sleepers, address, n, "sleeper-1", SLEEPER_SERIAL=n) for n in ("left", "right")}
    await_workers(connected(address), 2)
    killed, heard = [], []

    def after_reading(count, worker):
        if count == 3 and not killed:  # a round is over, and the next one begins
            killed.append(worker)
            threading.Timer(0.005, processes[worker].send_signal, [signal.SIGKILL]).start()

    backend, device = reached("sleeper-1", address, lambda event: heard.append(event.text))
    taken, workers = measured_through((backend, device), networks, after_reading)
    first, second = workers
    assert [first] == killed and first != second
    assert f"at {second}, on another device that counts as sleeper-1: serial {second}." in heard[-1]
    assert properties_used(backend, {"serial": first, "unit": "1"}) == {"serial": f"{first}, {second}", "unit": "1"}
    assert all(len(readings) >= PROTOCOL.rounds for readings in taken.values())
    expected = {name: path.stat().st_size / 1e5 for name, path in networks.items()}
    assert {n: r[0].burst.wall_ms[0] for n, r in taken.items()} == expected


def test_two_clients_take_turns(lab_of, networks):
    address, _ = lab_of(left=("sleeper-1",))
    file = networks["network 0"]
    first, device = reached("sleeper-1", address)
    heard, order = [], []
    second, _ = reached("sleeper-1", address, lambda event: heard.append(event.text))

    def other():
        with second.open(device) as session:
            order.append("second")
            session.time(session.load(file), 0, 1, 5.0)

    with first.open(device) as session:
        thread = threading.Thread(target=other)
        thread.start()
        while not heard:
            session.time(session.load(file), 0, 1, 5.0)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and "in use by process" in heard[0]


@pytest.mark.nightly
def test_the_scheduler_restarts_while_a_device_is_measured(sleepers, lab_of, networks):
    address, processes = lab_of(left=("sleeper-1",))
    backend, device = reached("sleeper-1", address)
    with backend.open(device) as session:
        handle = session.load(networks["network 0"])
        processes["scheduler"].send_signal(signal.SIGKILL)
        processes["scheduler"].wait()
        for _ in range(5):
            assert session.time(handle, 0, 2, 5.0).wall_ms
        sleepers.start("scheduler", "scheduler", "--listen", address.removeprefix("tls://"))
        assert session.time(handle, 0, 2, 5.0).wall_ms
    await_workers(connected(address), 1)
    with backend.open(device) as session:
        assert session.time(session.load(networks["network 0"]), 0, 2, 5.0).wall_ms


@pytest.mark.nightly
@pytest.mark.parametrize("other", ["right", None])
def test_a_device_is_unplugged(sleepers, lab_of, networks, tmp_path, other):
    """It goes on with the same device of another worker or, where there is none, when it is plugged in again."""
    address, _ = lab_of()
    unplugged = tmp_path / "unplugged"
    start_worker(sleepers, address, "left", "sleeper-1", SLEEPER_GONE=str(unplugged))
    await_workers(connected(address), 1)
    found = reached("sleeper-1", address)

    def after_reading(count, worker):
        if count == 5:
            unplugged.touch()
            if other is None:
                threading.Timer(1.0, unplugged.unlink).start()
            else:
                start_worker(sleepers, address, other, "sleeper-1")

    taken, workers = measured_through(found, networks, after_reading)
    assert workers == ["left", other or "left"]
    assert all(len(readings) >= PROTOCOL.rounds for readings in taken.values())


def test_the_waits_of_every_fault_sum_to_less_than_half_a_minute():
    found = connection.AGAIN_S + connection.HELLO_S + taking.LOOK_AGAIN_S
    waits = {
        "a worker is killed": connection.PATIENCE_S + connection.HELLO_S + found,
        "a host is silent": connection.ANSWER_S + CHUNK_BYTES / connection.LEAST_SPEED + found,
        "a device is gone, and plugged in again": daemons.LOOK_S + found,
        "the scheduler is killed": daemons.RETRY_S + daemons.JOIN_S + found,
        "the scheduler's host is silent": daemons.SILENT_S + daemons.RETRY_S + found,
        "a client is gone": places.LEASE_S + daemons.SWEEP_S + taking.BUSY_S,
    }
    assert {fault: seconds for fault, seconds in waits.items() if seconds >= 30} == {}


@pytest.mark.parametrize(
    ("there", "here", "says"),
    [
        (("0.2.0", "a 1"), ("0.1.0", "a 1"), "bench has nagsdk 0.2.0, the client has 0.1.0"),
        (("0.1.0", "a 2"), ("0.1.0", "a 1"), "bench has the device's plugin a 2, the client has a 1"),
        (("0.1.0", "a 2"), ("0.1.0", ""), "the client has none"),
    ],
)
def test_other_versions_are_refused(there, here, says):
    with pytest.raises(UsageError, match=says) as caught:
        check_versions("bench", there, here)
    assert "same version" in caught.value.next_step
    check_versions("bench", there, there)


def test_a_client_of_another_version_gets_no_device(client, shared_lab, networks, monkeypatch):
    monkeypatch.setattr(taking, "VERSION", "9.9.9")
    backend, device = reached("sleeper-2", shared_lab.address)
    with pytest.raises(UsageError, match=r"left has nagsdk .*, the client has 9\.9\.9"):
        backend.open(device)


class Delaying:
    """A proxy that hands on every piece of a connection only after a while."""

    def __init__(self, port, seconds):
        self.port, self.seconds = port, seconds
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait()

    def _run(self, ready):
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.own = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    async def _pass_on(self, reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                await asyncio.sleep(self.seconds)
                writer.write(piece)
                await writer.drain()
        writer.close()


@pytest.mark.nightly
def test_a_slow_network_costs_time_only(sleepers, client, networks):
    address, _, _ = start_lab(sleepers)
    port = free_port()
    proxy = Delaying(port, 0.15)
    contact = ("--listen", f"127.0.0.1:{port}", "--contact-address", f"tls://127.0.0.1:{proxy.own}")
    sleepers.start("slow", "worker", address, "--device", "sleeper-1", "--name", "slow", *contact)
    await_workers(connected(address), 1)
    taken, workers = measured_through(reached("sleeper-1", address), networks, lambda count, worker: None)
    assert workers == ["slow"] and all(len(readings) == PROTOCOL.rounds for readings in taken.values())


@pytest.mark.nightly
def test_a_full_disk_at_a_worker(sleepers, client, tmp_path):
    address, _, _ = start_lab(sleepers)
    lab = connected(address)
    full = start_worker(sleepers, address, "full", "sleeper-1")
    await_workers(lab, 1)
    large = tmp_path / "large.onnx"
    large.write_bytes(b"onnx" * 500_000)
    resource = pytest.importorskip("resource", reason="needs Linux")
    resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    backend, device = reached("sleeper-1", address)
    with backend.open(device) as session, pytest.raises(ConnectionLostError, match="full cannot keep a file") as caught:
        session.load(large)
    assert "Free space" in caught.value.next_step
    start_worker(sleepers, address, "roomy", "sleeper-1")
    await_workers(lab, 2)
    with backend.open(device) as session:
        assert session.worker == "roomy"
        assert session.time(session.load(large), 0, 1, 5.0).wall_ms


@pytest.mark.nightly
def test_a_client_that_dies_gives_its_device_back(lab_of, sleepers, networks):
    address, _ = lab_of(left=("sleeper-1",))
    dying = Lab(address)
    from nagsdk.lab.backend import InLab

    backend, device = reached("sleeper-1", address)
    reach = type(backend)._caller
    other = InLab(dying, device, reach.fingerprint, reach.backend, reach.package)
    held = other.open(device)
    dying._loop.call_soon_threadsafe(dying._loop.stop)  # it says nothing any more
    other._taken = None  # nor when this process forgets the session
    with backend.open(device) as session:
        assert session.time(session.load(networks["network 0"]), 0, 1, 5.0).wall_ms
    assert held is not None


def test_without_a_scheduler_there_is_a_next_step(client, sleepers, monkeypatch):
    monkeypatch.setattr("nagsdk.lab.connection.PATIENCE_S", 0.0)
    monkeypatch.setattr("nagsdk.lab.connection._CONNECT_S", 0.2)
    with pytest.raises(DeviceUnavailableError, match="does not answer") as caught:
        reached("sleeper-1", f"tls://127.0.0.1:{free_port()}")
    assert "nagsdk lab scheduler" in caught.value.next_step


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "127.0.0.1:8786", "ftp://x", ""])
def test_addresses_without_encryption_are_refused(address):
    with pytest.raises(UsageError, match="not the address of a lab"):
        Lab(address)


def test_a_round_that_breaks_off_leaves_what_was_timed(client, shared_lab, networks):
    backend, device = reached("sleeper-3", shared_lab.address)
    with backend.open(device) as session:
        handle = session.load(networks["network 0"])
        bursts = session.time_all([Timing(handle, 0, 1, 5.0), Timing(99, 0, 1, 5.0)])
        assert next(bursts).wall_ms
        with pytest.raises(Exception, match="no such network"):
            next(bursts)
