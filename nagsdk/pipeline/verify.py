"""`nagsdk verify`: is a deployment still what its manifest says?"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import LATENCY
from nagsdk.bundle.bundle import Bundle, bundle_at_hand, load_bundle
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import DeviceError, Failure, NagsdkError, UnknownNameError
from nagsdk.events import Listener, ignore
from nagsdk.graph.parity import check, probe_image
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.manifest.manifest import is_pinned, pinned_files, read_manifest
from nagsdk.manifest.result import Measured
from nagsdk.pipeline.loop import figure, measured, upper_limit
from nagsdk.pipeline.target import Workbench, reach

PASSED, NOT_PASSED, SKIPPED = "passed", "failed", "skipped"
# A device that other work slows down is asked again, as `deploy` does.
_SESSIONS = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: ``hashes``, ``parity`` or ``latency``.
        state: ``passed``, ``failed`` or ``skipped``.
        detail: What was found, or why it was skipped.
    """

    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        folder: Of the deployment.
        checks: Hashes, parity and latency.
        measured: Latencies now; unknown where none were taken.
        error: What ended the checks early, such as a device that failed; those that it ended are ``skipped``.
    """

    folder: str
    checks: tuple[Check, ...]
    measured: Measured
    error: Failure | None = None

    @property
    def exit_code(self) -> int:
        """That of the error; 7 where a file or its outputs are others than they were, 3 where a latency budget is missed, else 0."""
        failed = {check.name for check in self.checks if check.state == NOT_PASSED}
        if self.error is not None:
            return self.error.exit_code
        return 7 if failed & {"hashes", "parity"} else 3 if failed else 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def verify(
    folder: str | Path,
    *,
    device: str | None = None,
    bundle: str | Path | None = None,
    serial: str | None = None,
    on_event: Listener = ignore,
) -> Verification:
    """Looks at a deployment again: the hashes of its files, its outputs, and with the device its latency.

    Outputs are compared with those that torch gave when it was deployed, on an image made of integers, which the manifest keeps: neither
    torch's weights nor images are needed. Where the budgets limit the latency, it is measured in one fresh session and compared as
    `deploy` compares; only that needs the bundle.

    Args:
        folder: With the manifest.json.
        device: Where to run it; the manifest's device where None. Needed where that was the file of a description.
        bundle: Likewise; gives the reference network that is timed beside the model.
        serial: See `nagsdk.api.deploy`.
        on_event: Receives progress.

    Returns:
        What was found; a device that fails is in there and is not raised.

    Raises:
        UsageError: The folder is no deployment.
        DamagedBundleError: Its manifest is not valid.
        UnknownNameError: The device or the bundle that was named is not known here.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    named = None if bundle is None else load_bundle(bundle)
    wrong = [name for name, record in pinned_files(manifest).items() if not is_pinned(folder / name, record)]
    if wrong:
        hashes = Check("hashes", NOT_PASSED, f"{', '.join(wrong)}: missing, or not with the hash of the manifest")
        untrusted = (Check(name, SKIPPED, "a file that is not the deployed one is not run") for name in ("parity", "latency"))
        return Verification(str(folder), (hashes, *untrusted), Measured())
    hashes = Check("hashes", PASSED, f"{len(pinned_files(manifest))} files are as they were deployed")
    overrides = Overrides(manifest["threads"], manifest["batch"], manifest["precision"], serial)
    checks, now, failure = [hashes], Measured(), None
    try:
        look = _Look(manifest, folder, *reach(device or manifest["device"], overrides), on_event)
        checks.append(look.parity())
        if checks[-1].state == NOT_PASSED:
            checks.append(Check("latency", SKIPPED, "its outputs are wrong"))
        else:
            latency, now = look.latency(named)
            checks.append(latency)
    except NagsdkError as error:
        unknown = isinstance(error, UnknownNameError)
        if unknown and device is not None:
            raise
        failure = None if unknown else Failure.of(error)
        why = f"{error.message} Name the device, or the file of its description, with --device" if unknown else error.message
        checks += [Check(name, SKIPPED, why) for name in ("parity", "latency")[len(checks) - 1 :]]
    return Verification(str(folder), tuple(checks), now, failure)


@dataclass(frozen=True)
class _Look:
    """One look at a deployment whose files are those that were deployed."""

    manifest: dict[str, Any]
    folder: Path
    backend: Backend
    device: Device
    presence: Presence
    listener: Listener

    def parity(self) -> Check:
        steps = self.manifest["preprocessing"]
        preprocessing = Preprocessing(tuple(steps["mean"]), tuple(steps["std"]), steps["crop_fraction"])
        probe = preprocessing.normalised(probe_image(self.manifest["resolution"])[None])
        expected = np.array([self.manifest["probe"]["logits"]], np.float32)
        actual = None
        if self.presence.available:
            with self.backend.open(self.device) as session:
                actual = session.infer(session.load(self._compiled), probe)
        else:
            actual = self.backend.emulate(self.folder / self.manifest["artifact"]["path"], self.device, probe)
        if actual is None:
            return Check("parity", SKIPPED, f"nothing here runs the file: {self.presence.reason}")
        try:
            error = check(expected, actual, self.backend.tolerance(self.device))
        except DeviceError as difference:
            return Check("parity", NOT_PASSED, difference.message)
        return Check("parity", PASSED, f"outputs differ from torch's by {error:.1e} of their norm")

    def latency(self, bundle: Bundle | None) -> tuple[Check, Measured]:
        budgets = [budget for budget in self.manifest["budgets"] if budget["metric"] == LATENCY]
        if not budgets:
            return Check("latency", SKIPPED, "no budget of latency"), Measured()
        if not self.presence.available:
            return Check("latency", SKIPPED, f"{self.device.id} is not available: {self.presence.reason}"), Measured()
        name = self.manifest["bundle"]
        bundle = bundle or bundle_at_hand(name)
        if bundle is None:
            lacking = f"the bundle {name}, whose reference network is timed beside the model, is not here; name its folder with --bundle"
            return Check("latency", SKIPPED, lacking), Measured()
        bench = Workbench(self.device, bundle, listener=self.listener, backend=self.backend)
        with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
            for _ in range(_SESSIONS):
                (session,) = bench.time({self.manifest["architecture"]: self._compiled}, Path(work)).values()
                limits = [upper_limit(session, b["percentile"]) for b in budgets]
                missed = [(limit, b["limit"]) for limit, b in zip(limits, budgets, strict=True) if limit > b["limit"]]
                if session.enough_quiet or not missed:
                    break
        now = measured(session, budgets[0]["percentile"])
        then = self.manifest["measured"]["latency_p50_ms"]
        told = f"p50 {figure(session, 50):.4g} ms" + (f", {then:.4g} ms when it was deployed" if then is not None else "")
        if not session.enough_quiet:
            told += f"; the device was never quiet ({session.typical_slowdown:.2f} times slower than when nothing disturbs it)"
        if missed:
            told += "".join(f"; its upper limit of {limit:.4g} ms passes the budget of {most:.4g} ms" for limit, most in missed)
            told += "" if session.enough_quiet else ", which a quiet device may hold: verify again when nothing else runs"
        return Check("latency", NOT_PASSED if missed else PASSED, told), now

    @property
    def _compiled(self) -> Path:
        return self.folder / str((self.manifest.get("compiled") or self.manifest["artifact"])["path"])
