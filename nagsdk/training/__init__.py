"""From a folder of a user's own images to a bundle: training, evaluation, accuracy predictor, generator."""

from __future__ import annotations

from nagsdk.common.lazy import lazy_names

# 0.1.0 documented these functions under this name.
__getattr__, __dir__ = lazy_names(
    __name__, {"train_generator": "nagsdk.training.generator", "train_paper_generator": "nagsdk.pipeline.paper"}
)
