"""What is known of the layers of a traced family: which choices each one depends on, and what it is with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nagsdk.space.decisions import Key
from nagsdk.space.layer import LayerSpec

_FORMAT = 1


@dataclass
class TracedLayer:
    """One layer of a family, in all of its networks.

    Attributes:
        name: Its name; see `nagsdk.families.traced.recording`.
        shape_reads: Decisions that its shape depends on, ascending; 0 is the resolution.
        size_reads: Decisions that the height and width of its input depend on, ascending.
        shapes: Its shape, as a layer with an input of 0 pixels, by the choices of `shape_reads`; None where networks do
            not have it. A choice is -1 where a decision is inactive.
        sizes: Height and width of its input in pixels, by the choices of `size_reads`.
    """

    name: str
    shape_reads: Key = ()
    size_reads: Key = ()
    shapes: dict[Key, LayerSpec | None] = field(default_factory=dict)
    sizes: dict[Key, int] = field(default_factory=dict)

    @property
    def decision(self) -> int:
        """The decision whose choices add the layer: the last one that it depends on; 0 if every network has it."""
        return max((*self.shape_reads, *self.size_reads), default=0)

    @property
    def reads(self) -> set[int]:
        """The other decisions, besides the resolution, that it depends on."""
        return {*self.shape_reads, *self.size_reads} - {0, self.decision}

    def at(self, code: Sequence[int] | Mapping[int, int]) -> LayerSpec | None:
        """Returns the layer in the network with these choices, None if it is not there.

        Args:
            code: Choices of the decisions that it depends on, and perhaps of others.

        Raises:
            KeyError: It was not seen with these choices.
        """
        shape = self.shapes[tuple(code[d] for d in self.shape_reads)]
        return None if shape is None else replace(shape, in_size=self.sizes[tuple(code[d] for d in self.size_reads)])


def to_json(layers: Iterable[TracedLayer]) -> dict[str, Any]:
    """Returns layers in a form that can be written as JSON."""

    def written(layer: TracedLayer) -> dict[str, Any]:
        return {
            "name": layer.name,
            "shape_reads": layer.shape_reads,
            "size_reads": layer.size_reads,
            "shapes": [[key, shape and _written(shape)] for key, shape in sorted(layer.shapes.items())],
            "sizes": [[key, size] for key, size in sorted(layer.sizes.items())],
        }

    return {"format": _FORMAT, "layers": [written(layer) for layer in layers]}


def _written(shape: LayerSpec) -> list[Any]:
    """The fields after the name, without the last one where it is 0: fingerprints of spaces depend on them."""
    values = list(asdict(shape).values())[1:]
    return values if shape.heads else values[:-1]


def from_json(content: Any) -> tuple[TracedLayer, ...]:
    """Reads the result of `to_json`, which has passed through JSON.

    Raises:
        ValueError: It has another form.
    """
    try:
        if content["format"] != _FORMAT:
            raise ValueError("it was written by another version of nagsdk")
        return tuple(
            TracedLayer(
                str(entry["name"]),
                _key(entry["shape_reads"]),
                _key(entry["size_reads"]),
                {_key(key): shape and LayerSpec(entry["name"], *shape) for key, shape in entry["shapes"]},
                {_key(key): int(size) for key, size in entry["sizes"]},
            )
            for entry in content["layers"]
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("it does not have the form of a table of layers") from error


def _key(values: Iterable[Any]) -> Key:
    return tuple(int(value) for value in values)
