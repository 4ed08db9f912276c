"""Attention as a module of its own, which exporters and cost models see as one layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Scaled dot-product attention without weights of its own; linear layers make its inputs and read its output.

    Attributes:
        heads: Number of heads.
    """

    # `nagsdk.graph.trace` and `nagsdk.families.traced.recording` do not look into a module with this attribute.
    lowered: ClassVar[str] = "attention"

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Maps three times (n, tokens, heads * size) to the same shape."""
        count, tokens, _ = queries.shape
        q, k, v = (t.reshape(count, tokens, self.heads, -1).transpose(1, 2) for t in (queries, keys, values))
        mixed: Tensor = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return mixed
