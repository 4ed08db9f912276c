"""The weights of a bundle: among its files, fetched by the user, or those of finished networks in packages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.bundle.files import BundleFiles
from nagsdk.bundle.imported import SUPERNET_WEIGHTS, WEIGHTS_RECORD, read_weights, read_weights_record
from nagsdk.common.wording import command
from nagsdk.families.packaged import PackagedWeights, require_installed
from nagsdk.families.space import NetworkSpace

if TYPE_CHECKING:
    from nagsdk.families.protocol import Supernet


@dataclass(frozen=True)
class BundleWeights:
    """Where the weights of a bundle are.

    Attributes:
        space: The space of the bundle.
        files: Its files.
        folder: Folder of the weights that the user fetched or imported.
        argument: How the bundle is named on the command line.
    """

    space: NetworkSpace
    files: BundleFiles
    folder: Path
    argument: str

    @cached_property
    def finished(self) -> tuple[PackagedWeights, ...]:
        """The weights of the finished networks of which the bundle consists; empty if it has a supernet."""
        return self.space.packages()

    @property
    def are_here(self) -> bool:
        """Whether they are on this machine."""
        if self.finished:
            return all(network.is_installed for network in self.finished)
        return SUPERNET_WEIGHTS in self.files or (self.folder / WEIGHTS_RECORD).is_file()

    def require(self, missing: Callable[[], Exception]) -> None:
        """Raises an error if they are not on this machine.

        Args:
            missing: Makes the error for weights that the user can fetch.

        Raises:
            WeightsMissingError: They are missing; the error says how to get them.
        """
        require_installed(self.finished)
        if not self.are_here:
            raise missing()

    @cached_property
    def sha256(self) -> str:
        """Hash of the file, or of the hashes of all finished networks."""
        if self.finished:
            return hashlib.sha256("\n".join(network.sha256 for network in self.finished).encode()).hexdigest()
        return self.files.sha256(SUPERNET_WEIGHTS) or read_weights_record(self.folder)["sha256"]

    def supernet(self) -> Supernet:
        """Reads them.

        Raises:
            DamagedBundleError: A file does not have its recorded hash, or is not valid.
        """
        from nagsdk.supernet.weights import load_supernet

        if self.finished:
            return self.space.packaged()
        if SUPERNET_WEIGHTS in self.files:
            path = self.files.folder / SUPERNET_WEIGHTS
            return load_supernet(self.space, self.files.read(SUPERNET_WEIGHTS), str(path))
        path = self.folder / SUPERNET_WEIGHTS
        again = command("nagsdk", "bundle", "pull", self.argument)
        return load_supernet(self.space, read_weights(path, self.sha256, again), str(path))
