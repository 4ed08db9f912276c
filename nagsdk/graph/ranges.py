"""Ranges of the tensors of a `Graph`, from which its integer form follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nagsdk.errors import DamagedBundleError, DataError
from nagsdk.graph.ir import GATE, HARD_SIGMOID, RELU, RELU6, Activation, Graph, Weights

MOST_IMAGES = 128
_BATCH = 32
# Ranges that take as long as real ones, for networks that are only timed.
_MADE_UP, _MADE_UP_INPUT = (-6.0, 6.0), (-3.0, 3.0)
# Prefixes of the names of ranges and corrections among the pinned statistics.
PREFIX = "int8."
RANGE, CORRECTION = f"{PREFIX}range:", f"{PREFIX}correction:"


@dataclass(frozen=True)
class Ranges:
    """What the integer form of a network takes from images; with it, the file can be written again without them.

    Attributes:
        limits: Smallest and largest value of each tensor, by its name.
        corrections: What is added to the bias of a convolution or linear layer against the mean error of rounding, by
            its name.
        images: Number of images; 0 if the ranges are made up.
    """

    limits: Mapping[str, tuple[float, float]]
    corrections: Mapping[str, Weights] = field(default_factory=dict)
    images: int = 0

    def to_statistics(self) -> dict[str, bytes]:
        """Returns everything as little-endian float32, by a name that starts with `RANGE` or `CORRECTION`."""
        return {
            **{RANGE + name: np.array(pair, "<f4").tobytes() for name, pair in self.limits.items()},
            **{CORRECTION + name: values.astype("<f4").tobytes() for name, values in self.corrections.items()},
        }

    @classmethod
    def from_statistics(cls, kept: Mapping[str, bytes], graph: Graph) -> Ranges:
        """Rebuilds ranges from the result of `to_statistics`; other entries are ignored.

        Args:
            kept: The pinned statistics.
            graph: The network that they belong to.

        Raises:
            DamagedBundleError: They do not fit the network.
        """
        numbers = {
            prefix: {
                name.removeprefix(prefix): np.frombuffer(content[: len(content) // 4 * 4], "<f4").astype(np.float32)
                for name, content in kept.items()
                if name.startswith(prefix)
            }
            for prefix in (RANGE, CORRECTION)
        }
        sizes = {node.name: len(node.bias) for node in graph.nodes if hasattr(node, "bias")}
        fits = (
            numbers[RANGE].keys() >= {graph.INPUT, *(node.name for node in graph.nodes)}
            and all(pair.shape == (2,) for pair in numbers[RANGE].values())
            and all(len(values) == sizes.get(name) for name, values in numbers[CORRECTION].items())
            and all(np.isfinite(values).all() for kind in numbers.values() for values in kind.values())
        )
        if not fits:
            raise DamagedBundleError(
                "The ranges for int8 do not fit the architecture.", "Build again without --locked."
            )
        return cls({name: (float(a), float(b)) for name, (a, b) in numbers[RANGE].items()}, numbers[CORRECTION])


def made_up_ranges(graph: Graph) -> Ranges:
    """Ranges for networks that are only timed; the latency does not depend on them."""
    inner = {node.name: known_range(node) or _MADE_UP for node in graph.nodes}
    return Ranges({graph.INPUT: graph.input_range or _MADE_UP_INPUT, **inner})


def known_range(node: object) -> tuple[float, float] | None:
    """The range of a tensor that follows from its function alone; None if it depends on the images."""
    if isinstance(node, Activation):
        if node.function in (RELU6, GATE):
            return 0.0, 6.0
        if node.function == HARD_SIGMOID:
            return 0.0, 1.0
    return None


def observed_ranges(graph: Graph, images: Weights) -> Ranges:
    """The smallest and largest values of every tensor over images.

    Args:
        graph: The network.
        images: Normalised images, shape (n, 3, h, w), n ≥ 1.

    Raises:
        DataError: A tensor has values that are not finite.
    """
    import torch

    from nagsdk.graph.interpret import tensors

    limits: dict[str, tuple[float, float]] = {}
    nodes = {node.name: node for node in graph.nodes}
    for start in range(0, len(images), _BATCH):
        for name, tensor in tensors(graph, torch.from_numpy(images[start : start + _BATCH])):
            low, high = (float(limit) for limit in torch.aminmax(tensor))
            if not (np.isfinite(low) and np.isfinite(high)):
                raise DataError(
                    f"{name} has values that are not finite, so it has no range for int8.",
                    "Check the images and the weights, or use another precision, such as fp32.",
                )
            before = limits.get(name, (low, high))
            limits[name] = known_range(nodes.get(name)) or (min(before[0], low), max(before[1], high))
    limits[graph.INPUT] = graph.input_range or limits[graph.INPUT]
    for name, node in nodes.items():
        if isinstance(node, Activation) and node.function == RELU:
            limits[name] = (0.0, limits[name][1])
    return Ranges(limits, images=len(images))


def spread(images: Weights, most: int = MOST_IMAGES) -> Weights:
    """At most so many images, evenly spread over all of them."""
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(np.intp)
    chosen: Weights = images[rows]
    return chosen
