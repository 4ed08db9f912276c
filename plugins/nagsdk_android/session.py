"""A session: networks timed on a phone by benchmark_model, and run on this machine by the same runtime."""

from __future__ import annotations

import secrets
import shlex
import time
from pathlib import Path

from nagsdk.common.files import sha256
from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.errors import DeviceError, MeasurementError
from nagsdk_android import state
from nagsdk_android.discovery import Attached
from nagsdk_android.phone import Phone, TimeoutOnDeviceError, limited, was_killed
from nagsdk_android.report import Report, parse
from nagsdk_android.settings import DELEGATES, AndroidSettings
from nagsdk_android.transport import LostError
from nagsdk_litert.backend import HOST, LiteRtBackend

# Of so many runs the tool's summary tells each one.
_TOLD = 3
# Untimed runs go on so long at least: a core needs it to reach its speed.
_WARM_S = 0.05
_ATTEMPTS = 3
_POLL_S = 2.0
_OUTPUT_PER_CALL = 64 * 1024


class AndroidSession(Session):
    """Networks on one phone.

    Files are put there when they are first timed, under their hash, and removed when the session is closed. A connection
    that breaks is made anew, and what was being measured is measured again.

    Args:
        settings: How to run.
        attached: The phone.
        tool: The benchmark_model for it.

    Raises:
        DeviceError: The phone cannot be reached.
    """

    def __init__(self, settings: AndroidSettings, attached: Attached, tool: Path) -> None:
        self._settings, self._tool = settings, tool
        self._phone = Phone(attached.transport())
        self._files: dict[int, Path] = {}
        self._there: dict[Path, str] = {}
        self._loaded = 0
        self._patience_s = settings.cooldown_s
        self._here: tuple[Session, dict[int, int]] | None = None
        self._closed = False

    def load(self, compiled: Path) -> int:
        """Reads a TFLite file through and remembers it."""
        from nagsdk.graph.lint import lint

        self._check_open()
        lint(compiled)
        self._loaded += 1
        self._files[self._loaded] = compiled
        return self._loaded

    def unload(self, handle: int) -> None:
        """Removes a network from the phone."""
        path = self._file(handle)
        del self._files[handle]
        if path in self._there and path not in self._files.values():
            self._phone.run(f"rm -f {shlex.quote(self._there.pop(path))}")

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times runs on the phone, three in a call of the tool; a phone that slows itself down is left to cool, and measured again."""
        model, waited = self._file(handle), 0.0
        while True:
            before, reports, after = self._repeated(model, warmup, runs, timeout_s)
            if not (before.throttled or after.throttled) or self._patience_s <= 0:
                break
            waited += self._cool()
        properties = {
            **after.to_properties(),
            "throttled": float(before.throttled or after.throttled),
            "cooled_s": waited,
        }
        if before.frequency_mhz is not None:
            properties["frequency_before_mhz"] = before.frequency_mhz
        for name, values in (("init_ms", [r.init_ms for r in reports]), ("memory_mb", [r.peak_mb for r in reports])):
            known = [value for value in values if value is not None]
            if known:
                properties[name] = max(known)
        wall = [ms / 1e3 for report in reports for ms in report.runs.each() or ()]
        return Burst(tuple(wall), (), properties)

    def _cool(self) -> float:
        """Waits until the phone is cool, as long as the session's patience lasts; returns the seconds."""
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < self._patience_s:
            time.sleep(min(_POLL_S, self._patience_s - passed))
            if not state.parse(self._phone.run(state.COMMAND).text).throttled:
                break
        passed = time.monotonic() - begun
        self._patience_s -= passed
        return passed

    def _repeated(
        self, model: Path, warmup: int, runs: int, timeout_s: float
    ) -> tuple[state.State, list[Report], state.State]:
        """Measures, again on a new connection where one breaks."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._measured(model, warmup, runs, timeout_s)
            except TimeoutOnDeviceError:
                self._phone.reconnect()  # which ends what hangs there
                raise
            except LostError as error:
                if attempt == _ATTEMPTS - 1:
                    raise MeasurementError(
                        f"The phone was lost {_ATTEMPTS} times while it measured. {error.message}", error.next_step
                    ) from error
                self._phone.reconnect()
                self._forget_what_is_gone()
        raise AssertionError

    def _measured(
        self, model: Path, warmup: int, runs: int, timeout_s: float
    ) -> tuple[state.State, list[Report], state.State]:
        tool, network = (self._put(path, executable) for path, executable in ((self._tool, True), (model, False)))
        mark = secrets.token_hex(12)
        whole, rest = divmod(runs, _TOLD)

        def call(count: int) -> str:
            return f"{limited(self._command(tool, network, warmup, count), timeout_s)} || exit; echo; echo {mark};"

        loop = f"i=0; while [ $i -lt {whole} ]; do {call(_TOLD)} i=$((i+1)); done; " if whole else ""
        command = f"{state.COMMAND}; echo {mark}; {loop}{call(rest) if rest else ''} {state.COMMAND}"
        calls = whole + bool(rest)
        output = self._phone.run(command, timeout_s, min(_OUTPUT_PER_CALL * (calls + 1), 1 << 26))
        before, *told = output.text.split(mark)
        if len(told) != calls + 1:
            # The tool did not end well, so that nothing followed.
            if was_killed(output):
                raise TimeoutOnDeviceError(
                    f"The phone did not time {model.name} within {timeout_s:g} s.",
                    "Allow more time, or restart the phone.",
                )
            parse(told[-1] if told else output.text)
            raise MeasurementError(
                f"benchmark_model ended with the status {output.status} on {model.name}.",
                "Try it on the phone by hand.",
            )
        reports = [parse(text) for text in told[:-1]]
        for number, report in enumerate(reports):
            wanted = rest if rest and number == whole else _TOLD
            if report.runs.count != wanted:
                raise MeasurementError(
                    f"benchmark_model ran {report.runs.count} times instead of {wanted}.", "Choose a smaller network."
                )
            self._check_delegate(report)
        return state.parse(before), reports, state.parse(told[-1])

    def _command(self, tool: str, network: str, warmup: int, runs: int) -> str:
        s = self._settings
        pinned = f"taskset {s.cores} " if s.cores else ""
        delegate = f" --use_{s.delegate}=true" if s.delegate in DELEGATES else ""
        return (
            f"{pinned}{shlex.quote(tool)} --graph={shlex.quote(network)} --num_threads={s.threads} --num_runs={runs} --min_secs=0 "
            f"--warmup_runs={max(1, warmup)} --warmup_min_secs={_WARM_S}{delegate}"
        )

    def _check_delegate(self, report: Report) -> None:
        delegate = self._settings.delegate
        wrong = report.fallback(delegate) if delegate in DELEGATES and not self._settings.allow_fallback else ""
        if wrong:
            raise DeviceError(
                f"Not all of the network runs where it was asked to: {wrong}.",
                "Use another delegate for the device, or set allow_fallback = 1 among its options to measure it all the same.",
            )

    def _put(self, path: Path, executable: bool) -> str:
        if path not in self._there:
            for attempt in range(_ATTEMPTS):
                try:
                    self._there[path] = self._phone.put(path, f"{sha256(path)[:16]}{path.suffix}", executable)
                    break
                except LostError:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    self._phone.reconnect()
        return self._there[path]

    def _forget_what_is_gone(self) -> None:
        """A phone that was restarted may have lost what lay there."""
        for path, target in tuple(self._there.items()):
            if self._phone.run(f"[ -f {shlex.quote(target)} ]").status:
                del self._there[path]

    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs images through the very same file with LiteRT on this machine: benchmark_model gives no outputs."""
        path = self._file(handle)
        if self._here is None:
            self._here = (LiteRtBackend().open(HOST), {})
        session, handles = self._here
        if handle not in handles:
            handles[handle] = session.load(path)
        return session.infer(handles[handle], images)

    def close(self) -> None:
        """Removes everything from the phone and disconnects."""
        if not self._closed:
            self._closed = True
            if self._here is not None:
                self._here[0].close()
            self._phone.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("This session is closed.", "Open a new one.")

    def _file(self, handle: int) -> Path:
        self._check_open()
        if handle not in self._files:
            raise DeviceError(f"There is no network with the handle {handle}.", "Load it again.")
        return self._files[handle]
