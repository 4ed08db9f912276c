"""The key of readings and cost models: everything a measurement depends on besides the architecture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nagsdk.device.backend import Presence
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError
from nagsdk.measuring.protocol import Protocol

_MOST_TEXT, _MOST_NUMBER = 400, 1 << 31


@dataclass(frozen=True)
class MeasurementKey:
    """Key of readings that may be compared with each other.

    Attributes:
        device: Fingerprint of the device.
        runtime: Name of the runtime that runs the artifact.
        runtime_version: Version of the runtime.
        precision: Number format of weights and arithmetic.
        rewrite: Name of the rewrite of the graph; ``none`` if it was not rewritten.
        threads: Number of threads of one inference.
        batch: Number of images of one inference.
        protocol: Hash of the timing protocol.
    """

    device: str
    runtime: str
    runtime_version: str
    precision: str
    rewrite: str
    threads: int
    batch: int
    protocol: str

    @classmethod
    def of(cls, device: Device, presence: Presence, protocol: Protocol) -> MeasurementKey:
        """Returns the key of measurements on a device that is available."""
        properties = presence.properties
        return cls(
            device=presence.fingerprint,
            runtime=properties.get("runtime", device.backend),
            runtime_version=properties.get("runtime_version", ""),
            precision=device.precision or properties.get("precision", ""),
            rewrite=properties.get("rewrite", "none"),
            threads=device.threads,
            batch=device.batch,
            protocol=_digest(protocol.to_dict()),
        )

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the fields."""
        return _digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MeasurementKey:
        """Rebuilds a key from the result of `to_dict`.

        Raises:
            NagsdkError: The fields are not those of a key.
        """
        kinds = {field.name: int if field.type == "int" else str for field in fields(cls)}
        fits = (
            isinstance(values, dict)
            and values.keys() == kinds.keys()
            and all(type(values[name]) is kind for name, kind in kinds.items())
        )
        if not fits or not all(
            len(v) <= _MOST_TEXT if isinstance(v, str) else 0 <= v < _MOST_NUMBER for v in values.values()
        ):
            raise NagsdkError(
                "The key of a measurement has missing, unknown or invalid fields.",
                "Export the store again, with this version of nagsdk.",
            )
        return cls(**values)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
