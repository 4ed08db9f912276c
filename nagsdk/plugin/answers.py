"""What the methods of plugins must answer; an answer of another kind becomes an error of its plugin."""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nagsdk.common.validation import SHA256
from nagsdk.device.backend import Burst, Session
from nagsdk.device.description import Device
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter
from nagsdk.device.presence import plain_presence
from nagsdk.errors import ArchitectureError
from nagsdk.families.family import Family
from nagsdk.families.finished import FinishedNetwork
from nagsdk.graph.schemes import Scheme

Arguments = Sequence[Any]
_PLACE = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


class WrongAnswerError(ValueError):
    """An answer is not what the method promises; the text says what it must be."""


def checked(method: str, answer: Any, arguments: Arguments) -> Any:
    """The answer of a method, made of plain values.

    Args:
        method: Name of the method.
        answer: What it returned.
        arguments: What it was called with.

    Raises:
        WrongAnswerError: It is not what the method must return.
    """
    return _CHECKS[method](answer, arguments)


def _require(held: bool, expected: str) -> None:
    if not held:
        raise WrongAnswerError(expected)


def _number(value: Any, expected: str = "a finite number, 0 or more") -> float:
    _require(isinstance(value, numbers.Real) and not isinstance(value, bool), expected)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    _require(0 <= number < math.inf, expected)
    return number


def _anything(answer: Any, arguments: Arguments) -> None:
    return None


def _presence(answer: Any, arguments: Arguments) -> Any:
    try:
        return plain_presence(answer)
    except TypeError as error:
        raise WrongAnswerError("a Presence whose fields have the right types") from error


def _switch(answer: Any, arguments: Arguments) -> bool:
    _require(isinstance(answer, (bool, np.bool_)), "True or False")
    return bool(answer)


def _cost(answer: Any, arguments: Arguments) -> float:
    return _number(answer)


def _perhaps_cost(answer: Any, arguments: Arguments) -> float | None:
    return None if answer is None else _number(answer, "a finite number, 0 or more, or None")


def _real(answer: Any, arguments: Arguments) -> Any:
    # Its value is checked where it is used, which also says for which layer.
    _require(isinstance(answer, numbers.Real), "a number")
    return answer if isinstance(answer, (int, float)) else float(answer)


def _rewrites(answer: Any, arguments: Arguments) -> dict[str, Device]:
    expected = "a mapping of names to devices"
    _require(isinstance(answer, Mapping), expected)
    _require(all(isinstance(k, str) and isinstance(v, Device) for k, v in answer.items()), expected)
    return {name: plain_device(device) for name, device in answer.items()}


def _written(answer: Any, arguments: Arguments) -> None:
    _require(Path(arguments[1]).is_file(), f"a file at {arguments[1]}, which it did not write")


def _graph(answer: Any, arguments: Arguments) -> Any:
    expected = "a network: what it was given, or an IntegerGraph"
    _require(answer is arguments[0] or type(answer).__name__ in ("Graph", "IntegerGraph"), expected)
    return answer


def _scheme(answer: Any, arguments: Arguments) -> Scheme | None:
    expected = "None or a Scheme, whose fields have the right types, weights of 7 or 8 bits, and a share from 0 to 1"
    _require(answer is None or isinstance(answer, Scheme), expected)
    if answer is None:
        return None
    usual = vars(Scheme())
    values: dict[str, Any] = {name: getattr(answer, name, None) for name in usual}
    _require(all(type(values[name]) is type(value) for name, value in usual.items()), expected)
    try:
        return Scheme(**values)
    except ValueError as error:
        raise WrongAnswerError(expected) from error


