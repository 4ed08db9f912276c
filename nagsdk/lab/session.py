"""A session on a device in a lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.device.burst import Timing
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter
from nagsdk.errors import ConnectionLostError, DeviceError, NagsdkError
from nagsdk.lab.messages import Json, burst_of, error_of, layer_times_of, meter_of, unexpected
from nagsdk.lab.upload import send
from nagsdk.plugin.answers import WrongAnswerError, checked

if TYPE_CHECKING:
    from nagsdk.lab.taking import Taken, Taking

_MOST_IMAGES_BYTES = 8 << 20


class LabSession(Session):
    """A session whose networks run on a worker of the lab; see `nagsdk.device.backend.Session`.

    Args:
        lab: What reaches the device.
        taken: The place in which the session is open.
        number: Number of the session there.
        hold: Keeps the place for as long as the session is open.
    """

    def __init__(self, lab: Taking, taken: Taken, number: int, hold: AbstractContextManager[Taken]) -> None:
        self._lab, self._taken, self._number, self._hold = lab, taken, number, hold
        self._unloaded: list[int] = []
        self._closed = False

    @property
    def worker(self) -> str:
        """Name of the worker that has the device."""
        return self._taken.worker.name

    def load(self, compiled: Path) -> int:
        """Sends the file if the worker does not have it, and loads it there."""
        return self.load_all([compiled])[0]

    def load_all(self, compiled: Sequence[Path]) -> list[int]:
        """Loads several files in one journey."""
        self._require_open()
        answer, _ = self._job("load", {"names": send(self._lab, compiled, self._taken)})
        handles = answer.get("handles")
        if not isinstance(handles, list) or len(handles) != len(compiled):
            raise unexpected(TypeError("not as many handles as files"))
        return [_checked("load", handle, (path,)) for handle, path in zip(handles, compiled, strict=True)]

    def unload(self, handle: int) -> None:
        """Frees an artifact, together with the next job."""
        self._require_open()
        self._unloaded.append(handle)

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times one burst, for which a journey is necessary; `time_all` needs one for a whole round."""
        return next(self.time_all([Timing(handle, warmup, runs, timeout_s)]))

    def time_all(self, plan: Sequence[Timing]) -> Iterator[Burst]:
        """Times bursts in one journey."""
        rows = [(one.handle, one.warmup, one.runs, one.timeout_s) for one in plan]
        answer, _ = self._job("time", {"plan": rows})
        bursts, error = answer.get("bursts"), error_of(answer)
        if not isinstance(bursts, list) or (len(bursts) != len(plan) and error is None):
            raise unexpected(TypeError("not as many bursts as were asked for"))
        if isinstance(error, ConnectionLostError):
            self._lab.lose(self._taken)
        for one, values in zip(plan, bursts, strict=False):
            yield _checked("time", burst_of(values), (one.handle, one.warmup, one.runs, one.timeout_s))
        if error is not None:
            raise error

    def sustain(self) -> None:
        """See `Session.sustain`."""
        self._job("sustain", {})

    def meter(self) -> Meter:
        """See `Session.meter`."""
        answer, _ = self._job("meter", {})
        found: Meter = _checked("meter", meter_of(answer.get("meter")), ())
        return found

    def layer_times(self, compiled: Path, runs: int, timeout_s: float) -> Sequence[LayerTime]:
        """See `Session.layer_times`."""
        name = send(self._lab, [compiled], self._taken)[0]
        answer, _ = self._job("layer_times", {"name": name, "runs": runs, "timeout_s": timeout_s})
        found: Sequence[LayerTime] = _checked("layer_times", layer_times_of(answer.get("times")), ())
        return found

    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs images in as many journeys as their size needs."""
        images = np.ascontiguousarray(images, np.float32)
        batch = self._lab.device.batch
        each = max(1, _MOST_IMAGES_BYTES // max(1, images[:1].nbytes) // batch) * batch
        parts = []
        for start in range(0, len(images), each):
            part = images[start : start + each]
            answer, body = self._job("infer", {"handle": handle, "shape": part.shape}, part.tobytes())
            try:
                logits = np.frombuffer(body, np.float32).reshape(answer["shape"])
            except (ValueError, KeyError, TypeError) as error:
                raise unexpected(error) from error
            parts.append(_checked("infer", logits, (handle, part)))
        return np.concatenate(parts)

    def close(self) -> None:
        """Closes the session, also during a run, and gives the place back if nothing else holds it."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._taken.over.is_set():
                self._lab.ask(self._taken, "close", {"lease": self._taken.id, "session": self._number})
        except NagsdkError:
            pass  # the worker is gone, and the session with it
        finally:
            self._hold.__exit__(None, None, None)

    def _job(self, what: str, request: Json, body: bytes = b"") -> tuple[Json, bytes]:
        self._require_open()
        unload, self._unloaded = self._unloaded, []
        return self._lab.job(what, {**request, "session": self._number, "unload": unload}, body, taken=self._taken)

    def _require_open(self) -> None:
        if self._closed:
            raise DeviceError("This session is closed.", "Open a new one.")


def _checked(method: str, answer: Any, arguments: Sequence[Any]) -> Any:
    """The answer of a worker, if it is what the method promises."""
    try:
        return checked(method, answer, arguments)
    except WrongAnswerError as error:
        raise unexpected(error) from error
