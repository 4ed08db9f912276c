"""What the bundle is made of: its space, its training and its numbers."""

from __future__ import annotations

from nagsdk.preprocessing import Preprocessing
from nagsdk.space.mobilenet_v3 import MobileNetV3Space, Stage
from nagsdk.supernet.train import TrainRecipe

SIDE = 48
PREPROCESSING = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
BATCH = 64
# The second pass is for the subnets in between, which the first one visits once per step beside both extremes.
PASSES = (
    TrainRecipe(steps=4000, learning_rate=4e-3, random_subnets=1, largest_first=1000, checkpoint_every=500),
    TrainRecipe(steps=1600, learning_rate=2e-3, random_subnets=3, warmup=0.02, seed=1, checkpoint_every=200),
)


def glyph_space(classes: int = 47) -> MobileNetV3Space:
    """A small elastic MobileNetV3 for 32 to 48 pixels: 0.3 to 8 MMACs."""
    depths = (1, 2, 3)
    return MobileNetV3Space(
        stages=(
            Stage(16, 2, "relu", se=False, depths=depths),
            Stage(24, 2, "relu", se=True, depths=depths),
            Stage(40, 1, "hswish", se=False, depths=depths),
            Stage(64, 2, "hswish", se=True, depths=depths),
        ),
        stem_width=8,
        head_width=192,
        feature_width=256,
        kernels=(3, 5),
        expansions=(2, 4, 6),
        resolution_choices=(32, 36, 40, 44, 48),
        classes=classes,
    )
