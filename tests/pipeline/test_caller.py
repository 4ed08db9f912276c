"""The API in programs with threads, event loops, forks and an output of their own: it changes nothing of theirs."""

import asyncio
import io
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import nagsdk

ARCHITECTURE = "mbv3:r44:d=2,2,2,1:ks=5,3,5,3,3,3,5:e=6,4,4,6,6,2,6"
CALLS = [
    lambda: nagsdk.predict("cpu", architectures=[ARCHITECTURE]),
    lambda: nagsdk.generate("cpu", "2MMACs"),
    lambda: nagsdk.inventory.devices(),
    lambda: nagsdk.frontier("cpu", metric="macs", points=3),
]


def state():
    """What belongs to the whole process."""
    return {
        "outputs": (sys.stdout, sys.stderr, sys.__stdout__),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "warnings": (list(warnings.filters), warnings.showwarning),
        "folder": Path.cwd(),
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist()),
        "numpy": (str(np.random.get_state()[1].tolist()), np.geterr()),  # noqa: NPY002 — the state of the caller
        "random": random.getstate(),
        "path": list(sys.path),
    }


@pytest.fixture
def unchanged():
    for call in CALLS:  # imports are no change
        call()
    before = state()
    yield
    assert state() == before


def test_six_threads_change_nothing(unchanged, capsys):
    gate, failed = threading.Barrier(6), []

    def work(number):
        gate.wait()
        try:
            for turn in range(len(CALLS)):
                CALLS[(number + turn) % len(CALLS)]()
                sys.stdout.write("mine\n")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert capsys.readouterr().out == "mine\n" * 6 * len(CALLS)


def test_an_event_loop_and_its_threads(unchanged):
    async def work():
        nagsdk.predict("cpu", architectures=[ARCHITECTURE])  # as in a notebook, whose cells run in a loop
        return await asyncio.gather(*(asyncio.to_thread(call) for call in CALLS))

    assert len(asyncio.run(work())) == len(CALLS)


def test_an_output_without_a_descriptor(unchanged, monkeypatch):
    class Notebook(io.TextIOBase):
        """As notebooks have it: no descriptor and no buffer."""

        def __init__(self):
            self.written = []

        def write(self, text):
            self.written.append(text)
            return len(text)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output := Notebook())
        for call in CALLS:
            call()
        sys.stdout.write("mine\n")
    assert "".join(output.written) == "mine\n"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.parametrize("used", [False, True])
def test_forks(used):
    script = f"""
import multiprocessing
import nagsdk
def work(answers):
    answers.put(nagsdk.generate("cpu", "2MMACs")[0].architecture)
if {used}:
    nagsdk.generate("cpu", "2MMACs")
context = multiprocessing.get_context("fork")
answers = context.Queue()
workers = [context.Process(target=work, args=(answers,)) for _ in range(2)]
for worker in workers: worker.start()
found = {{answers.get(timeout=120) for _ in workers}}
for worker in workers: worker.join()
print(found == {{nagsdk.generate("cpu", "2MMACs")[0].architecture}}, [w.exitcode for w in workers])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout == "True [0, 0]\n"
