"""A family that says only its choices and how a network is built; everything else is found by tracing networks."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder
from nagsdk.common.foreign_code import blaming
from nagsdk.common.reading import read_text
from nagsdk.common.version import VERSION
from nagsdk.errors import ArchitectureError, NagsdkError
from nagsdk.events import send, stage
from nagsdk.families.space import require_fields
from nagsdk.families.traced.built import BuiltSpace
from nagsdk.families.traced.definition import RESOLUTION, plain_decisions, shown
from nagsdk.families.traced.layers import TracedLayer, from_json, to_json
from nagsdk.space.architecture import MOST_TEXT, Architecture
from nagsdk.space.decisions import Decision, Key, active_code, cause
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import _values

if TYPE_CHECKING:
    from torch import nn

    from nagsdk.families.traced.sliced import SlicedSupernet, TracedSubnet

_MOST_BYTES = 64 * 10**6


class TracedSpace(BuiltSpace):
    """Base class of a family that is told by its choices and a function that builds a network.

    A subclass is a frozen dataclass, whose fields are the definition of a space; one of them is `classes`. It has the
    attribute `family`, and it implements `choices` and `network`. The layers and the choices that each of them depends
    on are found by tracing networks, and verified on random ones. What was found is kept in the cache until the code of
    the family changes.
    """

    @property
    @abstractmethod
    def choices(self) -> Mapping[str, Sequence[Hashable]]:
        """The legal values of every decision by its name, from the smallest to the largest.

        The first decision is ``resolution``, in pixels.
        """

    @property
    def conditions(self) -> Mapping[str, tuple[str, Hashable]]:
        """For decisions that are not always active: an earlier decision, and its smallest value that activates it."""
        return {}

    @classmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """Rebuilds a space from the result of `to_dict`; lists become tuples."""
        require_fields(cls, definition)
        return cls(**{name: _tuples(value) for name, value in definition.items() if name != "family"})

    def to_dict(self) -> dict[str, Any]:
        """Returns the definition as a dictionary that can be written as JSON."""
        return {"family": self.family, **asdict(self)}  # type: ignore[call-overload]

    @cached_property
    def _plain(self) -> tuple[Decision, ...]:
        """The decisions without what they read."""
        with blaming(self._whose, "choices"):
            choices = {str(name): tuple(values) for name, values in self.choices.items()}
            hash(tuple(choices.values()))  # a list among them raises an error here
        with blaming(self._whose, "conditions"):
            conditions = {name: (parent, least) for name, (parent, least) in self.conditions.items()}
        return plain_decisions(self.family, choices, conditions)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        """The decisions, with those that their layers depend on."""
        reads: list[set[int]] = [set() for _ in self._plain]
        for layer in self.traced_layers:
            reads[layer.decision] |= layer.reads
        return tuple(
            Decision(d.name, d.choices, d.active_if, tuple(sorted(read)))
            for d, read in zip(self._plain, reads, strict=True)
        )

    @cached_property
    def traced_layers(self) -> tuple[TracedLayer, ...]:
        """The layers of the family in the order of execution.

        Raises:
            UsageError: They cannot be told; see `nagsdk.families.traced.couplings.find_layers`.
            UnsupportedLayerError: A network has an operation that is no known layer.
            DeviceError: The code of the family fails.
        """
        path = cache_folder() / "families" / f"{self._cache_key}.json"
        try:
            return from_json(json.loads(read_text(path, _MOST_BYTES)))
        except (OSError, ValueError):
            pass  # it is not there yet, or it was damaged, and is made anew
        from nagsdk.families.traced.couplings import find_layers

        title, numbers = f"Finding the layers of {self.family}", count(1)
        with stage(send, title) as advance:

            def traced(code: Key) -> Mapping[str, LayerSpec]:
                number = next(numbers)
                advance(number, f"{title}: network {number}")
                return self._trace(code)

            layers = find_layers(self._plain, traced, self._text)
        write_atomically(path, json.dumps(to_json(layers), separators=(",", ":")).encode())
        return layers

    @cached_property
    def _cache_key(self) -> str:
        """A hash of what the layers follow from: the definition, the code of the family, and two of its networks."""
        parts = [
            VERSION,
            json.dumps(self.to_dict(), sort_keys=True),
            repr(self._plain),
            *(repr(sorted(self._trace(end).items())) for end in self._ends),
            *sorted(_source(kind) for kind in type(self).__mro__ if issubclass(kind, TracedSpace)),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def _deactivated(self, code: Sequence[int]) -> Key:
        return active_code(self._plain, code)

    @property
    def _ends(self) -> tuple[Key, Key]:
        """The codes of the smallest and the largest network."""
        ends = ((0, len(d.choices) - 1) for d in self._plain)
        smallest, largest = zip(*ends, strict=True)
        return self._deactivated(smallest), self._deactivated(largest)

    def _trace(self, code: Key) -> Mapping[str, LayerSpec]:
        try:
            return self._layers_of(code)
        except NagsdkError as error:
            self._check_stable(code)
            raise type(error)(f"{error.message} {self._where(code)}", error.next_step) from error

    def _layers_of(self, code: Key) -> Mapping[str, LayerSpec]:
        """The layers of a network, whose tensors must be parts of those of the largest one."""
        from nagsdk.families.traced.recording import named_layers
        from nagsdk.families.traced.sliced import check_shared

        network = self._on_meta(code)
        if self._largest_shapes is not None:
            check_shared(self._largest_shapes, _shapes(network))
        with blaming(self._whose, "forward"):
            return named_layers(network, int(self.values(code)[RESOLUTION]), self.classes)

    @cached_property
    def _largest_shapes(self) -> dict[str, tuple[int, ...]] | None:
        """Shapes of the tensors of the largest network; None if it cannot be built, which tracing it tells."""
        try:
            return _shapes(self._on_meta(self._ends[1]))
        except NagsdkError:
            return None

    @property
    def _whose(self) -> str:
        return f"The family of networks {self.family}"

    def _on_meta(self, code: Key) -> nn.Module:
        """A network without numbers in its tensors."""
        import torch

        with blaming(self._whose, "network"), torch.device("meta"):
            network = self.network(self.values(code))
            if not isinstance(network, torch.nn.Module):
                raise TypeError(f"it returned {type(network).__name__}, and no torch.nn.Module")
            return network

    def _where(self, code: Key) -> str:
        """The architecture that shows a fault, and the decision that brings it, if the largest or smallest has none."""
        sound = next((end for end in reversed(self._ends) if not self._fails(end)), None)
        found = None if sound is None else cause(self._plain, sound, code, self._fails)
        if found is None:
            return f"This network shows it: {self._text(code)}."
        index, first = found
        decision = self._plain[index]
        return f"It comes with {decision.name}={shown(decision.choices[first[index]])}, as in {self._text(first)}."

    def _check_stable(self, code: Key) -> None:
        """Raises an error if a network has other tensors when it is built again."""
        from nagsdk.families.traced.couplings import unstable

        try:
            before, after = (_shapes(self._on_meta(code)) for _ in range(2))
        except NagsdkError:
            return
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                raise unstable(f"The tensor {name}", self._text(code))

    def _fails(self, code: Key) -> bool:
        try:
            self._layers_of(code)
        except NagsdkError:
            return True
        return False

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the definition and of all layers.

        A changed builder thus never meets a cost model or a generator of the family as it was.
        """
        content = json.dumps([self.to_dict(), to_json(self.traced_layers)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def values(self, code: Sequence[int]) -> dict[str, Any]:
        """The values of the active decisions of a code, by name."""
        return {d.name: d.choices[choice] for d, choice in zip(self._plain, code, strict=True) if choice >= 0}

    def _text(self, code: Sequence[int]) -> str:
        return f"{self.family}:" + ",".join(f"{name}={shown(value)}" for name, value in self.values(code).items())

    def parse(self, text: str) -> Architecture:
        """Reads the text form ``family:resolution=…,name=…``; see `SearchSpace.parse`."""
        prefix, _, rest = text.strip().partition(":")
        given = dict(part.partition("=")[::2] for part in rest.split(",")) if len(text) <= MOST_TEXT else {}
        code: list[int] = []
        for index, decision in enumerate(self._plain):
            known = {shown(choice): number for number, choice in enumerate(decision.choices)}
            active = self._deactivated([*code, 0, *(0 for _ in self._plain[index + 1 :])])[index] >= 0
            if prefix != self.family or (decision.name in given) != active:
                raise ArchitectureError(
                    f"{text[:120]!r} is not an architecture of this space: {decision.name} "
                    f"{'is missing' if active else 'is not active in it'}.",
                    f"The form is {self.family}:resolution=…,name=…, with a value for every active decision: "
                    f"{_values([d.name for d in self._plain])}.",
                )
            value = given.pop(decision.name, "")
            if active and value not in known:
                raise ArchitectureError(
                    f"{value[:40]!r} is not a choice of {decision.name}.", f"Legal values: {_values(list(known))}."
                )
            code.append(known[value] if active else -1)
        if given:
            raise ArchitectureError(
                f"{min(given)[:40]!r} is no decision of this space.",
                f"Its decisions are: {_values([d.name for d in self._plain])}.",
            )
        return self.decode([code])[0]  # type: ignore[arg-type]

    @cached_property
    def _by_decision(self) -> dict[int, list[TracedLayer]]:
        found: dict[int, list[TracedLayer]] = {}
        for layer in self.traced_layers:
            found.setdefault(layer.decision, []).append(layer)
        return found

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        """Layers that every architecture has at this resolution."""
        return self._found(0, {0: self.resolution_index(resolution)})

    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        """Layers that a choice of a decision adds; see `SearchSpace.choice_layers`."""
        if decision == 0:
            return ()
        known = dict(zip(self.decisions[decision].reads, context, strict=True))
        return self._found(decision, {0: self.resolution_index(resolution), decision: choice, **known})

    def _found(self, decision: int, code: Mapping[int, int]) -> tuple[LayerSpec, ...]:
        layers = (layer.at(code) for layer in self._by_decision.get(decision, ()))
        return tuple(layer for layer in layers if layer is not None)

    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        """All layers in the order of execution."""
        code = architecture.code
        found = (layer.at(code) for layer in self.traced_layers if code[layer.decision] >= 0)
        return tuple(layer for layer in found if layer is not None)

    def build(self, architecture: Architecture) -> TracedSubnet:
        """See `NetworkSpace.build`."""
        from nagsdk.families.torch_scope import seeded
        from nagsdk.families.traced.sliced import TracedSubnet

        with seeded():
            return TracedSubnet(architecture, self.network(self.values(architecture.code)))

    def supernet(self) -> SlicedSupernet:
        """See `NetworkSpace.supernet`."""
        from nagsdk.families.traced.sliced import SlicedSupernet

        return SlicedSupernet(self)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _source(kind: type) -> str:
    """The source of the module that defines a class, and of the others in its package; empty where Python has none.

    What builds networks is often another file than the one with the choices.
    """
    try:
        module = sys.modules[kind.__module__]
        folders = getattr(sys.modules.get(module.__package__ or ""), "__path__", ())
        files = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
        return "\0".join([inspect.getsource(module), *(file.read_text("utf-8") for file in files)])
    except (OSError, TypeError, KeyError, UnicodeDecodeError):
        return ""
