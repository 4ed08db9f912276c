"""A real PostgreSQL server for tests, on a Unix socket in a temporary folder, run by an ordinary user."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from nagsdk.common.database_address import DatabaseAddress

_PATIENCE_S = 60.0


def programs():
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    plain = shutil.which("postgres")
    return found[-1].parent if found else Path(plain).resolve().parent if plain else None


def ordinary_user():
    """Arguments of `subprocess` that give up the rights of the superuser, with which PostgreSQL does not run."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def running(folder, binaries):
    """Runs a server on the files in a folder."""
    command = [binaries / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen([*command, "-c", "fsync=off"], stdout=log, stderr=log, cwd=folder, **ordinary_user())
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


@pytest.fixture(scope="session")
def server_files():
    """A folder with the files of a server that does not run yet, and the folder of its programs."""
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    binaries = programs()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="nagsdk-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        settings = ["--auth=trust", "--username=lab", "--no-sync", "--encoding=UTF8", "--locale=C"]
        command = [binaries / "initdb", "-D", folder / "data", *settings]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **ordinary_user())
        yield folder, binaries
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(server_files):
    """The folder of the socket of a running server."""
    with running(*server_files):
        yield server_files[0]


@pytest.fixture(scope="session")
def new_database(postgres):
    """Makes an empty database and returns its address."""
    import psycopg

    made = []

    def make():
        name = f"lab{len(made)}"
        with psycopg.connect(f"postgresql://lab@/postgres?host={postgres}", autocommit=True) as opened:
            opened.execute(f"create database {name}")
        made.append(name)
        return DatabaseAddress(f"postgresql://lab@/{name}?host={postgres}")

    return make
