"""The elastic MobileNetV3 supernet."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from nagsdk.families.elastic import ElasticBatchNorm, ElasticConv, ElasticDepthwise
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space


class Supernet(nn.Module):
    """Weights shared by every architecture of a `MobileNetV3Space`.

    Attributes:
        space: The space whose architectures it contains.
    """

    def __init__(self, space: MobileNetV3Space) -> None:
        super().__init__()
        self.space = space
        stem, head, features = (space.width(w) for w in (space.stem_width, space.head_width, space.feature_width))
        self.stem = ElasticConv(3, stem, 3, 2)
        self.stem_bn = ElasticBatchNorm(stem)
        self.first_depthwise = ElasticDepthwise(stem, (3,), 1)
        self.first_depthwise_bn = ElasticBatchNorm(stem)
        self.first_project = ElasticConv(stem, stem)
        self.first_project_bn = ElasticBatchNorm(stem)
        self.blocks = nn.ModuleList(ElasticBlock(shape, space.kernels, space.expansions) for shape in space.blocks)
        self.head = ElasticConv(space.blocks[-1].out_channels, head)
        self.head_bn = ElasticBatchNorm(head)
        self.features = ElasticConv(head, features)
        self.classifier = nn.Linear(features, space.classes)

    def forward(self, x: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the active path of one architecture.

        Args:
            x: Normalised images, float32, shape (n, 3, resolution, resolution).
            code: Choice index of every decision, -1 where inactive.

        Returns:
            Logits, shape (n, classes).
        """
        x = functional.hardswish(self.stem_bn(self.stem(x)))
        y = functional.relu(self.first_depthwise_bn(self.first_depthwise(x, 3)))
        x = x + self.first_project_bn(self.first_project(y))
        for block in self.blocks:
            assert isinstance(block, ElasticBlock)
            choice = code[block.shape.decision]
            if choice >= 0:
                x = block(x, *self.space.block_choice(choice))
        x = functional.hardswish(self.head_bn(self.head(x))).mean((2, 3), keepdim=True)
        logits: Tensor = self.classifier(functional.hardswish(self.features(x)).flatten(1))
        return logits
