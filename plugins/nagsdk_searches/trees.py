"""Gradient-boosted trees, by scikit-learn, for the searches that fit them."""

from __future__ import annotations

from collections.abc import Callable

from nagsdk.common.pip import pip
from nagsdk.cost.table import Floats
from nagsdk.errors import UsageError

# Fits trees to rows and values, with a seed, and returns their prediction.
Regressor = Callable[[Floats, Floats, int], Callable[[Floats], Floats]]


def regressor() -> Regressor:
    """The function that fits trees.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError as error:
        raise UsageError(
            "This strategy needs scikit-learn.", f"Install it: {pip('install', 'nagsdk[searches]')}"
        ) from error

    def fit(rows: Floats, values: Floats, seed: int) -> Callable[[Floats], Floats]:
        model = HistGradientBoostingRegressor(
            max_iter=100, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=5, max_features=0.3, random_state=seed
        )
        predict: Callable[[Floats], Floats] = model.fit(rows, values).predict
        return predict

    return fit
