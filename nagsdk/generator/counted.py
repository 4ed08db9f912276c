"""An accuracy predictor that counts what it is asked for, and refuses more than was allowed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from nagsdk.errors import UsageError
from nagsdk.generator.ranking import distinct
from nagsdk.predictor.protocol import Derived, Teacher
from nagsdk.space.space import Codes


class Counted(Derived):
    """Predicts a limited number of different architectures; asking for one of them again costs nothing.

    Args:
        predictor: The predictor.
        most: Number of architectures.
    """

    def __init__(self, predictor: Teacher, most: int) -> None:
        super().__init__(predictor)
        self.most = most
        self.known: dict[bytes, float] = {}

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` is the top-1 in per cent.

        Raises:
            UsageError: With these architectures, there are more than allowed.
        """
        rows, first, same = distinct(codes)
        keys = [rows[i].tobytes() for i in first]
        new = [number for number, key in enumerate(keys) if key not in self.known]
        if len(self.known) + len(new) > self.most:
            raise UsageError(
                f"More than {self.most} architectures were evaluated.",
                "The strategy must heed Question.evaluations; use another one.",
            )
        if new:
            found = np.asarray(self.predictor.predict(rows[first[new]]).mean, np.float64)
            self.known.update(zip((keys[number] for number in new), found.tolist(), strict=True))
        return SimpleNamespace(mean=np.array([self.known[key] for key in keys], np.float64)[same])
