"""Finds out which choices each layer of a family depends on, by tracing networks that differ in one decision.

What was found is checked on random networks until a whole series agrees. The check is needed: two widths may round to
the same number of channels, so that a change of one of them shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from nagsdk.errors import UsageError
from nagsdk.families.traced.layers import TracedLayer
from nagsdk.space.decisions import MOST_CONTEXTS, Decision, Key, active_code
from nagsdk.space.layer import LayerSpec

Network = Mapping[str, LayerSpec]
_BASES, _CHECKS, _MOST_NETWORKS = 4, 100, 20_000


def find_layers(
    decisions: Sequence[Decision], traced: Callable[[Key], Network], text: Callable[[Key], str]
) -> tuple[TracedLayer, ...]:
    """Finds the layers of a family, in the order of execution.

    Args:
        decisions: Its decisions; what they read is not used.
        traced: Returns the layers of the network with a code by their stable names, in the order of execution.
        text: Returns the text form of a code, for messages.

    Raises:
        UsageError: The layers of a decision depend on too many others, or on a decision that may be inactive where the
            layer is there; or the family has networks whose layers have no stable names.
    """
    search = _Search(decisions, traced, text)
    search.vary()
    while True:
        search.attribute()
        search.fill()
        if search.agrees():
            return search.ordered()


@dataclass
class _Search:
    decisions: Sequence[Decision]
    traced: Callable[[Key], Network]
    text: Callable[[Key], str]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    seen: dict[Key, Network] = field(default_factory=dict)
    layers: dict[str, TracedLayer] = field(default_factory=dict)

    def active(self, wanted: Sequence[int]) -> Key:
        """The code in which decisions that their conditions switch off are -1."""
        return active_code(self.decisions, wanted)

    def random(self) -> list[int]:
        return [int(self.rng.integers(len(decision.choices))) for decision in self.decisions]

    def look(self, wanted: Sequence[int]) -> Network:
        """Traces the network with these choices, of which inactive ones are ignored."""
        code = self.active(wanted)
        if code not in self.seen:
            if len(self.seen) >= _MOST_NETWORKS:
                raise UsageError(
                    f"The couplings of this family were not found with {_MOST_NETWORKS:,} networks.",
                    "Let layers depend on fewer decisions, or give a subclass of NetworkSpace that tells its layers.",
                )
            self.seen[code] = self.traced(code)
            for name in self.seen[code]:
                self.layers.setdefault(name, TracedLayer(name))
        return self.seen[code]

    def vary(self) -> None:
        """Traces networks that differ in one decision, from several starting points."""
        ends = [[0] * len(self.decisions), [len(decision.choices) - 1 for decision in self.decisions]]
        for end in ends:
            self.look(end)
            self.check_stable(self.active(end))
        for base in [*ends, *(self.random() for _ in range(_BASES - 2))]:
            before = self.look(base)
            for index, decision in enumerate(self.decisions):
                if self.active(base)[index] < 0 or len(decision.choices) == 1:
                    continue
                other = (base[index] + int(self.rng.integers(1, len(decision.choices)))) % len(decision.choices)
                after = self.look([*base[:index], other, *base[index + 1 :]])
                for name in {**before, **after}:
                    self.depends(name, index, before.get(name), after.get(name))

    def check_stable(self, code: Key) -> None:
        """Traces a network that was seen once more; its layers must be the same."""
        before, after = dict(self.seen[code]), dict(self.traced(code))
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                raise unstable(f"The layer {name}", self.text(code))

    def depends(self, name: str, index: int, one: LayerSpec | None, other: LayerSpec | None) -> None:
        """Notes that a layer depends on a decision, if it differs between two networks that differ in it."""
        layer = self.layers[name]
        if _shape(one) != _shape(other):
            layer.shape_reads = _with(layer.shape_reads, index)
        if one is not None and other is not None and one.in_size != other.in_size:
            layer.size_reads = _with(layer.size_reads, index)

    def attribute(self) -> None:
        """Fills the tables of all layers from the networks seen, and drops conditions that activity tells already."""
        for layer in self.layers.values():
            for above in sorted(self._above(layer.decision) & {*layer.shape_reads}):
                without = tuple(d for d in layer.shape_reads if d != above)
                if without and self._table(layer.name, without) is not None:
                    layer.shape_reads = without
            self._tabulate(layer)
            self._check_reads(layer)

    def _above(self, decision: int) -> set[int]:
        found = set()
        while (condition := self.decisions[decision].active_if) is not None:
            decision = condition[0]
            found.add(decision)
        return found

    def _table(self, name: str, reads: Key) -> dict[Key, LayerSpec | None] | None:
        """The shapes of a layer by the choices of some decisions; None if these do not tell the shape."""
        table: dict[Key, LayerSpec | None] = {}
        for code, network in self.seen.items():
            shape = _shape(network.get(name))
            if table.setdefault(tuple(code[d] for d in reads), shape) != shape:
                return None
        return table

    def _tabulate(self, layer: TracedLayer) -> None:
        """Fills the tables of a layer; where networks disagree, finds the decision that makes the difference."""
        while True:
            layer.shapes, layer.sizes = {}, {}
            first: tuple[dict[Key, Key], dict[Key, Key]] = {}, {}
            for code, network in list(self.seen.items()):
                found = network.get(layer.name)
                key = tuple(code[d] for d in layer.shape_reads)
                if layer.shapes.setdefault(key, _shape(found)) != _shape(found):
                    self._separate(layer, first[0][key], code, sizes=False)
                    break
                first[0].setdefault(key, code)
                if found is not None:
                    key = tuple(code[d] for d in layer.size_reads)
                    if layer.sizes.setdefault(key, found.in_size) != found.in_size:
                        self._separate(layer, first[1][key], code, sizes=True)
                        break
                    first[1].setdefault(key, code)
            else:
                return

    def _separate(self, layer: TracedLayer, one: Key, other: Key, sizes: bool) -> None:
        """Adds the decision that makes a layer differ between two networks, found by halving what they differ in."""
        reads = layer.size_reads if sizes else layer.shape_reads
        start, end = list(one), list(other)
        # Inactive decisions get the choice of the other network, so that they do not count as different.
        for index in range(len(start)):
            start[index] = start[index] if start[index] >= 0 else max(end[index], 0)
            end[index] = end[index] if end[index] >= 0 else start[index]

        def value(code: Sequence[int]) -> object:
            found = self.look(code).get(layer.name)
            return (found.in_size if found else None) if sizes else _shape(found)

        first = value(start)
        differ = [index for index in range(len(start)) if start[index] != end[index] and index not in reads]
        while len(differ) > 1:
            half = differ[: len(differ) // 2]
            middle = list(start)
            for index in half:
                middle[index] = end[index]
            if value(middle) != first:
                differ, end = half, middle
            else:
                differ, start = differ[len(half) :], middle
        if not differ:
            self.check_stable(one)
            self.check_stable(other)
            raise UsageError(
                f"The layer {layer.name} differs between these networks, and no decision that it may depend on does: "
                f"{self.text(one)} and {self.text(other)}.",
                "Give the same layer the same name in every network.",
            )
        if sizes:
            layer.size_reads = _with(layer.size_reads, differ[0])
        else:
            layer.shape_reads = _with(layer.shape_reads, differ[0])

    def _check_reads(self, layer: TracedLayer) -> None:
        decision = self.decisions[layer.decision]
        count = int(np.prod([float(len(self.decisions[d].choices) + 1) for d in layer.reads]))
        names = ", ".join(self.decisions[d].name for d in sorted(layer.reads))
        if count > MOST_CONTEXTS:
            raise UsageError(
                f"The layer {layer.name} depends on {decision.name} and on {names}, which have {count:,} combinations; "
                f"{MOST_CONTEXTS:,} are allowed.",
                "Let it depend on fewer decisions, or give these decisions fewer choices.",
            )
        for code, network in self.seen.items():
            if code[layer.decision] < 0 and layer.name in network:
                raise UsageError(
                    f"The layer {layer.name} depends on {decision.name}, and is there where that is inactive: "
                    f"{self.text(code)}.",
                    f"Let the layer depend on a decision that is always active and comes after {decision.name}.",
                )

    def fill(self) -> None:
        """Traces networks until every layer was seen with all choices that it depends on."""
        while missing := [(n, r, key) for n, layer in self.layers.items() for r, key in self._missing(layer)]:
            self.rng.shuffle(missing)
            while missing:
                wanted: dict[int, int] = {}
                left = []
                for name, reads, key in missing:
                    more = self._together(wanted, dict(zip(reads, key, strict=True)))
                    if more is None:
                        left.append((name, reads, key))
                    else:
                        wanted = more
                self.look([wanted.get(index, choice) for index, choice in enumerate(self.random())])
                missing = left
            self.attribute()

    def _missing(self, layer: TracedLayer) -> list[tuple[Key, Key]]:
        found = []
        for reads, known in ((layer.shape_reads, layer.shapes), (layer.size_reads, layer.sizes)):
            for key in product(*(self._values(d, layer.decision) for d in reads)):
                if key in known or self._together({}, dict(zip(reads, key, strict=True))) is None:
                    continue
                if known is layer.shapes or self._there(layer, reads, key):
                    found.append((reads, key))
        return found

    def _there(self, layer: TracedLayer, reads: Key, key: Key) -> bool:
        """Whether some network with these choices is known to have the layer, or may have it."""
        chosen = dict(zip(reads, key, strict=True))
        return any(
            shape is not None
            and all(chosen.get(d, c) == c for d, c in zip(layer.shape_reads, own, strict=True))
            and self._together({}, {**dict(zip(layer.shape_reads, own, strict=True)), **chosen}) is not None
            for own, shape in layer.shapes.items()
        )

    def _values(self, index: int, last: int) -> range:
        """What a decision may be in the key of a layer; the layer's own decision is active."""
        optional = index != last and self.decisions[index].active_if is not None
        return range(-1 if optional else 0, len(self.decisions[index].choices))

    def _together(self, wanted: Mapping[int, int], more: Mapping[int, int]) -> dict[int, int] | None:
        """Choices that give both; None if they exclude each other. A choice of -1 means inactive."""
        chosen = dict(wanted)
        for index, choice in more.items():
            condition = self.decisions[index].active_if
            if choice < 0:
                assert condition is not None
                parent, least = condition
                above = chosen.get(parent, more.get(parent))
                if chosen.get(index, -1) >= 0 or (above is not None and above >= least):
                    return None
                if above is None:
                    optional = self.decisions[parent].active_if is not None
                    inactive = self._together(chosen, {parent: 0 if least else -1}) if least or optional else None
                    if inactive is None:
                        return None
                    chosen = inactive
                continue
            if chosen.setdefault(index, choice) != choice:
                return None
            while condition is not None:
                parent, least = condition
                own = more.get(parent, chosen.get(parent))
                if own is None:
                    own = int(self.rng.integers(least, len(self.decisions[parent].choices)))
                if own < least or chosen.setdefault(parent, own) != own:
                    return None
                condition = self.decisions[parent].active_if
        return chosen

    def agrees(self) -> bool:
        """Whether what was found tells the layers of fresh random networks; otherwise they are now among those seen."""
        right = True
        for _ in range(_CHECKS):
            wanted = self.random()
            code = self.active(wanted)
            names = len(self.layers)
            network = self.look(wanted)
            told = {}
            try:
                told = {n: spec for n, layer in self.layers.items() if (spec := self._told(layer, code)) is not None}
            except KeyError:
                right = False
            right = right and len(self.layers) == names and told == dict(network)
        return right

    def _told(self, layer: TracedLayer, code: Key) -> LayerSpec | None:
        return None if code[layer.decision] < 0 else layer.at(code)

    def ordered(self) -> tuple[TracedLayer, ...]:
        """The layers in an order in which every network seen executes them."""
        order: list[str] = []
        for network in sorted(self.seen.values(), key=len, reverse=True):
            place = 0
            for name in network:
                if name in order:
                    place = max(place, order.index(name) + 1)
                else:
                    order.insert(place, name)
                    place += 1
        return tuple(self.layers[name] for name in order)


def unstable(what: str, architecture: str) -> UsageError:
    """The error for a network that is another one each time that it is built."""
    return UsageError(
        f"{what} is another one each time that this network is built: {architecture}.",
        "Build nothing from random numbers, or from what earlier calls left behind.",
    )


def _shape(layer: LayerSpec | None) -> LayerSpec | None:
    return None if layer is None else replace(layer, in_size=0)


def _with(reads: Key, index: int) -> Key:
    return tuple(sorted({*reads, index}))
