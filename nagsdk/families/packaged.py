"""Weights that come with an installed package, instead of a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nagsdk.common.files import sha256
from nagsdk.common.pip import pip
from nagsdk.errors import DamagedBundleError, WeightsMissingError


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """A file of weights in a package. The code of the package is never imported.

    Attributes:
        id: Name of what the weights belong to, such as ``efficientnet-lite0``.
        package: Name of the distribution that brings them, as pip knows it.
        file: Path of the file within what the distribution installs.
        sha256: SHA-256 of the file.
        licence: Licence of the weights.
        extra: Extra of nagsdk that installs the package; empty if there is none.
    """

    id: str
    package: str
    file: str
    sha256: str
    licence: str
    extra: str = ""

    def path(self) -> Path:
        """The installed file.

        Raises:
            WeightsMissingError: The package is not installed, or has no such file.
        """
        wanted = f"nagsdk[{self.extra}]" if self.extra else self.package
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError as error:
            raise WeightsMissingError(
                f"The weights of {self.id} come with the package {self.package}, which is not installed.",
                f"Install it: {pip('install', wanted)}",
            ) from error
        if not path.is_file():
            raise WeightsMissingError(f"The package {self.package} has no file {self.file}.", self._again)
        return path

    @property
    def is_installed(self) -> bool:
        """Whether the file is on this machine."""
        try:
            self.path()
        except WeightsMissingError:
            return False
        return True

    def checked(self) -> Path:
        """The installed file, which has the recorded hash.

        Raises:
            WeightsMissingError: See `path`.
            DamagedBundleError: It is another file.
        """
        path = self.path()
        if sha256(path) != self.sha256:
            raise DamagedBundleError(
                f"{path} is not the file of weights that nagsdk knows as {self.id}: it has another hash.", self._again
            )
        return path

    @property
    def _again(self) -> str:
        return f"Install the package again: {pip('install', '--force-reinstall', self.package)}"


def require_installed(weights: Sequence[PackagedWeights]) -> None:
    """Raises an error that names all missing packages at once.

    Raises:
        WeightsMissingError: A package is not installed.
    """
    missing = [one for one in weights if not one.is_installed]
    if not missing:
        return
    wanted = ["nagsdk[zoo]"] if all(one.extra for one in missing) else [one.package for one in missing]
    raise WeightsMissingError(
        f"The weights of {', '.join(one.id for one in missing)} come with packages that are not installed: "
        f"{', '.join(one.package for one in missing)}.",
        f"Install them: {pip('install', *wanted)}",
    )
