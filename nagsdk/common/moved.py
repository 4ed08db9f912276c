"""Old module names that the documentation of 0.1.0 named: importing them still works and warns with the new name."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
# Old name -> the modules that hold its names now; the warning names the first one.
MOVED = {
    "nagsdk.architecture": ("nagsdk.space.architecture", "nagsdk.space.layer"),
    "nagsdk.building": ("nagsdk.project.build",),
    "nagsdk.config": ("nagsdk.common.config",),
    "nagsdk.deployment": ("nagsdk.pipeline.loop",),
    "nagsdk.fetch": ("nagsdk.bundle.pull", "nagsdk.common.download"),
    "nagsdk.files": ("nagsdk.common.files",),
    "nagsdk.finding": ("nagsdk.device.finding",),
    "nagsdk.hookspecs": ("nagsdk.plugin.hooks",),
    "nagsdk.housekeeping": ("nagsdk.inventory",),
    "nagsdk.installing": ("nagsdk.common.pip",),
    "nagsdk.isolation": ("nagsdk.common.foreign_code", "nagsdk.plugin.harmful"),
    "nagsdk.lockfile": ("nagsdk.project.lock",),
    "nagsdk.metric": ("nagsdk.cost.metric",),
    "nagsdk.own_data": (
        "nagsdk.training.train",
        "nagsdk.training.evaluate",
        "nagsdk.training.predictor",
        "nagsdk.inventory",
    ),
    "nagsdk.preprocessing": ("nagsdk.images.preprocessing",),
    "nagsdk.registry": ("nagsdk.plugin.registry",),
    "nagsdk.reporting": ("nagsdk.reports.report",),
    "nagsdk.resources": ("nagsdk.common.folders",),
    "nagsdk.store": ("nagsdk.measuring.store",),
    "nagsdk.verifying": ("nagsdk.pipeline.verify",),
    "nagsdk.workbench": ("nagsdk.pipeline.target",),
}


class MovedModules:
    """Finds modules under their old names; Python uses it only after all other finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a moved module; None for other names."""
        return ModuleSpec(name, self) if name in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Lets Python create an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Makes the module look names up where they are now."""
        places = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is {places[0]} now.", DeprecationWarning, stacklevel=2)

        def get(name: str) -> Any:
            for place in places:
                try:
                    return getattr(import_module(place), name)
                except AttributeError:
                    continue
            raise AttributeError(f"{module.__name__} is {' and '.join(places)} now; there is no {name!r} there.")

        vars(module)["__getattr__"] = get


def let_call(module: str, function: str) -> None:
    """Makes a module callable, with a warning, because 0.1.0 had a function with its name.

    Args:
        module: Name of the module, which is being imported.
        function: Name of its function that replaces the call.
    """

    class CallableModule(ModuleType):
        def __call__(self) -> Any:
            warnings.warn(f"{module} is a module now: call {module}.{function}.", DeprecationWarning, stacklevel=2)
            return getattr(self, function)()

    sys.modules[module].__class__ = CallableModule


def renamed(**names: str) -> Callable[[F], F]:
    """Lets a function be called with the keyword arguments of 0.1.0, with a warning.

    Args:
        **names: Present name of each old keyword argument.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*arguments: Any, **given: Any) -> Any:
            for old in given.keys() & names:
                text = f"{function.__name__}: the argument {old} is called {names[old]}."
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                if names[old] in given:
                    raise TypeError(f"{function.__name__}() got {old} and {names[old]}, which are the same argument")
                given[names[old]] = given.pop(old)
            return function(*arguments, **given)

        return cast("F", call)

    return decorate


def install() -> None:
    """Adds the finder if it was not added yet."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
