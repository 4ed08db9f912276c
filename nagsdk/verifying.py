"""`nagsdk verify`: is a deployment still what its manifest says?"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import LATENCY
from nagsdk.deployment import figure, measured
from nagsdk.device.description import Overrides
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore
from nagsdk.graph.parity import check, probe_image
from nagsdk.manifest import Measured, read_manifest
from nagsdk.preprocessing import Preprocessing
from nagsdk.restoring import is_pinned, pinned_files
from nagsdk.workbench import Workbench

PASSED, NOT_PASSED, SKIPPED = "passed", "failed", "skipped"


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
    """

    folder: str
    checks: tuple[Check, ...]
    measured: Measured

    @property
    def exit_code(self) -> int:
        """7 where a file or its outputs are others than they were, 3 where a latency budget is missed, else 0."""
        failed = {check.name for check in self.checks if check.state == NOT_PASSED}
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
    torch's weights nor images are needed. The latency is measured in one fresh session and compared as `deploy` compares.

    Args:
        folder: With the manifest.json.
        device: Where to run it; the manifest's device where None. Needed where that was the file of a description.
        bundle: Likewise; gives the reference network that is timed beside the model.
        serial: See `nagsdk.api.deploy`.
        on_event: Receives progress.

    Raises:
        DamagedBundleError: There is no valid manifest.
        UnknownNameError: The device or the bundle is not known here.
        DeviceError: The device failed or was busy.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    wrong = [name for name, record in pinned_files(manifest).items() if not is_pinned(folder / name, record)]
    if wrong:
        hashes = Check("hashes", NOT_PASSED, f"{', '.join(wrong)}: missing, or not with the hash of the manifest")
        untrusted = (Check(name, SKIPPED, "a file that is not the deployed one is not run") for name in ("parity", "latency"))
        return Verification(str(folder), (hashes, *untrusted), Measured())
    hashes = Check("hashes", PASSED, f"{len(pinned_files(manifest))} files are as they were deployed")
    overrides = Overrides(manifest["threads"], manifest["batch"], manifest["precision"], serial)
    bench = Workbench(device or manifest["device"], bundle or manifest["bundle"], overrides, on_event)
    parity = _parity(bench, manifest, folder)
    if parity.state == NOT_PASSED:
        return Verification(str(folder), (hashes, parity, Check("latency", SKIPPED, "its outputs are wrong")), Measured())
    latency, now = _latency(bench, manifest, folder)
    return Verification(str(folder), (hashes, parity, latency), now)


def _parity(bench: Workbench, manifest: dict[str, Any], folder: Path) -> Check:
    steps = manifest["preprocessing"]
    preprocessing = Preprocessing(tuple(steps["mean"]), tuple(steps["std"]), steps["crop_fraction"])
    probe = preprocessing.normalised(probe_image(manifest["resolution"])[None])
    expected = np.array([manifest["probe"]["logits"]], np.float32)
    actual = None
    if bench.presence.available:
        with bench.backend.open(bench.device) as session:
            actual = session.infer(session.load(_compiled(manifest, folder)), probe)
    else:
        actual = bench.backend.emulate(folder / manifest["artifact"]["path"], bench.device, probe)
    if actual is None:
        return Check("parity", SKIPPED, f"nothing here runs the file: {bench.presence.reason}")
    try:
        error = check(expected, actual, bench.backend.tolerance(bench.device))
    except DeviceError as difference:
        return Check("parity", NOT_PASSED, difference.message)
    return Check("parity", PASSED, f"outputs differ from torch's by {error:.1e} of their norm")


def _latency(bench: Workbench, manifest: dict[str, Any], folder: Path) -> tuple[Check, Measured]:
    budgets = [budget for budget in manifest["budgets"] if budget["metric"] == LATENCY]
    if not bench.presence.available:
        return Check("latency", SKIPPED, f"{bench.device.id} is not available: {bench.presence.reason}"), Measured()
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        name = manifest["architecture"]
        session = bench.time({name: _compiled(manifest, folder)}, Path(work))[name]
    now = measured(session, budgets[0]["percentile"] if budgets else 50.0)
    then = manifest["measured"]["latency_p50_ms"]
    told = f"p50 {figure(session, 50):.4g} ms" + (f", {then:.4g} ms when it was deployed" if then is not None else "")
    if not session.enough_quiet:
        told += f"; the device was never quiet ({session.typical_slowdown:.2f} times slower than when nothing disturbs it)"
    if not budgets:
        return Check("latency", SKIPPED, f"no budget of latency; {told}"), now
    missed = [b for b in budgets if session.upper(b["percentile"], disturbed=not session.enough_quiet) > b["limit"]]
    return Check("latency", NOT_PASSED if missed else PASSED, told), now


def _compiled(manifest: dict[str, Any], folder: Path) -> Path:
    return folder / str((manifest.get("compiled") or manifest["artifact"])["path"])
