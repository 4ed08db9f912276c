"""Guarded objects in this process: those of nagsdk's own plugins, and backends that a caller gives to a target."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.backend import Backend, Burst, Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError, OutputError
from nagsdk.graph.schemes import Scheme
from nagsdk.plugin.guard import facts_of, guarded_object, guarded_session
from tests.simulated import SimulatedBackend

DEVICE = Device("board", "A board", "board")


class Board(Backend):
    id, title, suffix = "board", "Board", ".bin"

    def presence(self, device):
        return Presence.of({"runtime": "board"})

    def export(self, graph, path, device, images=None):
        path.write_bytes(b"x")

    def open(self, device):
        return Answering()


class Answering(Session):
    """Answers what it was told to."""

    answer = None

    def load(self, compiled):
        return self.answer

    def unload(self, handle): ...

    def time(self, handle, warmup, runs, timeout_s):
        return self.answer

    def infer(self, handle, images):
        return self.answer

    def close(self): ...


def board(**methods):
    return guarded_object(type("Mine", (Board,), methods)(), Backend, "The plugin mine")


def session(answer):
    real = Answering()
    real.answer = answer
    return guarded_session(real, "The plugin mine")


def test_a_guarded_backend_looks_like_the_real_one(tmp_path):
    real = Board()
    guarded = guarded_object(real, Backend, "The plugin mine")
    assert isinstance(guarded, Board) and isinstance(guarded, Backend)
    assert (guarded.id, guarded.suffix, guarded.precisions) == ("board", ".bin", ("fp32",))
    assert guarded_object(guarded, Backend, "The plugin mine") is guarded
    guarded.export(None, tmp_path / "file", DEVICE)
    guarded.export(None, path=tmp_path / "file", device=DEVICE, images=None)
    with guarded.open(DEVICE) as opened:
        assert isinstance(opened, Answering)


RAISED = [KeyError("key"), SystemExit(3), GeneratorExit(), RecursionError("deep"), StopIteration(), MemoryError()]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_names_plugin_method_and_line(error):
    def supports(self, layer, device):
        raise error

    with pytest.raises(DeviceError) as caught:
        board(supports=supports).supports(None, DEVICE)
    assert caught.value.message.startswith(f"The plugin mine failed: {type(error).__name__}")
    assert (
        f"({__file__}, line " in caught.value.message
        and ", in Mine.supports)" in caught.value.message
        and caught.value.__cause__ is error
    )


def test_errors_of_nagsdk_and_the_users_interrupt_pass():
    for error in (DeviceUnavailableError("It is not there.", "Plug it in."), KeyboardInterrupt()):

        def rewrites(self, device, error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            board(rewrites=rewrites).rewrites(DEVICE)
        assert caught.value is error


def test_no_plugin_is_blamed_for_what_the_machine_lacks(tmp_path):
    def export(self, graph, path, device, images=None):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with pytest.raises(OutputError, match=f"^{re.escape(str(tmp_path / 'file'))} cannot be written: the disk is full"):
        board(export=export).export(None, tmp_path / "file", DEVICE)


def test_an_error_whose_text_fails_is_still_named():
    class OddError(Exception):
        def __str__(self):
            raise ValueError

    def tolerance(self, device):
        raise OddError

    with pytest.raises(DeviceError, match=r"The plugin mine failed: OddError \(.*, in Mine.tolerance"):
        board(tolerance=tolerance).tolerance(DEVICE)


def unchecked(**fields):
    """A scheme as a plugin may make it: without the checks of its class."""
    scheme = Scheme()
    for name, value in fields.items():
        object.__setattr__(scheme, name, value)
    return scheme


WRONG = {
    "supports": [None, 1, "yes", []],
    "layer_bytes": [None, "3", -1, float("nan"), float("inf"), True, 1j, 10**400],
    "simulate": ["3", -1, float("nan"), []],
    "tolerance": [None, "0.1", -1.0, float("nan")],
    "scheme": ["int8", 7, Scheme(7, 1), Scheme(7, split_depthwise="yes"), Scheme(7.0), unchecked(weight_bits=6)],
    "rewrites": [None, [], {"a": "b"}, {1: DEVICE}, {"a": Device("a", 3, "b")}, {"a": Device("a", "", "b", threads=0)}],
    "presence": [None, {}, Presence(1), Presence(True, 3), Presence(True, "", {"a": 1}), Presence(True, "", 3)],
    "inspect": [None, [], {"a": object()}, {"a": float("nan")}, {"a": {1, 2}}],
    "diagnose": [None, "text", [None], iter(())],
    "setup": [None, {"a": 1}, []],
    "emulate": [3, np.zeros(3), np.zeros((3, 5)), np.full((2, 5), "a"), np.zeros((2, 0))],
    "compile": [None, "model.bin", Path("not there"), 3],
    "open": [None, Session, "session", 3],
    "export": [None],
}
ARGUMENTS = {
    "supports": (None, DEVICE),
    "layer_bytes": (None, DEVICE),
    "simulate": (None, DEVICE),
    "inspect": (Path("a"),),
    "diagnose": (),
    "setup": (None, print),
    "emulate": (Path("a"), DEVICE, np.zeros((2, 3, 4, 4))),
    "compile": (Path("a"), DEVICE, Path("b")),
    "export": (None, Path("not there either"), DEVICE),
}


@pytest.mark.parametrize(
    ("method", "answer"),
    [(m, a) for m, answers in WRONG.items() for a in answers],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_wrong_answers_of_backends_are_errors(method, answer):
    guarded = board(**{method: lambda self, *arguments: answer})
    with pytest.raises(DeviceError) as caught:
        getattr(guarded, method)(*ARGUMENTS.get(method, (DEVICE,)))
    assert caught.value.message.startswith(f"The plugin mine answered {type(answer).__name__}")
    assert f"Mine.{method} ({__file__}, line " in caught.value.message and "It must answer" in caught.value.message


GOOD = Burst((1.0, 2.0), (1.0, 2.0), {"a": 1})
WRONG_BURSTS = [
    None,
    (1.0, 2.0),
    Burst(()),
    Burst((1.0,)),
    Burst((1.0, 2.0, 3.0)),
    Burst((1.0, float("nan"))),
    Burst((1.0, float("inf"))),
    Burst((1.0, 0.0)),
    Burst((1.0, -1.0)),
    Burst(("1.0", "2.0")),
    Burst((1.0, None)),
    Burst((1.0, 2.0), (1.0,)),
    Burst((1.0, 2.0), (1.0, float("nan"))),
    Burst((1.0, 2.0), (1.0, -1.0)),
    Burst((1.0, 2.0), ("1", "2")),
    Burst(None),
    Burst(3),
    Burst((1.0, 2.0), (), {3: 1.0}),
]


@pytest.mark.parametrize("burst", WRONG_BURSTS, ids=repr)
def test_wrong_bursts_are_errors(burst):
    with pytest.raises(DeviceError, match=r"to Answering\.time .*It must answer a Burst with 2 wall times"):
        session(burst).time(0, 1, 2, 1.0)


@pytest.mark.parametrize("burst", [GOOD, Burst([1, np.float32(2)], (), {"a": np.float64(1)})], ids=repr)
def test_good_bursts_are_plain_numbers(burst):
    timed = session(burst).time(0, 1, 2, 1.0)
    assert timed.wall_ms == (1.0, 2.0) and all(type(ms) is float for ms in timed.wall_ms)


@pytest.mark.parametrize("answer", [None, "1", True, 1.0, [1]], ids=repr)
def test_handles_are_whole_numbers(answer):
    with pytest.raises(DeviceError, match="It must answer a whole number"):
        session(answer).load(Path("a"))
    assert session(np.int64(3)).load(Path("a")) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 3),
        ("title", " "),
        ("suffix", "onnx"),
        ("suffix", "/../x.onnx"),
        ("layout", "NCWH"),
        ("precisions", ()),
        ("precisions", "fp32"),
        ("precisions", (1,)),
        ("runs_elsewhere", "yes"),
        ("time_limits_s", {"export": "long"}),
        ("time_limits_s", {"export": -1}),
        ("time_limits_s", 3),
    ],
)
def test_attributes_are_checked_when_a_plugin_registers(name, value):
    with pytest.raises(DeviceError, match=f"Mine has the invalid {name}"):
        facts_of(type("Mine", (Board,), {name: value})(), Backend)


def test_a_backend_given_to_a_target_is_guarded_too():
    from nagsdk.pipeline.target import Target

    backend = SimulatedBackend()
    backend.tolerance = lambda device: "loose"
    target = Target(Device("board", "A board", "simulated"), "glyphs", backend=backend)
    with pytest.raises(DeviceError, match="The backend simulated answered str 'loose'"):
        target.backend.tolerance(target.device)
