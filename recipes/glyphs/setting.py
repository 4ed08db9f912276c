"""What the bundle is made of: its space, its training and its numbers."""

from __future__ import annotations

from nagsdk.space.mobilenet_v3 import MobileNetV3Space, Stage
from nagsdk.supernet.data import Normalisation
from nagsdk.supernet.train import TrainRecipe

SIDE = 48
NORMALISATION = Normalisation()
BATCH = 64
RECIPE = TrainRecipe(steps=6800, learning_rate=4e-3, largest_first=800, checkpoint_every=400)


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
