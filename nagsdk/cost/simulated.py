"""The prior of a device whose plugin brings a simulator: prices of features, fitted to simulated latencies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.cost.table import exact_table
from nagsdk.errors import DeviceError
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import SearchSpace, extremes

_SAMPLES = 400
# Spread for what a simulator leaves out, as large as the differences between devices of one kind in the public tables.
_SPREAD = 0.5
_JITTER = Jitter({90.0: 1.1}, 0.03)


def simulated_prior(space: SearchSpace, simulate: Callable[[LayerSpec], float | None], title: str) -> Prior | None:
    """Fits non-negative prices of features to simulated latencies of random architectures.

    The simulated latencies of layers add up, as features do. The error of the fit widens the spread.

    Args:
        space: Search space for which the prior is made.
        simulate: Returns the milliseconds of one layer; None if there is no simulator.
        title: Name of the simulator's owner, for messages.

    Returns:
        The prior; None if there is no simulator.

    Raises:
        DeviceError: The simulated latency of an architecture is not a positive number.
    """
    smallest, _ = space.decode(extremes(space))
    if simulate(space.layers(smallest)[0]) is None:  # spaces of finished networks have no layers in common
        return None
    from scipy.optimize import nnls

    codes = space.sample(_SAMPLES, np.random.default_rng(0))
    simulated = exact_table(space, lambda layer: float(simulate(layer) or 0.0)).cost(codes)
    if not (np.isfinite(simulated).all() and (simulated > 0).all()):
        raise DeviceError(
            f"{title} gives latencies that are not positive numbers.", "Fix its plugin, or calibrate the device."
        )
    features = FeatureTable.of(space).of_codes(codes)
    weights, _ = nnls(features / simulated[:, None], np.ones(_SAMPLES))
    error = float(np.std(np.log(features @ weights / simulated)))
    return Prior(
        weights, float(np.hypot(_SPREAD, error)), _JITTER, source={"title": title, "simulator_missed_by": error}
    )
