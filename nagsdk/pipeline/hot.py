"""Candidates under sustained load: what they are measured with, and which of several is tried next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from nagsdk.budget import Budget
from nagsdk.device.host_state import host_state
from nagsdk.device.reconnecting import reconnecting
from nagsdk.events import Notice
from nagsdk.measuring.sustained import Load, Sustained, measure_sustained
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import keeper

# Beside a candidate, those that the same limits and limits that are reduced by these factors lead to are measured.
RIVALS = (1.0, 1.3)
_LOADING = "{} is loaded for up to {:g} min, because {} asks for the latency under sustained load."
_SLOWER = "Under load, {} became {:.2f} times slower, beginning after {:.0f} s."
_FASTER = "Under load, {} became {:.2f} times faster, beginning after {:.0f} s."
_STEADY = "Under {:.0f} s of load, {} kept its speed."
_NOT_PREDICTED = (
    "Latencies are predicted without load: how much slower the device becomes under sustained load is known only when "
    "'nagsdk deploy' measures it."
)
_UNSETTLED = (
    "After {:.0f} s of load the speed of {} still changed: the latency after a longer load is not known. Allow more "
    "time, such as @sustained={:.0f}min."
)


def longest_load(budgets: Sequence[Budget]) -> float | None:
    """The longest time of load that the budgets ask for; None if none is about sustained load."""
    return max((b.sustained_s for b in budgets if b.sustained_s is not None), default=None)


def time_under_load(target: Target, compiled: Mapping[str, Path], budgets: Sequence[Budget]) -> Sustained:
    """Measures artifacts under load in a fresh session, and stores the readings; the first artifact is the load.

    Args:
        target: Bundle and device.
        compiled: Artifacts by the text form of their architectures.
        budgets: Budgets, of which at least one is about sustained load.

    Raises:
        DeviceError: The device failed or was busy.
    """
    longest_s = longest_load(budgets)
    assert longest_s is not None
    asked = " and ".join(str(b) for b in budgets if b.sustained_s is not None)
    target.on_event(Notice(_LOADING.format(target.device.id, longest_s / 60, asked)))
    look: Callable[[], Mapping[str, float]] = dict if target.backend.runs_elsewhere else host_state

    def load(seconds: float) -> Sustained:
        with target.locked(), target.backend.open(target.device) as session:
            return measure_sustained(
                session,
                compiled,
                seconds,
                target.protocol,
                look=look,
                environment=target.presence.properties,
                keep=keeper(target, target.protocol.under_load(seconds)),
                on_event=target.on_event,
            )

    found = reconnecting(partial(load, longest_s), target.on_event)
    target.on_event(Notice(told_under_load(target.device.id, found.load)))
    return found


def told_under_load(device: str, load: Load) -> str:
    """What happened under a load, in a sentence."""
    if load.model is None or not load.model.changes:
        return _STEADY.format(load.moments[-1].seconds, device)
    changed = _SLOWER if load.slowdown > 1 else _FASTER
    return changed.format(device, max(load.slowdown, 1 / load.slowdown), load.model.switch_s)


def note_on(budgets: Sequence[Budget]) -> tuple[str, ...]:
    """The warning that a prediction does not know sustained load; empty if no budget asks for it."""
    return () if longest_load(budgets) is None else (_NOT_PREDICTED,)


def warnings_on(device: str, load: Load) -> tuple[str, ...]:
    """Warnings about a load that was too short to tell the hot state."""
    model = load.model
    if load.settled or model is None or not model.changes or model.known:
        return ()
    return (_UNSETTLED.format(load.longest_s, device, max(1, round(2 * load.longest_s / 60))),)
