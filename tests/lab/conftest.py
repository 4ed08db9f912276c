import importlib
import time

import pytest

from nagsdk.lab.certificates import write_certificates
from nagsdk.lab.connection import Lab
from nagsdk.lab.local import free_port
from nagsdk.plugin.host import load_all, using
from tests.lab.sleeping import Sleepers

pytest.importorskip("distributed", reason="needs the extra lab")
_START_S = 90.0


@pytest.fixture(scope="session")
def sleepers(tmp_path_factory):
    """The plugin of sleeping devices and a folder of certificates; what it starts ends with the tests."""
    made = Sleepers(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("lab"))
    write_certificates(made.folder / "certificates")
    yield made
    made.end()


@pytest.fixture(scope="session")
def client_plugins(sleepers):
    """The plugins of a client that has the plugin of the sleepers too."""
    import sys

    sys.path.insert(0, str(sleepers.site))
    importlib.invalidate_caches()
    loaded = load_all()
    yield loaded
    sys.path.remove(str(sleepers.site))


@pytest.fixture(autouse=True)
def certified(request, monkeypatch):
    """This process has the certificates of the lab, if the test uses one."""
    if "sleepers" in request.fixturenames:
        folder = request.getfixturevalue("sleepers").folder
        monkeypatch.setenv("NAGSDK_LAB_CERTIFICATES", str(folder / "certificates"))


@pytest.fixture
def client(client_plugins):
    with using(client_plugins):
        yield client_plugins


def start_lab(sleepers, **workers):
    """A lab: its address, the scheduler, and the workers by name; the devices of each are given."""
    address = f"tls://127.0.0.1:{free_port()}"
    scheduler = sleepers.start("scheduler", "scheduler", "--listen", address.removeprefix("tls://"))
    return address, scheduler, {n: start_worker(sleepers, address, n, *devices) for n, devices in workers.items()}


def start_worker(sleepers, address, name, *devices, **environment):
    options = [option for device in devices for option in ("--device", device)]
    place = ("--listen", "127.0.0.1:0", "--name", name)
    return sleepers.start(name, "worker", address, *options, *place, **environment)


def await_workers(lab, count):
    until = time.monotonic() + _START_S
    while len(found := [one for one in lab.workers() if not one.problem]) != count:
        assert time.monotonic() < until, f"{count} workers were expected, there are {found}"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="session")
def shared_lab(sleepers):
    """A lab of two workers that no test harms."""
    left, right = ("sleeper-1", "sleeper-2", "formula-1"), ("sleeper-1", "sleeper-3", "formula-2")
    address, _, _ = start_lab(sleepers, left=left, right=right)
    lab = Lab(address, sleepers.folder / "certificates")
    await_workers(lab, 2)
    return lab
