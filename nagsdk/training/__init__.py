"""Makes a bundle from a folder of a user's own images: training, evaluation, accuracy predictor, generator."""

from __future__ import annotations

from nagsdk.common.lazy import lazy_names

# Version 0.1.0 documented these functions in this module.
__getattr__, __dir__ = lazy_names(
    __name__, {"train_generator": "nagsdk.training.generator", "train_paper_generator": "nagsdk.pipeline.paper"}
)
