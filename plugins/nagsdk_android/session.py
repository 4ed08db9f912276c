"""A session with a phone: networks are timed there by benchmark_model; their outputs are computed on this machine."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from nagsdk.common.files import sha256
from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter
from nagsdk.device.start_up import FIRST_MS, INIT_MS, MEMORY_MB
from nagsdk.errors import DeviceError, MeasurementError
from nagsdk_android import state
from nagsdk_android.discovery import Attached
from nagsdk_android.op_profile import parse_profile
from nagsdk_android.phone import CANNOT_START, Phone, TimeoutOnDeviceError, limited, was_killed
from nagsdk_android.refusals import LostError
from nagsdk_android.settings import DELEGATES, AndroidSettings
from nagsdk_android.tool_output import Report, parse
from nagsdk_litert.backend import HOST, LiteRtBackend

# Runs in one call of the tool: from the statistics of three runs, the latency of each one can still be computed.
_RUNS_PER_CALL = 3
# Seconds that untimed runs last at least, because a core needs this long to reach its full speed.
_WARM_S = 0.05
_ATTEMPTS = 3
_POLL_S = 2.0
_OUTPUT_PER_CALL = 64 * 1024
_MIB = 2**20 / 1e6


class AndroidSession(Session):
    """Times networks on one phone.

    A file is copied to the phone when it is timed for the first time, under its hash, and removed when the session is
    closed. If the connection breaks, the session connects again and repeats the measurement that was interrupted.

    Args:
        settings: How networks run on the phone.
        attached: The phone.
        tool: File of the benchmark_model for this phone.

    Raises:
        DeviceError: The phone cannot be reached.
    """

    def __init__(self, settings: AndroidSettings, attached: Attached, tool: Path) -> None:
        self._settings, self._tool, self._abi = settings, tool, attached.properties["abi"]
        self._phone = Phone(attached.transport())
        self._files: dict[int, Path] = {}
        self._on_phone: dict[Path, str] = {}
        self._loaded = 0
        self._patience_s = settings.cooldown_s
        self._ceiling = 1.0
        self._capped_at_first: bool | None = None
        self._litert: tuple[Session, dict[int, int]] | None = None
        self._closed = False

    def load(self, compiled: Path) -> int:
        """Checks a TFLite file and remembers it."""
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
        if path in self._on_phone and path not in self._files.values():
            self._phone.run(f"rm -f {shlex.quote(self._on_phone.pop(path))}")

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times runs on the phone, three in one call of the tool.

        If the phone throttles, the session waits until it has cooled down, and measures again. A cap on its frequency
        that does not change meanwhile is its own: it is waited for once, and reported as `frequency_cap`.
        """
        model, waited = self._file(handle), 0.0
        while True:
            before, reports, after = self._repeated(model, warmup, runs, timeout_s)
            if self._capped_at_first is None:
                self._capped_at_first = before.capped()
            throttled = any(moment.throttled_below(self._ceiling) for moment in (before, after))
            if not throttled or self._patience_s <= 0:
                break
            waited += self._cool()
        properties = {**after.to_properties(), "throttled": float(throttled), "cooled_s": waited}
        if self._ceiling < 1:
            properties["frequency_cap"] = self._ceiling
        if before.frequency_mhz is not None:
            properties["frequency_before_mhz"] = before.frequency_mhz
        figures = (
            (INIT_MS, [r.init_ms for r in reports]),
            (FIRST_MS, [r.first_ms for r in reports]),
            (MEMORY_MB, [None if r.peak_mb is None else _MIB * r.peak_mb for r in reports]),
        )
        for name, values in figures:
            if known := [value for value in values if value is not None]:
                properties[name] = median(known)
        wall = [ms / 1e3 for report in reports for ms in report.runs.each() or ()]
        return Burst(tuple(wall), (), properties)

    def sustain(self) -> None:
        """Lets the phone cool down once, which tells a cap of its own from heat, and never waits again."""
        self._check_open()
        now = state.parse(self._phone.run(state.COMMAND).text)
        if self._capped_at_first is None:
            self._capped_at_first = now.capped()
        if now.throttled_below(self._ceiling):
            self._cool()
        self._patience_s = 0.0

    def meter(self) -> Meter:
        """The power that the battery gives; a phone that charges does not show what it uses."""
        self._check_open()
        now = state.parse(self._phone.run(state.COMMAND).text)
        if now.charger:
            raise DeviceError(
                f"The phone charges ({now.charger}), so its battery does not show how much energy it uses.",
                "Unplug it, and reach it by Wi-Fi: adb tcpip 5555, then --serial ADDRESS:5555.",
            )
        if now.charger is None or now.power_w is None:
            raise DeviceError(
                "The phone does not tell the current and the voltage of its battery.",
                "Limit the latency instead; energy goes with it.",
            )
        return Meter(power_w=now.power_w)

    def layer_times(self, compiled: Path, runs: int, timeout_s: float) -> Sequence[LayerTime]:
        """Runs the tool once with its profiler."""
        self._check_open()
        tool, network = self._put(self._tool, executable=True), self._put(compiled, executable=False)
        command = f"{self._command(tool, network, 1, runs)} --enable_op_profiling=true"
        return parse_profile(self._phone.run(limited(command, timeout_s), timeout_s, 1 << 22).text)

    def _cool(self) -> float:
        """Waits until the phone has cooled down, its cap has proved to be its own, or the waiting time is used up.

        Returns:
            Seconds that it waited.
        """
        start = time.monotonic()
        steadiness = state.Steadiness(state.parse(self._phone.run(state.COMMAND).text))
        while (passed := time.monotonic() - start) < self._patience_s:
            time.sleep(min(_POLL_S, self._patience_s - passed))
            now = state.parse(self._phone.run(state.COMMAND).text)
            if not now.throttled_below(self._ceiling):
                break
            # A cap that was not there before the first work comes from the work.
            if self._capped_at_first and self._ceiling == 1 and (ceiling := steadiness.ceiling(now)):
                self._ceiling = ceiling
                break
        passed = time.monotonic() - start
        self._patience_s -= passed
        return passed

    def _repeated(
        self, model: Path, warmup: int, runs: int, timeout_s: float
    ) -> tuple[state.State, list[Report], state.State]:
        """Measures; if the connection breaks, connects again and repeats the measurement."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._measured(model, warmup, runs, timeout_s)
            except TimeoutOnDeviceError:
                self._phone.reconnect()  # this also kills what hangs on the phone
                raise
            except LostError as error:
                if attempt == _ATTEMPTS - 1:
                    raise MeasurementError(
                        f"The connection to the phone broke {_ATTEMPTS} times during a measurement. {error.message}",
                        error.next_step,
                    ) from error
                self._phone.reconnect()
                self._forget_lost_files()
        raise AssertionError

    def _measured(
        self, model: Path, warmup: int, runs: int, timeout_s: float
    ) -> tuple[state.State, list[Report], state.State]:
        tool, network = (self._put(path, executable) for path, executable in ((self._tool, True), (model, False)))
        mark = secrets.token_hex(12)
        full_calls, rest = divmod(runs, _RUNS_PER_CALL)

        def call(count: int) -> str:
            return f"{limited(self._command(tool, network, warmup, count), timeout_s)} || exit; echo; echo {mark};"

        loop = ""
        if full_calls:
            loop = f"i=0; while [ $i -lt {full_calls} ]; do {call(_RUNS_PER_CALL)} i=$((i+1)); done; "
        command = f"{state.COMMAND}; echo {mark}; {loop}{call(rest) if rest else ''} {state.COMMAND}"
        calls = full_calls + bool(rest)
        start = time.monotonic()
        output = self._phone.run(command, timeout_s, min(_OUTPUT_PER_CALL * (calls + 1), 1 << 26))
        before, *parts = output.text.split(mark)
        if len(parts) != calls + 1:
            # A call of the tool failed, so the commands after it did not run.
            if was_killed(output):
                if time.monotonic() - start < 0.95 * timeout_s:
                    raise MeasurementError(
                        f"The phone ended benchmark_model on {model.name} before its time was up.",
                        "Its memory was probably used up: close other apps on the phone, or choose a smaller network.",
                    )
                raise TimeoutOnDeviceError(
                    f"The phone did not time {model.name} within {timeout_s:g} s.",
                    "Allow more time, or restart the phone.",
                )
            printed = parts[-1] if parts else output.text
            # A shell that takes a program of another processor for a script complains about its lines.
            complained = re.search(rf"{re.escape(tool)}(?:\[[0-9]{{1,9}}\])?: ", printed)
            if output.status in CANNOT_START or "CANNOT LINK EXECUTABLE" in printed or complained:
                raise self._cannot_start(printed)
            parse(printed)
            raise MeasurementError(
                f"benchmark_model ended with the exit status {output.status} on {model.name}.",
                "Run it on the phone by hand to see what is wrong.",
            )
        reports = [parse(text) for text in parts[:-1]]
        for number, report in enumerate(reports):
            wanted = rest if rest and number == full_calls else _RUNS_PER_CALL
            if report.runs.count != wanted:
                raise MeasurementError(
                    f"benchmark_model ran {report.runs.count} times instead of {wanted}.", "Choose a smaller network."
                )
            self._check_delegate(report)
        return state.parse(before), reports, state.parse(parts[-1])

    def _cannot_start(self, printed: str) -> DeviceError:
        """Says why a call of the tool did not start: the phone lacks a program, or cannot run the tool."""
        self._phone.require("timeout", *(["taskset"] if self._settings.cores else []))
        said = next((line.strip() for line in reversed(printed.splitlines()) if line.strip()), "nothing")
        return DeviceError(
            "The phone cannot start benchmark_model: it was built for another system or processor, or needs a library "
            f"that the phone lacks. It says: {said[:200]}",
            f"Install one that was built for Android and {self._abi}: nagsdk android setup --from FILE.",
        )

    def _command(self, tool: str, network: str, warmup: int, runs: int) -> str:
        s = self._settings
        pinned = f"taskset {s.cores} " if s.cores else ""
        delegate = f" --use_{s.delegate}=true" if s.delegate in DELEGATES else ""
        return (
            f"{pinned}{shlex.quote(tool)} --graph={shlex.quote(network)} --num_threads={s.threads} --num_runs={runs} "
            f"--min_secs=0 --warmup_runs={max(1, warmup)} --warmup_min_secs={_WARM_S}{delegate}"
        )

    def _check_delegate(self, report: Report) -> None:
        delegate = self._settings.delegate
        wrong = report.fallback(delegate) if delegate in DELEGATES and not self._settings.allow_fallback else ""
        if wrong:
            raise DeviceError(
                f"A part of the network does not run on the chosen delegate: {wrong}.",
                "Choose another delegate for the device, or measure the network nevertheless with the device option "
                "allow_fallback = 1.",
            )

    def _put(self, path: Path, executable: bool) -> str:
        if path not in self._on_phone:
            for attempt in range(_ATTEMPTS):
                try:
                    self._on_phone[path] = self._phone.put(path, f"{sha256(path)[:16]}{path.suffix}", executable)
                    break
                except LostError as error:
                    if attempt == _ATTEMPTS - 1:
                        raise MeasurementError(
                            f"{path.name} could not be copied to the phone in {_ATTEMPTS} attempts. {error.message}",
                            error.next_step,
                        ) from error
                    self._phone.reconnect()
        return self._on_phone[path]

    def _forget_lost_files(self) -> None:
        """Forgets the files that are no longer on the phone, because a phone that restarted may have lost them."""
        for path, target in tuple(self._on_phone.items()):
            if self._phone.run(f"[ -f {shlex.quote(target)} ]").status:
                del self._on_phone[path]

    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs the same file with LiteRT on this machine, because benchmark_model does not return outputs."""
        path = self._file(handle)
        if self._litert is None:
            self._litert = (LiteRtBackend().open(HOST), {})
        session, handles = self._litert
        if handle not in handles:
            handles[handle] = session.load(path)
        return session.infer(handles[handle], images)

    def close(self) -> None:
        """Removes all our files from the phone and disconnects."""
        if not self._closed:
            self._closed = True
            if self._litert is not None:
                self._litert[0].close()
            self._phone.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("This session is closed.", "Open a new one.")

    def _file(self, handle: int) -> Path:
        self._check_open()
        if handle not in self._files:
            raise DeviceError(f"There is no network with the handle {handle}.", "Load it again.")
        return self._files[handle]
