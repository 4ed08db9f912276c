"""Trees by scikit-learn, for the searches that fit them."""

from __future__ import annotations

from typing import Any

from nagsdk.common.pip import pip
from nagsdk.cost.table import Floats
from nagsdk.errors import UsageError


def boosted(rows: Floats, values: Floats, seed: int) -> Any:
    """Gradient-boosted trees; `predict` gives the values of other rows."""
    return _ensembles().HistGradientBoostingRegressor(
        max_iter=80, max_leaf_nodes=8, min_samples_leaf=5, max_features=0.3, random_state=seed
    ).fit(rows, values)  # fmt: skip


def forest(rows: Floats, values: Floats, seed: int) -> Any:
    """Randomised trees; `estimators_` are the single ones."""
    return _ensembles().ExtraTreesRegressor(
        n_estimators=20, min_samples_leaf=2, max_features=0.5, bootstrap=True, random_state=seed
    ).fit(rows, values)  # fmt: skip


def _ensembles() -> Any:
    """The module of scikit-learn.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import sklearn.ensemble as ensembles
    except ImportError as error:
        raise UsageError(
            "This strategy needs scikit-learn.", f"Install it: {pip('install', 'nagsdk[searches]')}"
        ) from error
    return ensembles
