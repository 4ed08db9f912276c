"""A lab of real processes: a scheduler, two workers, and clients."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

import nagsdk
from nagsdk.device.burst import Timing
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceError, UnknownNameError
from nagsdk.lab.reach import listed, matching, reached
from nagsdk.plugin import process

CONTENT = b"onnx" * 1000


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(CONTENT)
    return path


def test_a_device_of_a_lab_looks_like_one_of_this_machine(client, shared_lab, network):
    backend, device = reached("sleeper-1", shared_lab.address)
    presence = presence_of(backend, device)
    assert presence.available and presence.properties["unit"] == "sleeper-1"
    assert presence == presence_of(client.backends.get("sleeper"), client.device("sleeper-1"))
    with backend.open(device) as session:
        first, second = session.load_all([network, network])
        assert first != second
        bursts = list(session.time_all([Timing(first, 1, 3, 5.0), Timing(second, 0, 2, 5.0)]))
        assert [len(burst.wall_ms) for burst in bursts] == [3, 2]
        assert bursts[0].wall_ms == tuple(len(CONTENT) / 1e5 * (1 + 1e-4 * number) for number in range(3))
        session.unload(second)
        with pytest.raises(nagsdk.NagsdkError, match="no such network"):
            session.time(second, 0, 1, 5.0)


def test_options_of_a_device_are_those_of_its_worker(client, shared_lab):
    backend, device = reached("sleeper-1", shared_lab.address)
    other = replace(device, options=(("unit", "sleeper-9"),))
    assert "in this lab, not" in backend.presence(other).reason
    with pytest.raises(DeviceError, match="in this lab, not"):
        backend.open(other)


def test_listing(client, shared_lab):
    found = {worker["worker"]: [device["id"] for device in worker["devices"]] for worker in listed(shared_lab.address)}
    assert found == {"left": ["sleeper-1", "sleeper-2", "formula-1"], "right": ["sleeper-1", "sleeper-3", "formula-2"]}
    json.dumps(listed(shared_lab.address))
    assert matching(["all"], shared_lab.address) == ["formula-1", "formula-2", "sleeper-1", "sleeper-2", "sleeper-3"]
    assert matching(["sleeper-[23]"], shared_lab.address) == ["sleeper-2", "sleeper-3"]
    with pytest.raises(UnknownNameError):
        matching(["pixel*"], shared_lab.address)


def test_threads_that_ask_at_the_same_time_share_one_answer(client, shared_lab, monkeypatch):
    asked, ask = [], shared_lab._identity

    async def counted():
        asked.append(1)
        return await ask()

    async def many():
        return await asyncio.gather(*(shared_lab._workers(None) for _ in range(16)))

    monkeypatch.setattr(shared_lab, "_identity", counted)
    shared_lab._told.clear()
    found = shared_lab.wait(many())
    assert len(asked) == 1 and [len(workers) for workers in found] == [2] * 16


def test_sessions_that_are_opened_at_the_same_time_start_few_processes_at_once(client, shared_lab, monkeypatch):
    """The other sessions wait, so that what already runs, such as a worker of a lab, still gets the processor."""
    backend, device = client.backends.get("sleeper"), client.device("sleeper-1")
    starting, most, start = [], [], process.PluginProcess

    def counted(point):
        starting.append(point)
        most.append(len(starting))
        started = start(point)
        ask = started.ask

        def first(request):
            starting.pop()
            started.ask = ask
            return ask(request)

        started.ask = first
        return started

    monkeypatch.setattr(process, "_STARTING", threading.BoundedSemaphore(1))
    monkeypatch.setattr(process, "PluginProcess", counted)
    with ThreadPoolExecutor(4) as threads, ExitStack() as sessions:
        for opened in [threads.submit(backend.open, device) for _ in range(4)]:
            sessions.enter_context(opened.result())
    assert most and set(most) == {1}
