"""Progressive shrinking: smaller subnets join the training after the larger ones have learnt.

Method: Cai et al., Once-for-All, ICLR 2020, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.space.space import Codes, ShrinkingStage


def stages(space: MobileNetV3Definition) -> tuple[ShrinkingStage, ...]:
    """Returns the stages of training in order.

    The shares of steps and of the learning rate follow the epochs and learning rates of Once-for-All's own training.
    """
    kernels, depths, expansions = (
        len(space.kernels),
        max(len(stage.depths) for stage in space.stages),
        len(space.expansions),
    )

    def opened(kernels: int, depths: int, expansions: int) -> dict[str, int]:
        return {"kernels": kernels, "depths": depths, "expansions": expansions}

    some, every = (0.04, 0.1), (0.21, 0.3)
    return (
        ShrinkingStage(opened(1, 1, 1), 0.30, 1.0, 1),
        *([ShrinkingStage(opened(kernels, 1, 1), 0.20, 0.4, 1)] if kernels > 1 else []),
        *(ShrinkingStage(opened(kernels, d, 1), *(every if d == depths else some), 2) for d in range(2, depths + 1)),
        # Channels are sorted once, when the first smaller expansion joins.
        *(
            ShrinkingStage(opened(kernels, depths, e), *(every if e == expansions else some), 4, e == 2)
            for e in range(2, expansions + 1)
        ),
    )


def draw(space: MobileNetV3Definition, opened: Mapping[str, int], count: int, rng: np.random.Generator) -> Codes:
    """Draws random architectures: each decision is uniform over its open choices, and all resolutions are open.

    Args:
        space: Space of the architectures.
        opened: Number of choices that may be drawn, counted from the largest down, by name: ``kernels`` and
            ``expansions`` of a block, ``depths`` of a stage.
        count: Number of architectures.
        rng: Source of randomness.
    """
    kernels, expansions = space.kernels[-opened["kernels"] :], space.expansions[-opened["expansions"] :]
    pairs = (space.block_choice(c) for c in range(len(space.kernels) * len(space.expansions)))
    blocks = [c for c, (kernel, expansion) in enumerate(pairs) if kernel in kernels and expansion in expansions]
    at_blocks = {block.decision for block in space.blocks}
    columns = []
    for index, size in enumerate(space.sizes.tolist()):
        depths = list(range(size))[-opened["depths"] :]
        columns.append(rng.choice(blocks if index in at_blocks else depths if index else list(range(size)), count))
    return space.validate(np.column_stack(columns))
