"""How to time a network on a device."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

# So many runs of each session of a verdict shall lie beyond the percentile that is asked for.
_BEYOND = 4
_NEVER = 1e9


@dataclass(frozen=True)
class Protocol:
    """Protocol of interleaved rounds: every round times each network once, with the reference before and after it.

    The speed of a shared machine changes by tens of percent from second to second, and CPU times change with it. The
    reference network, timed right before and after every network, shows that speed. A reading counts as quiet if the
    reference ran near its quiet level and the CPU was not taken away (ratio of wall to CPU time).

    Attributes:
        warmup: Number of untimed runs before each timed burst; the reference always has one.
        runs: Number of timed runs of a burst. Many short bursts repeat better than few long ones of the same cost.
        reference_runs: Number of timed runs of the reference between bursts.
        rounds: Least number of rounds, and of quiet readings of every network.
        width: How far the upper limit of the median may lie above the median, as a share of it, before readings are
            repeated.
        most_rounds: Number of rounds after which readings are no longer repeated, if `patience_s` is over too.
        spread_s: Least seconds over which the rounds are spread, so that a tiny network is not timed at a single
            speed of the machine only.
        patience_s: Least seconds for which readings are repeated while they are disturbed or scatter.
        contention: Largest ratio of wall to CPU time of a quiet burst (if the burst reports CPU times).
        drift: Largest slow-down of the reference relative to its quiet level, before and after a quiet burst.
        timeout_s: Timeout of one burst in seconds.
        load_s: For readings under sustained load, the longest time for which the device is loaded before; None for
            others.
    """

    warmup: int = 2
    runs: int = 5
    reference_runs: int = 3
    rounds: int = 8
    width: float = 0.03
    most_rounds: int = 24
    spread_s: float = 3.0
    patience_s: float = 20.0
    contention: float = 1.1
    drift: float = 1.05
    timeout_s: float = 60.0
    load_s: float | None = None

    def for_percentile(self, percentile: float) -> Self:
        """The protocol with as many rounds as a percentile of single runs needs: more runs, the fewer lie beyond it."""
        rounds = max(self.rounds, math.ceil(_BEYOND / (1 - percentile / 100) / self.runs - 1e-9))
        return replace(self, rounds=rounds, most_rounds=max(self.most_rounds, self.most_rounds * rounds // self.rounds))

    def under_load(self, longest_s: float) -> Self:
        """The protocol of readings under sustained load, where every burst is a part of the load."""
        return replace(self, warmup=1, contention=_NEVER, drift=_NEVER, load_s=longest_s)

    def to_dict(self) -> dict[str, Any]:
        """Returns the protocol as it is written in manifests and cost model cards; without `load_s` if that is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


# Of reference architectures. Short bursts often rather than long ones seldom, and several sessions: the speed of a
# machine drifts, and a process keeps the luck of its memory layout.
CALIBRATION_PROTOCOL = Protocol(
    warmup=1, runs=5, reference_runs=3, rounds=5, width=1.0, most_rounds=5, spread_s=0.0, patience_s=0.0
)

# Of estimates, which are the same every time.
ESTIMATE_PROTOCOL = Protocol(
    warmup=0, runs=1, reference_runs=1, rounds=3, width=1.0, most_rounds=3, spread_s=0.0, patience_s=0.0
)
