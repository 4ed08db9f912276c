"""How to time a network on a device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """Interleaved rounds: in every round each network is timed once, with the reference network around it.

    A shared machine changes its speed by tens of percent from second to second, and CPU time changes
    with it. The reference network, timed right before and after every network, shows that speed; a
    reading counts as quiet when the reference ran near its own quiet level and the CPU was not taken
    away (wall / CPU time).

    Attributes:
        warmup: Untimed runs before each timed burst; the reference always has one.
        runs: Timed runs of a burst. Many short bursts repeat better than few long ones of the same cost.
        reference_runs: Timed runs of the reference between bursts.
        rounds: Rounds at least, and quiet readings wanted of every network.
        width: How far the upper limit of the median may lie above the median, relatively, before readings are repeated.
        most_rounds: Rounds after which readings are no longer repeated, if `patience_s` is over too.
        spread_s: Seconds that rounds go on at least, so that a tiny network does not meet one mood of the machine only.
        patience_s: Seconds for which readings are repeated at least, where they are disturbed or scatter.
        contention: Largest wall / CPU time of a quiet burst (where the burst tells CPU time).
        drift: Largest slow-down of the reference against its quiet level, before and after a quiet burst.
        timeout_s: Seconds after which one burst counts as hung.
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

    def to_dict(self) -> dict[str, Any]:
        """The protocol as it stands in manifests and cost model cards."""
        return asdict(self)


# Of reference architectures. Short bursts often rather than long ones seldom, and several sessions: the speed of a
# machine drifts, and a process keeps the luck of its memory layout.
CALIBRATION_PROTOCOL = Protocol(
    warmup=1, runs=5, reference_runs=3, rounds=5, width=1.0, most_rounds=5, spread_s=0.0, patience_s=0.0
)
