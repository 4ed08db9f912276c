"""The elastic MobileNetV3 supernet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nagsdk.families.elastic import ElasticBatchNorm, ElasticConv, ElasticDepthwise
from nagsdk.families.mobilenet_v3.block import ACTIVATIONS, ElasticBlock
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.families.mobilenet_v3.slices import copy_block, copy_unit
from nagsdk.families.mobilenet_v3.sorting import sort_middle
from nagsdk.families.mobilenet_v3.subnet import Block, ConvUnit, MobileNetV3Subnet, set_eps
from nagsdk.families.protocol import Supernet
from nagsdk.families.torch_scope import seeded
from nagsdk.space.architecture import Architecture


class MobileNetV3Supernet(Supernet):
    """Weights shared by every architecture of a MobileNetV3 space."""

    space: MobileNetV3Definition
    class_tensors = ("classifier.weight", "classifier.bias")

    @seeded()
    def __init__(self, space: MobileNetV3Definition) -> None:
        super().__init__(space)
        stem, head = space.width(space.stem_width), space.width(space.head_width)
        self.stem = ElasticConv(3, stem, 3, 2, space.same)
        self.stem_bn = ElasticBatchNorm(stem)
        self.first_depthwise = ElasticDepthwise(stem, (3,), 1)
        self.first_depthwise_bn = ElasticBatchNorm(stem)
        self.first_project = ElasticConv(stem, space.trunk)
        self.first_project_bn = ElasticBatchNorm(space.trunk)
        choices = space.kernels, space.expansions, space.same
        self.blocks = nn.ModuleList(ElasticBlock(shape, *choices) for shape in space.blocks)
        self.head = ElasticConv(space.blocks[-1].out_channels, head)
        self.head_bn = ElasticBatchNorm(head)
        self.features = ElasticConv(head, space.ends) if space.feature_width else None
        self.classifier = nn.Linear(space.ends, space.classes)
        set_eps(self, space.norm_eps)

    def forward(self, images: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the active path of one architecture; see `Supernet.forward`."""
        activate = ACTIVATIONS[self.space.activation]
        x = activate(self.stem_bn(self.stem(images)))
        y = ACTIVATIONS[self.space.first_activation](self.first_depthwise_bn(self.first_depthwise(x, 3)))
        y = self.first_project_bn(self.first_project(y))
        x = x + y if x.shape == y.shape else y
        for block in self.blocks:
            assert isinstance(block, ElasticBlock)
            choice = code[block.shape.decision]
            if choice >= 0:
                x = block(x, *self.space.block_choice(choice))
        x = activate(self.head_bn(self.head(x))).mean((2, 3), keepdim=True)
        x = x if self.features is None else activate(self.features(x))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits

    @torch.no_grad()
    def extract(self, architecture: Architecture) -> MobileNetV3Subnet:
        """Cuts out a stand-alone subnet; see `Supernet.extract`."""
        subnet = MobileNetV3Subnet(self.space, architecture)
        copy_unit(subnet.stem, self.stem.weight, self.stem_bn)
        copy_unit(subnet.first.depthwise, self.first_depthwise.weight, self.first_depthwise_bn)
        copy_unit(subnet.first.project, self.first_project.weight, self.first_project_bn)
        active = [b for b in self.blocks if isinstance(b, ElasticBlock) and architecture.code[b.shape.decision] >= 0]
        for target, source in zip(subnet.blocks, active, strict=True):
            assert isinstance(target, Block)
            kernel, expansion = self.space.block_choice(architecture.code[source.shape.decision])
            copy_block(target, source, kernel, expansion)
        copy_unit(subnet.head, self.head.weight, self.head_bn)
        if self.features is not None:
            assert isinstance(subnet.features, ConvUnit)
            copy_unit(subnet.features, self.features.weight, None)
        subnet.classifier.load_state_dict(self.classifier.state_dict())
        return subnet.eval()

    def initialise(self, seed: int) -> None:
        """Draws new weights.

        Residual branches start at zero, so that depth does not slow learning (Goyal et al., 2017).
        """
        super().initialise(seed)
        if self.space.trunk == self.space.width(self.space.stem_width):
            nn.init.zeros_(self.first_project_bn.weight)
        for block in self.blocks:
            assert isinstance(block, ElasticBlock)
            if block.shape.residual:
                nn.init.zeros_(block.project_bn.weight)

    def sort_channels(self) -> None:
        """Sorts the middle channels of every block; see `Supernet.sort_channels`."""
        for block in self.blocks:
            assert isinstance(block, ElasticBlock)
            sort_middle(block)
