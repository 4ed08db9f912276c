"""The prior of a device whose plugin brings a simulator: prices of features that say what the simulator says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.cost.table import exact_table
from nagsdk.errors import DeviceError
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import SearchSpace

_SAMPLES = 400
# What a simulator leaves out: by as much as devices of one kind differ in the public tables.
_SPREAD = 0.5
_JITTER = Jitter({90.0: 1.1}, 0.03)


def simulated_prior(space: SearchSpace, simulate: Callable[[LayerSpec], float | None], title: str) -> Prior | None:
    """Fits non-negative prices of features to simulated latencies of random architectures.

    The simulator's layers add up, as the features do; what the features cannot express widens the spread.

    Args:
        space: Whose architectures it shall speak of.
        simulate: Milliseconds of one layer; None where there is no simulator.
        title: Whose it is.

    Returns:
        The prior; None where there is no simulator.

    Raises:
        DeviceError: A layer takes no time, or what is none.
    """
    if simulate(space.fixed_layers(space.resolutions[0])[0]) is None:
        return None
    from scipy.optimize import nnls

    codes = space.sample(_SAMPLES, np.random.default_rng(0))
    told = exact_table(space, lambda layer: float(simulate(layer) or 0.0)).cost(codes)
    if not (np.isfinite(told).all() and (told > 0).all()):
        raise DeviceError(
            f"{title} gives latencies that are not positive numbers.", "Mend its plugin, or calibrate the device."
        )
    features = FeatureTable.of(space).of_codes(codes)
    weights, _ = nnls(features / told[:, None], np.ones(_SAMPLES))
    missed = float(np.std(np.log(features @ weights / told)))
    return Prior(
        weights, float(np.hypot(_SPREAD, missed)), _JITTER, source={"title": title, "simulator_missed_by": missed}
    )
