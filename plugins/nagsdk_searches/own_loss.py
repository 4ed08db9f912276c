"""The loss of a bundle's supernet in the place of the accuracy predictor."""

from __future__ import annotations

from types import SimpleNamespace

from nagsdk.errors import UsageError
from nagsdk.generator.strategy import Question
from nagsdk.predictor.protocol import Derived
from nagsdk.space.space import Codes


class OwnLoss(Derived):
    """Prefers architectures of a small loss in the supernet; the accuracy predictor is not asked."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.predictor)
        if question.loss is None:
            raise UsageError("This question comes without a supernet.", "Use the option loss=predictor.")
        self.loss = question.loss

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` grows as the loss falls."""
        return SimpleNamespace(mean=-self.loss(codes))
