"""A bundle on a device, and everything between the two that is kept from run to run."""

from __future__ import annotations

import math
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nagsdk.budget import DEFAULT_CONFIDENCE
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.calibration.calibrate import PROTOCOL as CALIBRATION
from nagsdk.calibration.calibrate import Calibration, calibrate
from nagsdk.calibration.references import dearest_architecture, reference_architecture
from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder, shipped
from nagsdk.common.foreign_code import blaming
from nagsdk.cost import card
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Prior, flat_prior, read_prior
from nagsdk.cost.simulated import simulated_prior
from nagsdk.cost.table import AdditiveTable
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides, read_device
from nagsdk.device.lock import device_lock
from nagsdk.device.presence import presence_of
from nagsdk.errors import DamagedBundleError, DeviceUnavailableError, NagsdkError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.generator.generator import Generator
from nagsdk.generator.ranking import best_of_every_cost
from nagsdk.generator.strategy import Question
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import measure
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.rewrites import RewriteChoice, keep_choice, read_choice
from nagsdk.measuring.store import STORE, Kept, Store
from nagsdk.pipeline.limits import Costs
from nagsdk.plugin.host import host
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes

_FRONTIER_SAMPLES, _FRONTIER_COSTS = 4000, 24
# How verdicts and profiles are timed.
PROTOCOL = Protocol()
# A look at the device before anything is generated.
GLANCE = Protocol(rounds=8, width=1.0, most_rounds=8, spread_s=1.0, patience_s=1.0)
UNLIMITED = "The budget limits nothing: even the dearest architecture of the bundle holds it."


