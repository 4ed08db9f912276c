"""Published networks at their usual input size, with what the papers say of them.

Layers that no feature of the cost models describes are left out: max-pooling, concatenation, shuffling of channels.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from nagsdk.errors import UnknownNameError
from nagsdk.networks import blocks
from nagsdk.space.layer import LayerSpec


@dataclass(frozen=True)
class Published:
    """A network that papers and vendors report latencies of.

    Attributes:
        title: Its usual name.
        source: Where it was published.
        size: Height and width of its input, in pixels.
        build: Returns its layers.
    """

    title: str
    source: str
    size: int
    build: Callable[[], tuple[LayerSpec, ...]]


_V1 = "Howard et al., MobileNets, 2017"
_V2 = "Sandler et al., MobileNetV2, CVPR 2018"
_V3 = "Howard et al., Searching for MobileNetV3, ICCV 2019"
_EFFICIENT = "Tan and Le, EfficientNet, ICML 2019"
_LITE = "EfficientNet-Lite, TensorFlow, 2020"
_RESNET = "He et al., CVPR 2016"

NETWORKS: Mapping[str, Published] = {
    "mobilenet_v1": Published("MobileNetV1 1.0", _V1, 224, blocks.mobilenet_v1),
    "mobilenet_v2": Published("MobileNetV2 1.0", _V2, 224, blocks.mobilenet_v2),
    "mobilenet_v3_large": Published("MobileNetV3-Large 1.0", _V3, 224, blocks.mobilenet_v3_large),
    "mobilenet_v3_large_075": Published(
        "MobileNetV3-Large 0.75", _V3, 224, partial(blocks.mobilenet_v3_large, factor=0.75)
    ),
    "mobilenet_v3_large_minimalistic": Published(
        "MobileNetV3-Large minimalistic", _V3, 224, partial(blocks.mobilenet_v3_large, minimalistic=True)
    ),
    "mobilenet_v3_small": Published("MobileNetV3-Small 1.0", _V3, 224, blocks.mobilenet_v3_small),
    "mnasnet_b1": Published("MnasNet-B1 1.0", "Tan et al., MnasNet, CVPR 2019", 224, blocks.mnasnet_b1),
    "proxyless_mobile": Published(
        "ProxylessNAS mobile", "Cai et al., ProxylessNAS, ICLR 2019", 224, blocks.proxyless_mobile
    ),
    "efficientnet_b0": Published("EfficientNet-B0", _EFFICIENT, 224, blocks.efficientnet_b0),
    **{
        f"efficientnet_lite{number}": Published(
            f"EfficientNet-Lite{number}", _LITE, size, partial(blocks.efficientnet_lite, number)
        )
        for number, size in enumerate((224, 240, 260, 280, 300))
    },
    "shufflenet_v2_x0_5": Published(
        "ShuffleNetV2 0.5", "Ma et al., ShuffleNet V2, ECCV 2018", 224, partial(blocks.shufflenet_v2, (48, 96, 192))
    ),
    "shufflenet_v2_x1_0": Published(
        "ShuffleNetV2 1.0", "Ma et al., ShuffleNet V2, ECCV 2018", 224, partial(blocks.shufflenet_v2, (116, 232, 464))
    ),
    "squeezenet1_1": Published("SqueezeNet 1.1", "Iandola et al., SqueezeNet, 2016", 224, blocks.squeezenet1_1),
    "resnet18": Published("ResNet-18", _RESNET, 224, blocks.resnet18),
    "resnet50": Published("ResNet-50", _RESNET, 224, blocks.resnet50),
}


def layers_of(name: str) -> tuple[LayerSpec, ...]:
    """Returns the layers of a published network.

    Raises:
        UnknownNameError: There is no such network; the message names similar ones.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=3, cutoff=0.4)
        raise UnknownNameError(
            f"There is no network {name!r:.80} in the catalogue.",
            f"{f'Did you mean {near[0]}? ' if near else ''}Known networks: {', '.join(NETWORKS)}.",
        )
    return NETWORKS[name].build()
