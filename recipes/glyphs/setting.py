"""The settings of the bundle: its picture size, preprocessing and training."""

from __future__ import annotations

from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.recipe import TrainRecipe

SIDE = 48
PREPROCESSING = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
BATCH = 64
# The second pass trains the subnets between the two extremes more often: three per step, the first pass only one.
PASSES = (
    TrainRecipe(steps=4000, learning_rate=4e-3, random_subnets=1, largest_first=1000, checkpoint_every=500),
    TrainRecipe(steps=1600, learning_rate=2e-3, random_subnets=3, warmup=0.02, seed=1, checkpoint_every=200),
)