class Workbench:
    """One bundle and one device, ready to work with.

    Args:
        device: Id or alias of a device, the file of a description, or a description.
        bundle: Name or folder of a bundle, or the bundle itself.
        overrides: What differs from the device's own settings.
        listener: Receives progress.
        backend: Reaches the device; the one that the device names where None.

    Raises:
        UnknownNameError: There is no such device or bundle.
        UsageError: The backend does not know the precision.
        DeviceError: No plugin reaches the device.
    """

    def __init__(
        self,
        device: str | Device,
        bundle: str | Path | Bundle,
        overrides: Overrides | None = None,
        listener: Listener = ignore,
        backend: Backend | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.overrides = overrides or Overrides()
        self.backend, self.device, self.presence = reach(device, self.overrides, backend)
        self.costs = Costs(self.bundle, self.backend, self.device)
        self.listener = listener
        self.cache = cache_folder()
        self._compiled_reference: Path | None = None
        self._rewrites = self.backend.rewrites(self.device)
        self._rewrite_file = self.cache / "rewrites" / f"{MeasurementKey.of(self.device, self.presence, PROTOCOL).hash}.json"
        self.rewrite = read_choice(self._rewrite_file, self._rewrites) if self.presence.available else None
        if self.rewrite is not None:
            self.write_as(self.rewrite.name)

    @cached_property
    def store(self) -> Store:
        """Measurements of earlier runs."""
        return Store(self.cache / STORE)

    def require_presence(self) -> None:
        """Refuses to go on without the device.

        Raises:
            DeviceUnavailableError: With the reason.
        """
        if not self.presence.available:
            raise DeviceUnavailableError(f"Device {self.device.id} is not available.", self.presence.reason)

    @property
    def _calibration(self) -> Protocol:
        """How reference architectures are timed; where every burst is a journey to the device, with fewer runs."""
        return replace(CALIBRATION, runs=CALIBRATION.reference_runs) if self.backend.apart else CALIBRATION

    @property
    def _card(self) -> Path:
        key = MeasurementKey.of(self.device, self.presence, self._calibration)
        return self.cache / "cost" / f"{key.hash}-{self.bundle.space.fingerprint}.json"

    @cached_property
    def prior(self) -> Prior | None:
        """The shipped prior of the device, at its number of threads; else what its plugin's simulator says, if it has one."""
        if self.device.prior is None:
            title = f"the simulator of the backend {self.backend.id}"
            with blaming(f"The backend {self.backend.id}"):
                return simulated_prior(self.bundle.space, lambda layer: self.backend.simulate(layer, self.device), title)
        return read_prior(shipped("devices") / self.device.prior).for_threads(self.device.threads)

    def calibrated_model(self) -> CostModel | None:
        """The cost model of an earlier calibration of this device, runtime and space."""
        if not (self.presence.available and self._card.is_file()):
            return None
        try:
            return card.from_json(self._card.read_text("utf-8"), self.bundle.space, self.presence.fingerprint)
        except (NagsdkError, OSError, UnicodeDecodeError) as error:
            self.listener(Notice(f"The kept cost model is not used: {error}", warning=True))
            return None

    def cost_model(self) -> CostModel | None:
        """The calibrated cost model, else the shipped prior, else None."""
        model = self.calibrated_model()
        if model is None and self.prior is not None:
            caveat = self.device.caveat if self.device.prior else f"They are those of {self.prior.source['title']}."
            model = CostModel.from_prior(self.bundle.space, self.prior, self.presence.fingerprint)
            if caveat:
                model = replace(model, facts={**model.facts, "caveat": caveat})
        return model

    def require_cost_model(self) -> CostModel:
        """Like `cost_model`.

        Raises:
            DeviceUnavailableError: The device is neither calibrated nor has it a prior.
        """
        model = self.cost_model()
        if model is None:
            unknown = f"Nothing is known of the latencies of {self.device.id} with {self.bundle.name}"
            if not self.presence.available:
                raise DeviceUnavailableError(f"{unknown}, and it is not available to be measured.", self.presence.reason)
            given = {k: v for k, v in asdict(self.overrides).items() if v is not None}
            settings = "".join(f" --{name} {value}" for name, value in given.items())
            raise DeviceUnavailableError(
                f"{unknown}.", f"Run: nagsdk calibrate --device {self.device.id} --bundle {self.bundle.name}{settings}."
            )
        return model

    def calibrate(self, samples: int, within_s: float | None = None, seed: int = 0) -> Calibration:
        """Measures reference architectures, fits the cost model and keeps it.

        A calibration that ran out of time does not take the place of one that rests on more architectures.

        Raises:
            DeviceError: The device is absent, busy or fails.
        """
        self.require_presence()
        self.settle_rewrite()
        before = self.calibrated_model()
        with self.locked():
            result = calibrate(
                self.bundle.space,
                self.device,
                self.backend,
                prior=self.prior,
                samples=samples,
                within_s=within_s,
                store=self.store,
                seed=seed,
                allowed=self.costs.supported,
                near=self._near_frontier(seed) if self.bundle.has_predictor else None,
                protocol=self._calibration,
                listener=self.listener,
            )
        if before is not None and not result.complete and len(before.calibrated) > len(result.codes):
            kept = len(before.calibrated)
            self.listener(Notice(f"Time ran out: the earlier cost model, of {kept} architectures, stays in use.", warning=True))
            return result
        if result.model.most_confidence < DEFAULT_CONFIDENCE:
            most = math.floor(1000 * result.model.most_confidence) / 1000
            text = f"{len(result.codes)} architectures are enough for budgets of --confidence {most:g} or less only; calibrate with --samples 9 or more."
            self.listener(Notice(text, warning=True))
        write_atomically(self._card, card.to_json(result.model).encode())
        return result

    def _near_frontier(self, seed: int) -> Codes:
        """Architectures like those that will be generated: at each of many costs the one of best predicted accuracy among random ones."""
        space = self.bundle.space
        codes = space.sample(_FRONTIER_SAMPLES, np.random.default_rng(seed))
        prior = self.prior or flat_prior(FeatureTable.of(space))
        top1 = self.bundle.predictor.predict(codes).mean
        return codes[best_of_every_cost(FeatureTable.of(space).priced(prior.weights).cost(codes), np.asarray(top1), _FRONTIER_COSTS)]

    def settle_rewrite(self) -> None:
        """Finds out, once for a device, which of its backend's ways of writing a graph is the fastest, and uses it from then on.

        The probe is the dearest architecture at the middle resolution. Where the ways write it equally, as in spaces
        without the layers in question, nothing is measured.

        Raises:
            DeviceError: The device failed or was busy.
        """
        if len(self._rewrites) < 2 or self.rewrite is not None:
            return
        probe = dearest_architecture(self.bundle.space, self.costs.supported)
        with tempfile.TemporaryDirectory(prefix="nagsdk-") as name:
            folder = Path(name)
            files = {way: self.timing_artifact(probe, folder / str(n), device) for n, (way, device) in enumerate(self._rewrites.items())}
            if len({path.stat().st_size for path in files.values()}) == 1:
                return
            self.listener(Notice(f"Finding out how graphs are best written for {self.device.id}; it is kept for later."))
            reference = self._reference(folder)
            with self.locked(), self.backend.open(self.device) as session:
                found = measure(session, files, reference, PROTOCOL, listener=self.listener)
        self.rewrite = RewriteChoice.of(probe.text, found)
        keep_choice(self._rewrite_file, self.rewrite)
        self.listener(Notice(self.rewrite.told))
        self.write_as(self.rewrite.name)

    def write_as(self, rewrite: str | None) -> None:
        """Writes graphs from now on in one of the backend's ways; the one to take unmeasured where None."""
        device = self._rewrites.get(rewrite or next(iter(self._rewrites), ""))
        if device is None:  # the description says which
            return
        self.device = device
        self.costs = Costs(self.bundle, self.backend, device)
        self.presence = presence_of(self.backend, self.device)
        self._compiled_reference = None

    def locked(self) -> AbstractContextManager[None]:
        """Holds the device, so that no other process of this user measures on it meanwhile."""
        return device_lock(self.cache / "locks", self.presence.fingerprint, self.listener)

    def timing_artifact(self, architecture: Architecture, folder: Path, device: Device | None = None) -> Path:
        """A compiled artifact with random weights, which cost as much time as trained ones.

        Args:
            architecture: Of the network.
            folder: Where to leave it; made where missing.
            device: What to write it for; `device` where None.
        """
        from nagsdk.graph.trace import trace

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{architecture.hash}{self.backend.suffix}"
        subnet, device = self.bundle.space.build(architecture).eval(), device or self.device
        self.backend.export(trace(subnet, architecture.resolution, device.batch), path, device)
        return self.backend.compile(path, device, folder)

    def pace(self, folder: Path) -> float:
        """What networks take right now, in units of what they took when the device was calibrated; see `Measurement.pace`.

        Args:
            folder: Where the reference network is built.

        Raises:
            DeviceError: The device failed or was busy.
        """
        reference = reference_architecture(self.bundle.space, self.costs.supported)
        (found,) = self.time({reference.text: self._reference(folder)}, folder, GLANCE).values()
        return found.pace

    def _reference(self, folder: Path) -> Path:
        """The reference network, compiled: once, for compiling may take minutes, unless the folder that holds it is gone."""
        if self._compiled_reference is None or not self._compiled_reference.is_file():
            self._compiled_reference = self.timing_artifact(reference_architecture(self.bundle.space, self.costs.supported), folder)
        return self._compiled_reference

    def time(self, compiled: Mapping[str, Path], folder: Path, protocol: Protocol | None = None) -> dict[str, Measurement]:
        """Measures compiled artifacts in one fresh session, every reading kept.

        Args:
            compiled: By the text form of their architectures.
            folder: Where the reference network is built.
            protocol: `PROTOCOL` where None.

        Raises:
            DeviceError: The device failed or was busy.
        """
        reference = self._reference(folder)
        calibrated = self.calibrated_model()
        protocol = protocol or PROTOCOL
        key, connection = MeasurementKey.of(self.device, self.presence, protocol), uuid.uuid4().hex
        with self.locked(), self.backend.open(self.device) as session:
            return measure(
                session,
                compiled,
                reference,
                protocol,
                reference_quiet_ms=None if calibrated is None else calibrated.facts.get("reference_ms"),
                environment=self.presence.properties,
                listener=self.listener,
                on_reading=lambda name, reading: self.store.add(Kept(key, name, reading, connection)),
            )

    @cached_property
    def generator(self) -> Generator:
        """The bundle's generator; where it brings none, one trained on its accuracy predictor and kept."""
        space, predictor = self.bundle.space, self.bundle.predictor
        if self.bundle.generator_file is not None:
            return Generator.load(self.bundle.generator_file, space, predictor)
        path = self.cache / "generators" / f"{Generator.key(space, predictor)}.safetensors"
        if path.is_file():
            try:
                return Generator.load(path, space, predictor)
            except DamagedBundleError as error:
                self.listener(Notice(f"The kept generator is made again: {error.message}", warning=True))
        self.listener(
            Notice(
                f"{self.bundle.name} brings no generator: one is trained, once, which takes some ten minutes; the strategy lookup needs none.",
                warning=True,
            )
        )
        generator = Generator.trained(space, predictor, listener=self.listener)
        generator.save(path)
        return generator

    def question(self, tables: Sequence[AdditiveTable], limits: ArrayLike, seed: int) -> Question:
        """What a strategy is asked.

        Args:
            tables: The costs that are limited.
            limits: Of each budget on each of them, shape (n, costs).
            seed: Of everything random.
        """
        wanted = np.asarray(limits, np.float64).reshape(-1, len(tables))
        return Question(self.bundle.space, self.bundle.predictor, tables, wanted, lambda: self.generator, seed, self.listener)


def reach(device: str | Device, overrides: Overrides, backend: Backend | None = None) -> tuple[Backend, Device, Presence]:
    """A device, what reaches it, and whether it is there; no bundle is needed. See `Workbench` for arguments and errors."""
    if not isinstance(device, Device):
        device = read_device(Path(device)) if device.endswith(".toml") else host().device(device)
    backend = backend or host().backend_of(device)
    device = overrides.on(device, backend.precisions)
    return backend, device, presence_of(backend, device)
