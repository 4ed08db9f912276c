"""Who steers searches and who judges their picks: predictors of different halves of a bundle's measured subnets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.bundle.bundle import Bundle
from nagsdk.common.pip import pip
from nagsdk.cost.table import Floats
from nagsdk.errors import UsageError
from nagsdk.predictor.protocol import Predictor, Teacher
from nagsdk.space.space import Codes

MEASURED = "measured.csv"
_FEWEST = 60


@dataclass(frozen=True)
class Court:
    """The steering predictor and the judges.

    Attributes:
        steer: The accuracy predictor that strategies are asked with.
        judges: Predictors that judge what they pick, by kind.
        rmse: RMSE of each on measured subnets that it was not fitted to, in points, by kind; empty if none is known.
        resolutions: Mask of the resolutions for which they can speak.
        warnings: What limits the judgement.
    """

    steer: Teacher
    judges: Mapping[str, Predictor]
    rmse: Mapping[str, float]
    resolutions: NDArray[np.bool_]
    warnings: tuple[str, ...] = ()

    def top1(self, codes: Codes) -> dict[str, Floats]:
        """The top-1 of architectures of shape (m, decisions) by every judge."""
        return {kind: np.asarray(judge.predict(codes).mean, np.float64) for kind, judge in self.judges.items()}


def court(bundle: Bundle, measured: str | Path | None, seed: int) -> Court:
    """Splits the measured subnets of a bundle in two halves; one steers, the other judges.

    Args:
        bundle: The bundle.
        measured: A table of measured subnets with the column top1; None for the bundle's own, if it has one. Without
            any, the bundle's predictor steers and judges, and a warning says so.
        seed: Seed of the split.

    Raises:
        UsageError: The table has no column top1, or too few subnets.
        ArchitectureError: The table cannot be read.
    """
    space = bundle.space
    table = bundle.folder / MEASURED if measured is None else Path(measured)
    if measured is None and not table.is_file():
        told = (
            f"{bundle.name} holds no table of measured subnets, so its predictor steers the strategies and judges them "
            "too: the figures tell how well each strategy follows that predictor, not how accurate the networks are. "
            "--measured names a table."
        )
        every = np.ones(len(space.resolutions), bool)
        return Court(bundle.predictor, {"the steering predictor": bundle.predictor}, {}, every, (told,))
    codes, columns = space.read_table(table)
    if "top1" not in columns:
        raise UsageError(f"{table} has no column top1.", "Give a table with the top-1 of every subnet in per cent.")
    return _split(bundle, space.validate(codes), _numbers(columns["top1"], table), seed)


def _split(bundle: Bundle, codes: Codes, top1: Floats, seed: int) -> Court:
    from nagsdk.predictor.halves import Half, judges_of, second_half  # torch
    from nagsdk.predictor.kinds import judging

    count = len(np.unique(codes, axis=0))
    if count < _FEWEST:
        raise UsageError(
            f"{count} measured subnets are too few to steer with one half and to judge with the other.",
            f"Measure at least {_FEWEST}: nagsdk predictor fit --subnets NUMBER.",
        )
    second = second_half(codes, seed)
    steer = Half.fitted(bundle.space, codes[~second], top1[~second], seed)
    judges = judges_of(bundle.space, codes, top1, judging(), seed)
    warnings = (
        ()
        if len(judges) > 1
        else (
            "The only judge is of the steering predictor's own kind, and may share its errors. "
            f"For judges of other kinds: {pip('install', 'nagsdk[searches]')}",
        )
    )
    known = np.isin(np.arange(len(bundle.space.resolutions)), codes[:, 0])
    return Court(steer, judges, {kind: judge.rmse for kind, judge in judges.items()}, known, warnings)


def _numbers(column: Any, table: Path) -> Floats:
    try:
        values = np.asarray(column).astype(np.float64)
    except ValueError as error:
        raise UsageError(f"The column top1 of {table} has an entry that is no number.", "Correct it.") from error
    if not np.isfinite(values).all():
        raise UsageError(f"The column top1 of {table} has an entry that is no finite number.", "Correct it.")
    return values