def _content(answer: Any, arguments: Arguments) -> dict[str, Any]:
    expected = "a mapping that JSON can express"
    _require(isinstance(answer, Mapping), expected)
    try:
        content: dict[str, Any] = json.loads(json.dumps(dict(answer), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongAnswerError(expected) from error
    return content


def _logits(answer: Any, arguments: Arguments) -> Any:
    images = arguments[-1]
    expected = f"logits, an array of numbers of the shape ({len(images)}, classes)"
    _require(isinstance(answer, np.ndarray) and answer.dtype.kind in "fiu" and answer.ndim == 2, expected)
    _require(len(answer) == len(images) and answer.shape[1] > 0, expected)
    return np.asarray(answer, np.float32)


def _perhaps_logits(answer: Any, arguments: Arguments) -> Any:
    return None if answer is None else _logits(answer, arguments)


def _findings(answer: Any, arguments: Arguments) -> list[Finding]:
    expected = f"a list of findings, whose texts are texts and whose state is {OK}, {ABSENT} or {WRONG}"
    _require(isinstance(answer, (list, tuple)), expected)
    for item in answer:
        _require(isinstance(item, Finding) and all(isinstance(text, str) for text in vars(item).values()), expected)
        _require(item.state in (OK, ABSENT, WRONG), expected)
    return [Finding(**vars(item)) for item in answer]


def _facts(answer: Any, arguments: Arguments) -> dict[str, str]:
    expected = "a mapping of texts to texts"
    _require(isinstance(answer, Mapping), expected)
    _require(all(isinstance(text, str) for pair in answer.items() for text in pair), expected)
    return dict(answer)


def _path(answer: Any, arguments: Arguments) -> Path:
    _require(isinstance(answer, Path) and answer.is_file(), "the path of a file")
    return Path(answer)


def _session(answer: Any, arguments: Arguments) -> Session:
    _require(isinstance(answer, Session), "a Session")
    session: Session = answer
    return session


def _handle(answer: Any, arguments: Arguments) -> int:
    _require(isinstance(answer, (int, np.integer)) and not isinstance(answer, bool), "a whole number")
    return int(answer)


def _burst(answer: Any, arguments: Arguments) -> Burst:
    runs = arguments[2]
    expected = f"a Burst with {runs} wall times, finite and above 0, and as many CPU times or none"
    _require(isinstance(answer, Burst), expected)
    wall, cpu = answer.wall_ms, answer.cpu_ms
    _require(isinstance(wall, (list, tuple)) and isinstance(cpu, (list, tuple)), expected)
    _require(len(wall) == runs and len(cpu) in (0, runs), expected)
    _require(isinstance(answer.properties, Mapping) and all(isinstance(n, str) for n in answer.properties), expected)
    if type(wall) is tuple and type(cpu) is tuple and {float}.issuperset(map(type, wall + cpu)):
        # The usual case, which takes some microseconds between two bursts. A sum with NaN in it is NaN.
        _require(min(wall) > 0 and sum(wall) < math.inf, expected)
        _require(not cpu or (min(cpu) >= 0 and sum(cpu) < math.inf), expected)
        plain: Burst = answer
        return plain
    times, on_cpu = tuple(_number(v, expected) for v in wall), tuple(_number(v, expected) for v in cpu)
    _require(min(times) > 0, expected)
    return Burst(times, on_cpu, {name: float(value) for name, value in answer.properties.items()})


def _meter(answer: Any, arguments: Arguments) -> Meter:
    expected = "a Meter with a power, or with counters whose values are below those at which they begin again"
    _require(isinstance(answer, Meter) and isinstance(answer.counters, (list, tuple)), expected)
    power = None if answer.power_w is None else _number(answer.power_w, expected)
    _require(bool(answer.counters) or power is not None, expected)
    _require(all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in answer.counters), expected)
    counters = tuple((_number(now, expected), _number(wraps, expected)) for now, wraps in answer.counters)
    _require(all(0 <= now <= wraps and wraps > 0 for now, wraps in counters), expected)
    return Meter(counters, power)


def _layer_times(answer: Any, arguments: Arguments) -> tuple[LayerTime, ...]:
    expected = "LayerTimes, whose names are texts and whose times are finite numbers, 0 or more"
    _require(isinstance(answer, (list, tuple)), expected)
    _require(all(isinstance(one, LayerTime) for one in answer), expected)
    _require(all(isinstance(text, str) for one in answer for text in (one.name, one.kind)), expected)
    return tuple(LayerTime(one.name, one.kind, _number(one.ms, expected)) for one in answer)


def _codes(answer: Any, arguments: Arguments) -> Any:
    question = arguments[0]
    count, decisions = len(question.limits), len(question.space.sizes)
    expected = f"codes of the space, an array of whole numbers of the shape ({count}, candidates, {decisions})"
    _require(isinstance(answer, np.ndarray) and answer.dtype.kind in "iu" and answer.ndim == 3, expected)
    _require(answer.shape[0] == count and answer.shape[1] > 0 and answer.shape[2] == decisions, expected)
    try:
        return question.space.validate(answer.reshape(-1, decisions)).reshape(answer.shape)
    except ArchitectureError as error:
        raise WrongAnswerError(f"{expected}. {error.message.rstrip('.')}") from error


def _device(answer: Any, arguments: Arguments) -> Device | None:
    _require(answer is None or isinstance(answer, Device), "a Device or None")
    return None if answer is None else plain_device(answer)


def plain_device(device: Device) -> Device:
    """A device of a plugin, made of plain values.

    Raises:
        WrongAnswerError: A field has a wrong type.
    """
    values = {field.name: getattr(device, field.name) for field in fields(Device)}
    for name in ("aliases", "options"):
        _require(isinstance(values[name], (list, tuple)), f"a Device whose {name} are a tuple")
    for name in ("id", "title", "backend", "precision", "io", "caveat"):
        _require(isinstance(values[name], str), f"a Device whose {name} is a text")
    for name in ("threads", "batch"):
        _require(type(values[name]) is int and values[name] > 0, f"a Device whose {name} is a whole number above 0")
    _require(values["prior"] is None or isinstance(values["prior"], str), "a Device whose prior is a text or None")
    _require(all(isinstance(alias, str) for alias in values["aliases"]), "a Device whose aliases are texts")
    for option in values["options"]:
        _require(
            isinstance(option, (list, tuple)) and len(option) == 2 and all(isinstance(text, str) for text in option),
            "a Device whose options are pairs of texts",
        )
    options = tuple((str(name), str(value)) for name, value in values["options"])
    return Device(**{**values, "aliases": tuple(values["aliases"]), "options": options})


def plain_family(family: Family) -> Family:
    """A family of networks of a plugin, made of plain values.

    Raises:
        WrongAnswerError: A field has a wrong type.
    """
    _require(isinstance(family.presets, Mapping), "a Family whose presets are a mapping")
    for text in (family.title, family.space, *family.presets, *family.presets.values()):
        _require(isinstance(text, str), "a Family whose title, space and presets are texts")
    for where in (family.space, *family.presets.values()):
        _require(bool(_PLACE.fullmatch(where)), "a Family whose places have the form package.module:name")
    presets = {str(name): str(where) for name, where in family.presets.items()}
    return Family(family.id, str(family.title), str(family.space), presets)


def plain_network(network: FinishedNetwork) -> FinishedNetwork:
    """A finished network of a plugin, made of plain values.

    Raises:
        WrongAnswerError: A field has a wrong type, or its file lies outside what its package installs.
    """
    values = vars(network)
    for name, value in values.items():
        if name in ("mean", "std"):
            whole = isinstance(value, tuple) and len(value) == 3 and all(type(v) is float for v in value)
            _require(whole, f"a FinishedNetwork whose {name} is a tuple of three numbers")
        elif name in ("top1", "half_width"):
            _require(type(value) is float and 0 <= value <= 100, f"a FinishedNetwork whose {name} is from 0.0 to 100.0")
        else:
            _require(isinstance(value, str), f"a FinishedNetwork whose {name} is a text")
    _require(bool(_PLACE.fullmatch(network.space)), "a FinishedNetwork whose space has the form package.module:name")
    _require(bool(re.fullmatch(SHA256, network.sha256)), "a FinishedNetwork whose sha256 is one")
    parts = PurePosixPath(network.file)
    inside = not parts.is_absolute() and ".." not in parts.parts and "\\" not in network.file
    _require(inside, "a FinishedNetwork whose file lies within its package")
    return FinishedNetwork(**values)


_CHECKS: dict[str, Callable[[Any, Arguments], Any]] = {
    "presence": _presence,
    "supports": _switch,
    "layer_bytes": _cost,
    "rewrites": _rewrites,
    "simulate": _perhaps_cost,
    "tolerance": _cost,
    "check_export": _anything,
    "scheme": _scheme,
    "quantised": _graph,
    "export": _written,
    "inspect": _content,
    "emulate": _perhaps_logits,
    "diagnose": _findings,
    "setup": _facts,
    "compile": _path,
    "open": _session,
    "load": _handle,
    "unload": _anything,
    "sustain": _anything,
    "layer_times": _layer_times,
    "meter": _meter,
    "time": _burst,
    "infer": _logits,
    "close": _anything,
    "of_layer": _real,
    "kept_by_layer": _real,
    "propose": _codes,
    "nagsdk_resolve_device": _device,
}
