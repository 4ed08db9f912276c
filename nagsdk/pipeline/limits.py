"""Budgets as additive cost tables of a bundle on a device, and limits on these tables, as strategies need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nagsdk.budget import ENERGY, LATENCY, MACS, MEASURED, METRICS, SHOWN_UNITS, SIZE, Budget, Unit
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.names import bundle_names
from nagsdk.common.foreign_code import blaming
from nagsdk.cost.bounds import Completions
from nagsdk.cost.metric import HIGHER
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats, exact_table
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import InfeasibleError, UnknownNameError, UnsupportedLayerError
from nagsdk.plugin.host import Host
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, extremes

if TYPE_CHECKING:
    from nagsdk.cost.metric_limits import MetricLimits


@dataclass(frozen=True)
class Limit:
    """A budget as an additive cost table with a limit.

    Attributes:
        budget: The budget that the user asked for.
        sought: The budget that architectures are generated for: `budget`, or a smaller one if files or runs took more
            than estimated.
        table: The additive costs that are limited.
        most: The largest allowed cost in `table`.
        bounds: The costs of the cheapest and the most expensive architecture in `table`.
    """

    budget: Budget
    sought: Budget
    table: AdditiveTable
    most: float
    bounds: Completions

    @property
    def timed(self) -> bool:
        """Whether the budget limits a latency."""
        return self.budget.metric == LATENCY

    def at_pace(self, pace: float) -> Limit:
        """The limit for a device that runs slower or faster than when it was calibrated; only latencies change.

        Args:
            pace: How many times longer networks take now.
        """
        return replace(self, most=self.most / pace) if self.timed else self

    def reachable(self) -> Limit:
        """The limit, raised if necessary so that at least the cheapest architecture holds it; only latencies change."""
        return replace(self, most=max(self.most, self.bounds.least)) if self.timed else self


class Costs:
    """What one bundle's architectures cost on one device.

    Args:
        bundle: The bundle.
        backend: The backend of the device; it knows which layers it runs and how large they are in a file.
        device: The device.
        plugins: Returns the plugin host; called only where a budget limits a metric of a plugin.
    """

    def __init__(self, bundle: Bundle, backend: Backend, device: Device, plugins: Callable[[], Host]) -> None:
        self.bundle, self.backend, self.device, self._plugins = bundle, backend, device, plugins
        self._metrics: dict[str, MetricLimits] = {}

    @property
    def _blaming(self) -> AbstractContextManager[None]:
        return blaming(f"The backend {self.backend.id}")

    @cached_property
    def supported(self) -> NDArray[np.bool_]:
        """Choices whose layers the backend runs, shape (resolutions, rows, most choices).

        Raises:
            UnsupportedLayerError: It does not run layers that every network of the space has.
        """
        space = self.bundle.space
        with self._blaming:
            unsupported = exact_table(space, lambda layer: float(not self.backend.supports(layer, self.device)))
        supported = np.equal(unsupported.choice, 0)
        existing = supported & space.existing
        always = [d for d, decision in enumerate(space.decisions) if decision.active_if is None]
        if (unsupported.base > 0).all() or not all(existing[:, space.rows.of(d)].any() for d in always):
            raise self._unrunnable()
        return supported

    def _unrunnable(self) -> UnsupportedLayerError:
        space = self.bundle.space
        with self._blaming:
            layers = space.layers(space.decode(extremes(space))[1])
            missing = [layer for layer in layers if not self.backend.supports(layer, self.device)]
        what = ", ".join(sorted({layer.float_only or layer.kind for layer in missing}))
        precision = f" in {self.device.precision}" if self.device.precision else ""
        return UnsupportedLayerError(
            f"{self.backend.title} cannot run the networks of {self.bundle.name}{precision}: {what}.",
            "Use another precision, such as --precision fp32, or another device.",
        )

    def table(self, metric: str, model: CostModel | None, resolution: int | None = None) -> AdditiveTable:
        """The additive cost table of a metric; unsupported choices and other resolutions are masked.

        Args:
            metric: ``latency`` (ms), ``size`` (bytes), ``macs`` or a plugin's metric that is a sum over layers.
            model: The cost model; needed for latencies.
            resolution: If given, every other resolution is masked.

        Raises:
            UnknownNameError: There is no such metric.
            UsageError: The metric is not a sum over layers, or larger values of it are better.
        """
        space = self.bundle.space
        if metric == LATENCY:
            assert model is not None
            table = model.table
        elif metric == MACS:
            table = exact_table(space, lambda layer: float(layer.macs))
        elif metric == SIZE:
            with self._blaming:
                table = exact_table(space, lambda layer: self.backend.layer_bytes(layer, self.device))
        elif metric in self._plugins().metrics.names:
            table = self.metric(metric).summed()
        else:
            raise UnknownNameError.among(
                "metric", metric, [*METRICS, *self._plugins().metrics.names], self._plugins().missing
            )
        return self._masked(table, resolution)

    def metric(self, name: str) -> MetricLimits:
        """A metric of a plugin over the bundle's space.

        Raises:
            UnknownNameError: No plugin provides it.
        """
        from nagsdk.cost.metric_limits import MetricLimits

        if name not in self._metrics:
            self._metrics[name] = MetricLimits.of(
                self.bundle.space, self._plugins().metrics.get(name), self.device, self._worth
            )
        return self._metrics[name]

    def unit(self, metric: str) -> Unit:
        """The unit in which a metric is shown."""
        return SHOWN_UNITS.get(metric) or next(iter(self.metric(metric).metric.units.items()))

    def _worth(self, codes: Codes) -> Floats:
        """Predicted top-1; MACs if the bundle has no accuracy predictor."""
        if not self.bundle.has_predictor:
            return exact_table(self.bundle.space, lambda layer: float(layer.macs)).cost(codes)
        return np.asarray(self.bundle.predictor.predict(codes).mean, np.float64)

    def metrics(self, architecture: Architecture, budgets: Sequence[Budget]) -> dict[str, float]:
        """An architecture's values of the plugin metrics that the budgets limit, by the metric's id."""
        return {b.metric: self.metric(b.metric).value(architecture) for b in budgets if b.metric not in SHOWN_UNITS}

    def table_for(self, budget: Budget, model: CostModel | None, resolution: int | None = None) -> AdditiveTable:
        """The table that `limit` refers to for a budget; see `table`."""
        if budget.metric in SHOWN_UNITS:
            # Smaller files load faster and need less memory; faster networks use less energy.
            of = dict.fromkeys(MEASURED, SIZE) | {ENERGY: MACS if model is None else LATENCY}
            return self.table(of.get(budget.metric, budget.metric), model, resolution)
        table, _ = self.metric(budget.metric).held(budget.limit, self._index(resolution))
        return self._masked(table, resolution)

    def _masked(self, table: AdditiveTable, resolution: int | None) -> AdditiveTable:
        return table.masked(self.supported, self._index(resolution))

    def _index(self, resolution: int | None) -> int | None:
        return None if resolution is None else self.bundle.space.resolution_index(resolution)

    def limit(self, budget: Budget, model: CostModel | None, resolution: int | None = None) -> float:
        """The largest cost in the table of `table_for` whose upper bound still holds the budget.

        Nothing is known about metrics that are only measured, so nothing is forbidden for them.
        """
        if budget.metric in MEASURED:
            return np.inf
        if budget.metric not in METRICS:
            return self.metric(budget.metric).held(budget.limit, self._index(resolution))[1]
        if budget.metric != LATENCY:
            return budget.limit
        assert model is not None
        return model.limit_for_mean(budget.limit, budget.confidence, budget.percentile)

    def limit_of(
        self, budget: Budget, model: CostModel | None, resolution: int | None = None, sought: Budget | None = None
    ) -> Limit:
        """The table and the limit of a budget.

        Args:
            budget: The budget that the user asked for.
            model: The cost model; needed for latencies.
            resolution: If given, every other resolution is masked.
            sought: The budget to generate for; `budget` if None.
        """
        sought = sought or budget
        table = self.table_for(sought, model, resolution)
        bounds = Completions.of(self.bundle.space, table)
        if budget.metric in MEASURED:
            # All files are allowed until one was measured to need too much: then only those that are as much smaller.
            return Limit(budget, sought, table, bounds.most * sought.limit / budget.limit, bounds)
        return Limit(budget, sought, table, self.limit(sought, model, resolution), bounds)

    def feasible(
        self, budget: Budget, model: CostModel | None, resolution: int | None = None, like: Limit | None = None
    ) -> Limit:
        """Like `limit_of`, but makes sure that some architecture holds the budget.

        Args:
            budget: The budget that the user asked for.
            model: The cost model; needed for latencies.
            resolution: If given, every other resolution is masked.
            like: A limit on the same metric, whose table is used again.

        Raises:
            InfeasibleError: No architecture holds it; the message names what the cheapest one needs.
        """
        if like is not None and budget.metric in METRICS:
            limit = replace(like, budget=budget, sought=budget, most=self.limit(budget, model, resolution))
        else:
            limit = self.limit_of(budget, model, resolution)
        if limit.bounds.least <= limit.most:
            return limit
        device, bundle = self.device.id, self.bundle.name
        if budget.metric not in SHOWN_UNITS:
            metric = self.metric(budget.metric)
            nearest = replace(budget, limit=metric.nearest(partial(self._masked, resolution=resolution))).rounded(
                up=metric.metric.direction != HIGHER
            )
            raise InfeasibleError(
                f"No architecture of {bundle} holds {budget} on {device}: the nearest possible value is {nearest}.",
                f"Ask for {nearest}, or use another bundle.",
            )
        if not np.isfinite(limit.bounds.least):
            raise InfeasibleError(f"{device} runs no architecture of {bundle}.", "Use another bundle or device.")
        # Upper bounds are proportional to the mean: the cheapest architecture exceeds the budget by the same factor
        # by which its mean exceeds the limit.
        least = budget.eased(limit.bounds.least / limit.most * 1.005)
        needs, more = ("reaches", "less") if budget.throughput else ("needs", "more")
        raise InfeasibleError(
            f"No architecture of {bundle} holds {budget} on {device}: the cheapest {needs} about {least}.",
            f"Ask for {least} or {more}, or use another bundle.",
            excess=limit.bounds.least / limit.most,
        )

    def eased(self, budget: Budget, factor: float) -> Budget:
        """A budget that is easier to hold by a factor: limits from above are multiplied by it, others divided."""
        above = budget.metric in SHOWN_UNITS or self.metric(budget.metric).metric.direction != HIGHER
        return budget.eased(factor if above else 1 / factor)

    def note_on(self, limits: Sequence[Limit]) -> tuple[str, ...]:
        """The warning that the budgets limit nothing, with what the largest network needs; empty if they limit it."""
        if any(limit.budget.metric in MEASURED for limit in limits):  # what they limit is known after measuring only
            return ()
        if not limits or not self._limit_nothing(limits):
            return ()
        needs = [
            ("reaches " if limit.budget.throughput else "needs ")
            + str(limit.budget.eased(limit.bounds.most / limit.most))
            for limit in limits
            if limit.budget.metric in METRICS
        ]
        asked = " and ".join(str(limit.budget) for limit in limits)
        most = " and ".join(needs) or "holds it"
        return (f"{asked} limits nothing: even the largest network of {self.bundle.name} {most}{self._larger}.",)

    @cached_property
    def _larger(self) -> str:
        """Which shipped bundles have larger inputs, as the end of a sentence; opening them reads files."""
        return "".join(
            f"; for inputs of {resolutions[0]} to {resolutions[-1]} pixels: --bundle {other.name}"
            for other in map(load_bundle, bundle_names())
            if other.has_predictor and (resolutions := other.space.resolutions)[-1] > self.bundle.space.resolutions[-1]
        )

    def _limit_nothing(self, limits: Sequence[Limit]) -> bool:
        """Whether every architecture holds all limits."""
        own = (
            limit.budget.metric in METRICS or self.metric(limit.budget.metric).forbids_nothing(limit.budget.limit)
            for limit in limits
        )
        return all(own) and all(limit.most >= limit.bounds.most for limit in limits)
