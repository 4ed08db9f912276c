"""Base classes of the networks of every family, as training, export and measuring use them (imports torch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from nagsdk.errors import DamagedBundleError
from nagsdk.families.torch_scope import seeded
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import SearchSpace

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_VARIANCE = "running_var"


class Subnet(nn.Module):
    """A stand-alone network of one architecture.

    It maps normalised images (n, 3, resolution, resolution) to logits (n, classes).

    Attributes:
        architecture: The architecture that it was built from.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    def fold(self) -> None:
        """Folds batch normalisation into the layers before it, in place and in eval mode.

        The outputs stay the same except for rounding, and the network runs faster. The default implementation leaves
        the network as it is, which is slower but correct.
        """


class Supernet(nn.Module, ABC):
    """A network whose weights all architectures of a space share; a subclass is constructed from the space alone.

    Attributes:
        space: The space whose architectures it contains.
        class_tensors: Names of the classifier's tensors, whose first dimension is the number of classes.
        notes: What users must know about where the weights came from, such as what was left out.
    """

    class_tensors: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    @abstractmethod
    def forward(self, images: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the active path of one architecture.

        Args:
            images: Normalised images, float32, shape (n, 3, resolution, resolution).
            code: Choice index of every decision, -1 where the decision is inactive.

        Returns:
            Logits, shape (n, classes).
        """

    @abstractmethod
    def extract(self, architecture: Architecture) -> Subnet:
        """Cuts out a stand-alone network that computes the same as the active path.

        Its batch normalisation statistics are copied from the supernet and do not fit the subnet; recompute them with
        `nagsdk.supernet.recalibrate`.

        Args:
            architecture: An architecture of the supernet's space.

        Returns:
            The subnet, in eval mode, holding its own copy of the weights.
        """

    def initialise(self, seed: int) -> None:
        """Draws new random weights before training starts.

        Args:
            seed: Seed of the weights; the global random state of torch stays unchanged.
        """
        with seeded(seed):
            self.load_state_dict(type(self)(self.space).state_dict())

    def sort_channels(self) -> None:
        """Sorts channels by importance, in place, so that narrower networks keep the most important ones.

        The largest network computes the same as before. Progressive shrinking calls this when narrower networks join
        the training. The default implementation leaves the order as it is.
        """

    def fill(self, state: Mapping[str, Tensor], what: str) -> Self:
        """Loads float16 or float32 weights and switches to eval mode.

        Args:
            state: Tensors by name, without batch counters (``num_batches_tracked``).
            what: Source of the weights, such as a path, for error messages.

        Raises:
            DamagedBundleError: The tensors do not belong to this space, or some values are not finite.
        """
        expected = {k: v.shape for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        both = expected.keys() & state.keys()
        fit = {k for k in both if state[k].shape == expected[k]}
        floats = {k for k in fit if state[k].dtype in _FLOATS}
        # Converted first: a finite float64 may be infinite as a float32.
        weights = {k: state[k].float() for k in floats}
        for problem, names in (
            ("is missing", expected.keys() - state.keys()),
            ("has unknown", state.keys() - expected.keys()),
            ("has wrongly shaped", both - fit),
            ("has other numbers than floats of 16, 32 or 64 bits in", fit - floats),
            ("has non-finite", {k for k, v in weights.items() if not torch.isfinite(v).all()}),
            ("has negative variances in", {k for k, v in weights.items() if _VARIANCE in k and (v < 0).any()}),
        ):
            if names:
                raise DamagedBundleError(
                    f"{what} {problem} {len(names)} tensors ({', '.join(sorted(names)[:3])}, …).",
                    "Use the checkpoint that belongs to this bundle's space.",
                )
        self.load_state_dict(weights, strict=False)
        return self.eval()
