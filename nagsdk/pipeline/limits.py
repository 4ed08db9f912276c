"""What architectures of a bundle cost on a device, as the additive tables and the limits on them that strategies are given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from nagsdk.budget import LATENCY, MACS, METRICS, SHOWN_UNITS, SIZE, Budget, Unit
from nagsdk.bundle.bundle import Bundle
from nagsdk.common.foreign_code import blaming
from nagsdk.cost.bounds import Completions
from nagsdk.cost.metric import HIGHER
from nagsdk.cost.metric_limits import MetricLimits
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats, exact_table
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import InfeasibleError, UnknownNameError
from nagsdk.plugin.host import host
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes


class Costs:
    """Costs of one bundle's architectures on one device.

    Args:
        bundle: The bundle.
        backend: Of the device; says which layers it runs and how large they are in a file.
        device: The device.
    """

    def __init__(self, bundle: Bundle, backend: Backend, device: Device) -> None:
        self.bundle, self.backend, self.device = bundle, backend, device
        self._metrics: dict[str, MetricLimits] = {}

    @property
    def _blaming(self) -> AbstractContextManager[None]:
        return blaming(f"The backend {self.backend.id}")

    @cached_property
    def supported(self) -> NDArray[np.bool_]:
        """Choices whose layers the backend runs, shape (resolutions, decisions, most choices)."""
        space = self.bundle.space
        with self._blaming:
            unsupported = exact_table(space, lambda layer: float(not self.backend.supports(layer, self.device)))
        return np.equal(unsupported.choice, 0)

    def table(self, metric: str, model: CostModel | None, resolution: int | None = None) -> AdditiveTable:
        """The additive cost table of a metric; what is not supported or not asked for is masked.

        Args:
            metric: ``latency`` (ms), ``size`` (bytes), ``macs`` or one of a plugin that layers add up to.
            model: The cost model; needed for latencies.
            resolution: Masks every other resolution.

        Raises:
            UnknownNameError: There is no such metric.
            UsageError: The metric is no sum, or more of it is better.
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
        elif metric in host().metrics.names:
            table = self.metric(metric).summed()
        else:
            raise UnknownNameError.among("metric", metric, [*METRICS, *host().metrics.names], host().missing)
        return self._masked(table, resolution)

    def metric(self, name: str) -> MetricLimits:
        """A metric of a plugin over the bundle's space.

        Raises:
            UnknownNameError: No plugin brings it.
        """
        if name not in self._metrics:
            self._metrics[name] = MetricLimits.of(self.bundle.space, host().metrics.get(name), self.device, self._worth)
        return self._metrics[name]

    def unit(self, metric: str) -> Unit:
        """What a metric is shown in."""
        return SHOWN_UNITS.get(metric) or next(iter(self.metric(metric).metric.units.items()))

    def _worth(self, codes: Codes) -> Floats:
        """Predicted top-1; MACs where nothing is known of accuracy."""
        if not self.bundle.has_predictor:
            return exact_table(self.bundle.space, lambda layer: float(layer.macs)).cost(codes)
        return np.asarray(self.bundle.predictor.predict(codes).mean, np.float64)

    def metrics(self, architecture: Architecture, budgets: Sequence[Budget]) -> dict[str, float]:
        """What an architecture has of the plugins' metrics that are limited, by id."""
        return {b.metric: self.metric(b.metric).value(architecture) for b in budgets if b.metric not in METRICS}

    def table_for(self, budget: Budget, model: CostModel | None, resolution: int | None = None) -> AdditiveTable:
        """The table on which `limit` stands for the budget; see `table`."""
        if budget.metric in METRICS:
            return self.table(budget.metric, model, resolution)
        table, _ = self.metric(budget.metric).held(budget.limit, self._index(resolution))
        return self._masked(table, resolution)

    def _masked(self, table: AdditiveTable, resolution: int | None) -> AdditiveTable:
        return table.masked(self.supported, self._index(resolution))

    def _index(self, resolution: int | None) -> int | None:
        return None if resolution is None else self.bundle.space.resolution_index(resolution)

    def limit(self, budget: Budget, model: CostModel | None, resolution: int | None = None) -> float:
        """The largest cost in the table of `table_for` whose upper bound holds the budget."""
        if budget.metric not in METRICS:
            return self.metric(budget.metric).held(budget.limit, self._index(resolution))[1]
        if budget.metric != LATENCY:
            return budget.limit
        assert model is not None
        return model.limit_for_mean(budget.limit, budget.confidence, budget.percentile)

    def feasible_limit(self, budget: Budget, model: CostModel | None, table: AdditiveTable, resolution: int | None = None) -> float:
        """Like `limit`, after making sure that some architecture holds it.

        Raises:
            InfeasibleError: None does; the message names what the cheapest needs.
        """
        limit, cheapest = self.limit(budget, model, resolution), Completions.of(self.bundle.space, table).least
        if cheapest <= limit:
            return limit
        if budget.metric not in METRICS:
            metric = self.metric(budget.metric)
            nearest = replace(budget, limit=metric.nearest(partial(self._masked, resolution=resolution))).rounded(
                up=metric.metric.direction != HIGHER
            )
            raise InfeasibleError(
                f"No architecture of {self.bundle.name} holds {budget} on {self.device.id}: the nearest to be had is {nearest}.",
                f"Ask for {nearest}, or use another bundle.",
            )
        if not np.isfinite(cheapest):
            raise InfeasibleError(f"{self.device.id} runs no architecture of {self.bundle.name}.", "Use another bundle or device.")
        # Upper bounds are proportional to the mean, so the cheapest needs as much more than was asked as its mean passes the limit.
        least = replace(budget, limit=float(f"{budget.limit * cheapest / limit * 1.005:.3g}"))
        raise InfeasibleError(
            f"No architecture of {self.bundle.name} holds {budget} on {self.device.id}: the cheapest needs about {least}.",
            f"Ask for {least} or more, or use another bundle.",
        )

    def unlimited(self, asked: Sequence[Sequence[Budget]], tables: Sequence[AdditiveTable], limits: Floats) -> NDArray[np.bool_]:
        """Where every architecture holds all limits.

        Args:
            asked: Budgets that hold together, n times.
            tables: Those of `table_for`.
            limits: On them, shape (n, tables).

        Returns:
            Shape (n,).
        """
        most = [Completions.of(self.bundle.space, table).most for table in tables]
        free = [all(b.metric in METRICS or self.metric(b.metric).forbids_nothing(b.limit) for b in together) for together in asked]
        held: NDArray[np.bool_] = np.all(limits >= most, axis=1) & free
        return held
