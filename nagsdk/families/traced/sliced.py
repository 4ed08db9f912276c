"""A supernet for any family whose networks name their layers alike: all share the weights of the largest network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nagsdk.errors import UsageError
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.torch_scope import seeded
from nagsdk.families.traced.built import BuiltSpace
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes

_COUNTER = "num_batches_tracked"
_KEPT = 64


class TracedSubnet(Subnet):
    """A stand-alone network that a traced family built.

    Attributes:
        network: The network.
    """

    def __init__(self, architecture: Architecture, network: nn.Module) -> None:
        super().__init__(architecture)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (n, 3, resolution, resolution) to logits (n, classes)."""
        logits: Tensor = self.network(images)
        return logits


class SlicedSupernet(Supernet):
    """Weights shared by all networks of a family: those of its largest network.

    A smaller network uses the first channels of each tensor and the centre of each kernel, so that gradients and
    running statistics reach the shared tensors.

    Attributes:
        whole: The largest network.
    """

    space: BuiltSpace

    @seeded()
    def __init__(self, space: BuiltSpace) -> None:
        super().__init__(space)
        largest = extremes(space)[1].tolist()
        self.whole = space.network(space.values(largest))
        with torch.device("meta"):
            more = space.with_classes(space.classes + 1)
            other = more.network(more.values(largest)).state_dict()
        self.class_tensors = tuple(
            f"whole.{name}" for name, tensor in self.whole.state_dict().items() if tensor.shape != other[name].shape
        )
        self._skeleton = lru_cache(_KEPT)(self._built)

    def forward(self, images: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the active path of one architecture; see `Supernet.forward`."""
        network = self._skeleton(tuple(int(choice) for choice in code)).train(self.training)
        logits: Tensor = functional_call(network, self._active(network), (images,))
        return logits

    @torch.no_grad()
    def extract(self, architecture: Architecture) -> TracedSubnet:
        """See `Supernet.extract`."""
        network = self.space.network(self.space.values(architecture.code))
        own = network.state_dict()
        for name, tensor in self._active(network).items():
            own[name].copy_(tensor)
        return TracedSubnet(architecture, network).eval()

    def _built(self, code: tuple[int, ...]) -> nn.Module:
        """The network of a code without weights."""
        with torch.device("meta"):
            network = self.space.network(self.space.values(code))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None
        return network

    def _active(self, network: nn.Module) -> dict[str, Tensor]:
        """Views of the shared tensors that have the shapes of a network's own."""
        shared = {**dict(self.whole.named_parameters()), **dict(self.whole.named_buffers())}
        wanted = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        shapes = {name: tensor.shape for name, tensor in wanted.items() if not name.endswith(_COUNTER)}
        check_shared({name: tensor.shape for name, tensor in shared.items()}, shapes)
        return {name: _first(shared[name], shape) for name, shape in shapes.items()}


def check_shared(largest: Mapping[str, Sequence[int]], shapes: Mapping[str, Sequence[int]]) -> None:
    """Checks that a network can use the first entries of the tensors of the largest one.

    Args:
        largest: Shapes of the tensors of the largest network, by name.
        shapes: Those of the other network.

    Raises:
        UsageError: A tensor is no part of the one with the same name, or there is none.
    """
    for name, shape in shapes.items():
        have = largest.get(name)
        if have is None or len(have) != len(shape) or any(a < b for a, b in zip(have, shape, strict=True)):
            raise UsageError(
                f"The largest network of the family has no tensor {name} that contains one of shape {tuple(shape)}.",
                "Give the same layer the same name in every network, and list choices from the smallest to the "
                "largest.",
            )


def _first(shared: Tensor, shape: Sequence[int]) -> Tensor:
    """The first entries along every axis of a tensor; the centre along height and width of a kernel."""
    view = shared
    for axis, (have, want) in enumerate(zip(shared.shape, shape, strict=True)):
        start = (have - want) // 2 if axis >= 2 and shared.dim() == 4 else 0
        view = view.narrow(axis, start, want)
    return view
