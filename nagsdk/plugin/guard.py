"""Guards what plugins register: whatever a method does, its caller gets a valid answer or an error of that plugin.

A guarded object stands in for a backend, session, strategy or metric. It has the methods of the interface only, and
passes each call to a `Caller`: in this process for the plugins that ship with nagsdk (`Here`), in a process of its own
for all others (`nagsdk.plugin.process`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, cast

from nagsdk.common.foreign_code import FIX, failure, shown
from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend, Session
from nagsdk.errors import DeviceError, NagsdkError
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin.answers import WrongAnswerError, checked

T = TypeVar("T")
# By the name of the registry.
INTERFACES: dict[str, type[Any]] = {"backends": Backend, "metrics": Metric, "strategies": Strategy}
_LAYOUTS = ("NCHW", "NHWC")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]{1,16}){1,4}")
_SHORT = (bool, int, float, str)


class Caller(Protocol):
    """Calls a method of the real object."""

    def __call__(self, method: str, arguments: Sequence[Any]) -> Any:
        """Returns the checked answer of a method.

        Raises:
            DeviceError: The method failed, in whatever way.
        """


class Here:
    """Calls a method in this process.

    Args:
        whose: The plugin, for messages, such as ``The plugin board``.
        real: The object of the plugin.
    """

    def __init__(self, whose: str, real: Any) -> None:
        self.whose, self.real = whose, real

    def __call__(self, method: str, arguments: Sequence[Any]) -> Any:
        """See `Caller`."""
        answer = answered(self.whose, self.real, method, arguments)
        return guarded_session(answer, self.whose) if method == "open" else answer


def answered(whose: str, real: Any, method: str, arguments: Sequence[Any]) -> Any:
    """Calls a method of a plugin's object and checks its answer.

    Args:
        whose: The plugin, for messages.
        real: The object.
        method: Name of the method.
        arguments: Its arguments.

    Raises:
        DeviceError: It raised an exception that is not a `NagsdkError`, or gave a wrong answer.
    """
    answer: Any = None
    try:
        answer = getattr(real, method)(*arguments)
        return checked(method, answer, arguments)
    except WrongAnswerError as error:
        told = f"{type(answer).__name__} {answer!r}" if isinstance(answer, _SHORT) else type(answer).__name__
        place = _place(getattr(real, method))
        raise DeviceError(
            f"{whose} answered {shown(told)} to {name_of(real, method)}{place}. It must answer {error}.", FIX
        ) from error
    except (NagsdkError, KeyboardInterrupt):  # in this process, only the user interrupts
        raise
    except BaseException as error:
        raise failure(whose, error, name_of(real, method)) from error


def name_of(real: Any, method: str) -> str:
    """A method as messages name it."""
    return method if inspect.ismodule(real) else f"{type(real).__name__}.{method}"


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"


def guarded_object(real: T, interface: type[T], whose: str) -> T:
    """A guarded object whose methods run in this process; the object itself if it is guarded already.

    Args:
        real: A backend, strategy or metric.
        interface: The class of such objects.
        whose: The plugin, for messages.
    """
    if "_caller" in vars(type(real)):
        return real
    return stand_in(interface, facts_of(real, interface), Here(whose, real), lambda: type(real))


def guarded_session(real: Session, whose: str) -> Session:
    """A guarded session whose methods run in this process."""
    return stand_in(Session, {}, Here(whose, real), lambda: type(real))  # type: ignore[type-abstract]


def facts_of(real: object, interface: type[Any]) -> dict[str, Any]:
    """The attributes that an interface declares.

    Raises:
        DeviceError: One is missing or has an invalid value.
    """
    facts = {name: getattr(real, name) for name in inspect.get_annotations(interface) if not name.startswith("_")}
    legal: dict[str, Callable[[Any], bool]] = {
        "id": _is_text,
        "title": _is_text,
        "suffix": lambda value: _is_text(value) and _SUFFIX.fullmatch(value) is not None,
        "layout": lambda value: value in _LAYOUTS,
        "precisions": lambda value: isinstance(value, (tuple, list)) and bool(value) and all(map(_is_text, value)),
        "integer_precisions": lambda value: isinstance(value, (tuple, list)) and all(map(_is_text, value)),
        "ios": lambda value: (
            isinstance(value, Mapping)
            and all(
                isinstance(names, (tuple, list)) and names and all(map(_is_text, names)) for names in value.values()
            )
        ),
        "runs_elsewhere": lambda value: isinstance(value, bool),
        "estimated_by": lambda value: isinstance(value, str),
        "units": lambda value: isinstance(value, Mapping),
        "measured": lambda value: isinstance(value, str),
        "starts": lambda value: isinstance(value, bool),
        "options": lambda value: (
            isinstance(value, Mapping)
            and all(
                _is_text(name) and isinstance(values, (tuple, list)) and values and all(map(_is_text, values))
                for name, values in value.items()
            )
        ),
        "time_limits_s": lambda value: (
            isinstance(value, Mapping)
            and all(_is_text(name) and type(s) in (int, float) and 0 < s < 1e7 for name, s in value.items())
        ),
    }
    for name, value in facts.items():
        if name in legal and not legal[name](value):
            raise DeviceError(
                f"{type(real).__name__} has the invalid {name} {shown(repr(value))}.",
                f"The documentation of {interface.__name__} says which values are valid.",
            )
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in facts.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def stand_in(interface: type[T], facts: Mapping[str, Any], caller: Caller, real_class: Callable[[], type]) -> T:
    """An object with the methods of an interface, each of which goes to a caller.

    Args:
        interface: The class whose methods it has.
        facts: The attributes that the interface declares.
        caller: Receives the calls.
        real_class: The class of the real object, whose instance the result claims to be for `isinstance`, because
            tests of plugins ask for it.
    """
    body = {
        **{name: _passed_on(cast("Any", interface), name) for name in _methods(cast("Any", interface))},
        **facts,
        "__class__": property(lambda self: real_class()),
        "__init__": lambda self: None,
        "_caller": staticmethod(caller),
    }
    return cast("T", type(interface.__name__, (interface,), body)())


@cache
def _methods(interface: Hashable) -> tuple[str, ...]:
    return tuple(
        name for name, value in vars(interface).items() if inspect.isfunction(value) and not name.startswith("_")
    )


@cache
def _passed_on(interface: Hashable, name: str) -> Callable[..., Any]:
    signature = inspect.signature(getattr(interface, name))

    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        if named or len(arguments) + 1 < len(signature.parameters):
            bound = signature.bind(self, *arguments, **named)
            bound.apply_defaults()
            arguments = bound.args[1:]
        return self._caller(name, arguments)

    call.__doc__ = getattr(interface, name).__doc__
    return call
