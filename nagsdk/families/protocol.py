"""What training, export and measuring ask of networks, whatever their family (imports torch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from nagsdk.errors import DamagedBundleError
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import SearchSpace


class Subnet(nn.Module):
    """A stand-alone network of one architecture; maps normalised images (n, 3, resolution, resolution) to logits (n, classes).

    Attributes:
        architecture: What it was built from.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    def fold(self) -> None:
        """Folds batch normalisation into the layers before it, in place and in eval mode: the same outputs to rounding, in less time.

        The default leaves the network as it is, which is slower but right.
        """


class Supernet(nn.Module, ABC):
    """Weights that all architectures of a space share; a subclass is made from the space alone.

    Attributes:
        space: The space whose architectures it contains.
        class_tensors: Names of the tensors of the classifier, whose first dimension is the number of classes.
    """

    class_tensors: tuple[str, ...]

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    @abstractmethod
    def forward(self, images: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the active path of one architecture.

        Args:
            images: Normalised, float32, shape (n, 3, resolution, resolution).
            code: Choice index of every decision, -1 where inactive.

        Returns:
            Logits, shape (n, classes).
        """

    @abstractmethod
    def extract(self, architecture: Architecture) -> Subnet:
        """Cuts out a stand-alone network that computes what the active path does.

        The statistics of batch normalisation are the supernet's and foreign to the subnet: see `nagsdk.supernet.recalibrate`.

        Args:
            architecture: A point of the supernet's space.

        Returns:
            The subnet, in eval mode, holding its own copy of the weights.
        """

    def initialise(self, seed: int) -> None:
        """Draws the weights anew before a training.

        Args:
            seed: Of the draw; the global random state of torch is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.load_state_dict(type(self)(self.space).state_dict())

    def sort_channels(self) -> None:
        """Orders channels by their importance, in place, so that small networks keep what counts; the largest computes what it did before.

        Progressive shrinking calls it when narrower networks join. The default leaves the order as it is.
        """

    def fill(self, state: Mapping[str, Tensor], what: str) -> Self:
        """Takes over weights, float16 or float32, and goes into eval mode.

        Args:
            state: Tensors by name, without counts of batches.
            what: Where they come from, for messages.

        Raises:
            DamagedBundleError: They are not those of the space, or not finite.
        """
        expected = {k: v.shape for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        both = expected.keys() & state.keys()
        for problem, names in (
            ("lacks", expected.keys() - state.keys()),
            ("has foreign", state.keys() - expected.keys()),
            ("has misshapen", {k for k in both if state[k].shape != expected[k]}),
            ("has non-finite", {k for k in both if not torch.isfinite(state[k]).all()}),
        ):
            if names:
                raise DamagedBundleError(
                    f"{what} {problem} {len(names)} tensors ({', '.join(sorted(names)[:3])}, …).",
                    "Use the checkpoint that belongs to this bundle's space.",
                )
        self.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
        return self.eval()
