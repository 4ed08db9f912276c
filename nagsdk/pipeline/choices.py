"""Precisions and numbers of threads between which a device shall decide; one pair of them is called an arm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from nagsdk.bundle.bundle import Bundle
from nagsdk.common.cores import usable_cores
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceError, DeviceUnavailableError, UnknownNameError, UsageError
from nagsdk.manifest.result import LEFT_OUT, Arm, arm_name
from nagsdk.pipeline.limits import Costs
from nagsdk.plugin.host import host
from nagsdk.predictor.losses import Loss
from nagsdk.ranges import ARMS, THREADS
from nagsdk.space.space import without_integers

ANY = "any"
Precisions: TypeAlias = str | Sequence[str] | None
Threads: TypeAlias = int | str | Sequence[int] | None
# Networks of the size that phones run gain little from more.
_THREADS = (1, 2, 4, 8)
# Phones seldom have more fast cores, and how many they have is not known before they are measured.
_MOST_ELSEWHERE = 4
_NO_INTEGERS = "the networks of {} have layers without an integer form: {}"
_NO_LOSS_KNOWN = "what it loses in accuracy is not known for {}; 'nagsdk predictor fit' measures it for int8"


@dataclass(frozen=True)
class Setting:
    """One precision and number of threads of a device.

    Attributes:
        overrides: The settings of the call that lead to it.
        device: The description of the device with these settings.
        presence: Whether the device is available with them.
    """

    overrides: Overrides
    device: Device
    presence: Presence


def named(device: Device) -> str:
    """The arm of a device as text, such as ``int8, 2 threads``."""
    return arm_name(device.precision, device.threads)


def loss_of(bundle: Bundle, backend: Backend, device: Device) -> Loss | None:
    """What is known about the accuracy that networks lose as the backend writes them; None if nothing is."""
    if not bundle.has_predictor:
        return None
    scheme = backend.scheme(device) if device.precision in backend.integer_precisions else None
    return bundle.predictor.loss(device.precision, "" if scheme is None else scheme.name)


def arms_of(
    device: Device,
    backend: Backend,
    bundle: Bundle,
    others: Overrides,
    threads: Threads,
    precision: Precisions,
    known: Callable[[], Iterable[str]],
) -> tuple[list[Setting], list[Arm]]:
    """The arms that were asked for.

    Args:
        device: The description of the device, without the settings of the call.
        backend: Its backend.
        bundle: The bundle, whose accuracy predictor knows what integers lose.
        others: The other settings of the call.
        threads: A number, several, ``any``, or None for the device's default.
        precision: A precision, several, ``any``, or None for the device's default.
        known: Returns the precisions of all backends; called only for a list that this backend does not offer.

    Returns:
        The settings in the order in which they were asked for, and the arms that were left out, with the reasons.

    Raises:
        UsageError: A value is not legal, or no arm can be used.
    """
    left_out: list[Arm] = []
    counts: Sequence[Any] = _listed(threads, "threads", lambda: _every_threads(device, backend), THREADS.parse)
    precisions: Sequence[Any] = _listed(
        precision, "precision", lambda: _every_precision(backend, bundle, left_out), str.strip
    )
    if len(precisions) > 1:
        precisions = _offered(device, backend, precisions, known, left_out)
    ARMS.check(len(precisions) * len(counts))
    asked: list[Overrides] = []
    described: list[Device] = []
    refused: UsageError | None = None
    for overrides in [replace(others, threads=count, precision=one) for one in precisions for count in counts]:
        try:
            described.append(overrides.on(device, backend.precisions, backend.ios))
            asked.append(overrides)
        except UsageError as error:
            refused = error
            left_out.append(Arm(str(overrides.precision), overrides.threads, LEFT_OUT, error.message))
    if refused is not None and (not asked or len(precisions) == 1):
        raise refused
    arms = [Setting(overrides, one, presence_of(backend, one)) for overrides, one in zip(asked, described, strict=True)]
    return _usable(arms, backend, bundle, left_out), left_out


def _listed(value: Any, name: str, every: Callable[[], list[Any]], read: Callable[[str], Any]) -> list[Any]:
    """The values between which shall be decided; a single value, which is not checked here, if there is no choice."""
    if value == ANY:
        return every()
    given = value.split(",") if isinstance(value, str) and "," in value else value
    if isinstance(given, str) or not isinstance(given, Iterable):
        return [given]
    found = [read(one) if isinstance(one, str) else one for one in given]
    texts = name == "precision"
    legal = all(isinstance(one, str) == texts and one != "" for one in found)
    if not found or not legal or ANY in found or len(set(map(str, found))) < len(found):
        raise UsageError(
            f"{value!r:.80} cannot be the {name}.",
            f"Give one value, several different ones such as {'fp32,int8' if texts else '1,2'}, or {ANY}.",
        )
    return found


def _every_threads(device: Device, backend: Backend) -> list[int]:
    most = _MOST_ELSEWHERE if backend.runs_elsewhere else usable_cores()
    return [count for count in _THREADS if count <= most]


def _every_precision(backend: Backend, bundle: Bundle, left_out: list[Arm]) -> list[str]:
    """All precisions of the backend whose accuracy is known; adds the others to `left_out`."""
    known = []
    without = without_integers(bundle.space)
    for one in backend.precisions:
        if without and one in backend.integer_precisions:
            left_out.append(Arm(one, None, LEFT_OUT, _NO_INTEGERS.format(bundle.name, without)))
        elif one.startswith("int") and bundle.has_predictor and bundle.predictor.loss(one) is None:
            left_out.append(Arm(one, None, LEFT_OUT, _NO_LOSS_KNOWN.format(bundle.name)))
        else:
            known.append(one)
    return known


def _offered(
    device: Device, backend: Backend, asked: Sequence[str], known: Callable[[], Iterable[str]], left_out: list[Arm]
) -> list[str]:
    """Those of several precisions that the backend offers; adds the others to `left_out`."""
    elsewhere = [*dict.fromkeys((*backend.precisions, *known()))]
    for one in asked:
        if one not in elsewhere:
            raise UnknownNameError.among("precision", one, elsewhere)
    offered = [one for one in asked if one in backend.precisions]
    if not offered:
        raise UsageError(
            f"{device.id} supports none of the precisions {', '.join(asked)}.",
            f"Use {' or '.join(backend.precisions)}, or {ANY}.",
        )
    left_out += [Arm(one, None, LEFT_OUT, f"{device.id} does not support it") for one in asked if one not in offered]
    return offered


def _usable(arms: list[Setting], backend: Backend, bundle: Bundle, left_out: list[Arm]) -> list[Setting]:
    """The arms that the device takes; adds the others to `left_out`. At least one stays, for its error to be told."""
    if len(arms) == 1:
        return arms
    present = any(other.presence.available for other in arms)
    reasons = {id(arm): _refused(arm, backend, bundle, present) for arm in arms}
    usable = [arm for arm in arms if not reasons[id(arm)]]
    if not usable:
        return arms[:1]
    left_out += [
        Arm(arm.device.precision, arm.device.threads, LEFT_OUT, why) for arm in arms if (why := reasons[id(arm)])
    ]
    return usable


def _refused(arm: Setting, backend: Backend, bundle: Bundle, present: bool) -> str:
    """Why an arm cannot be used although others may be; empty if it can."""
    if present and not arm.presence.available:
        return arm.presence.reason
    try:
        backend.check_export(arm.device)
        _ = Costs(bundle, backend, arm.device, host).supported  # raises an error if no network can be run
    except DeviceUnavailableError:
        return ""  # a package is missing, for every arm
    except DeviceError as error:
        return error.message
    return ""
