"""Preset spaces of the MobileNetV3 family."""

from __future__ import annotations

from nagsdk.families.mobilenet_v3.definition import Stage
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space

# Widths and strides of the stages of MobileNetV3-Large.
_LARGE = ((24, 2), (40, 2), (80, 2), (112, 1), (160, 2))
# Widths and depths of the stages of EfficientNet-Lite0.
_LITE0 = ((24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1))


def ofa_mobilenet_v3(width_multiplier: float = 1.0) -> MobileNetV3Space:
    """The ImageNet space of Once-for-All: 5 stages, depth 2–4, kernels 3/5/7, expansions 3/4/6, 160–224 px."""
    return MobileNetV3Space(
        stages=(
            Stage(24, 2, "relu", se=False),
            Stage(40, 2, "relu", se=True),
            Stage(80, 2, "hswish", se=False),
            Stage(112, 1, "hswish", se=True),
            Stage(160, 2, "hswish", se=True),
        ),
        stem_width=16,
        head_width=960,
        feature_width=1280,
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        resolution_choices=tuple(range(160, 225, 4)),
        classes=1000,
        width_multiplier=width_multiplier,
    )


def ofa_proxyless(width_multiplier: float = 1.3) -> MobileNetV3Space:
    """The ProxylessNAS space of Once-for-All: 5 elastic stages and a single block, 128–224 px, ReLU6, no SE."""
    widths = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2))
    return MobileNetV3Space(
        stages=(
            *(Stage(width, stride, "relu6", se=False) for width, stride in widths),
            Stage(320, 1, "relu6", se=False, depths=(1,)),
        ),
        stem_width=32,
        head_width=1280,
        feature_width=0,
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        resolution_choices=tuple(range(128, 225, 4)),
        classes=1000,
        width_multiplier=width_multiplier,
        activation="relu6",
        first_width=16,
        first_activation="relu6",
        norm_eps=1e-3,
    )


def efficientnet_lite0() -> MobileNetV3Space:
    """A space around EfficientNet-Lite0, whose largest network contains it: 96–224 px, ReLU6, no SE."""
    return _lite(_LITE0, (3, 4, 6), tuple(range(96, 225, 16)), elastic=True)


def efficientnet_lite0_alone() -> MobileNetV3Space:
    """EfficientNet-Lite0 at many resolutions; its largest network is the published one."""
    return _lite(_LITE0)


def efficientnet_lite1_alone() -> MobileNetV3Space:
    """EfficientNet-Lite1; see `efficientnet_lite0_alone`."""
    return _lite(((24, 3), (40, 3), (80, 4), (112, 4), (192, 5), (320, 1)))


def efficientnet_lite2_alone() -> MobileNetV3Space:
    """EfficientNet-Lite2; see `efficientnet_lite0_alone`."""
    return _lite(((24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)))


def _lite(
    stages: tuple[tuple[int, int], ...],
    expansions: tuple[int, ...] = (6,),
    resolutions: tuple[int, ...] = tuple(range(64, 513, 4)),
    elastic: bool = False,
) -> MobileNetV3Space:
    """EfficientNet-Lite with these widths and depths; all smaller depths are legal too if it is elastic."""
    strides = (2, 2, 2, 1, 2, 1)
    return MobileNetV3Space(
        stages=tuple(
            Stage(width, stride, "relu6", se=False, depths=tuple(range(1 if elastic else depth, depth + 1)))
            for (width, depth), stride in zip(stages, strides, strict=True)
        ),
        stem_width=32,
        head_width=1280,
        feature_width=0,
        kernels=(3, 5),
        expansions=expansions,
        resolution_choices=resolutions,
        classes=1000,
        activation="relu6",
        first_width=16,
        first_activation="relu6",
        norm_eps=1e-3,
        padding="same",
    )


def minimal_mobilenet_v3(width_multiplier: float = 1.0) -> MobileNetV3Space:
    """MobileNetV3-Large minimalistic as a space, for integer-only processors: ReLU, 3x3 kernels, no SE."""
    return MobileNetV3Space(
        stages=tuple(Stage(width, stride, "relu", se=False) for width, stride in _LARGE),
        stem_width=16,
        head_width=960,
        feature_width=1280,
        kernels=(3,),
        expansions=(3, 4, 6),
        resolution_choices=tuple(range(96, 225, 16)),
        classes=1000,
        width_multiplier=width_multiplier,
        activation="relu",
    )


def small_mobilenet_v3(classes: int = 47) -> MobileNetV3Space:
    """A small elastic MobileNetV3 for 32 to 48 pixels: 0.3 to 8 MMACs."""
    depths = (1, 2, 3)
    return MobileNetV3Space(
        stages=(
            Stage(16, 2, "relu", se=False, depths=depths),
            Stage(24, 2, "relu", se=True, depths=depths),
            Stage(40, 1, "hswish", se=False, depths=depths),
            Stage(64, 2, "hswish", se=True, depths=depths),
        ),
        stem_width=8,
        head_width=192,
        feature_width=256,
        kernels=(3, 5),
        expansions=(2, 4, 6),
        resolution_choices=(32, 36, 40, 44, 48),
        classes=classes,
    )


def testing_mobilenet_v3() -> MobileNetV3Space:
    """A space with every kind of layer, whose networks are exported and run within milliseconds."""
    return MobileNetV3Space(
        stages=(Stage(16, 2, "relu", se=True, depths=(1, 2)), Stage(24, 2, "hswish", se=False, depths=(1, 2, 3))),
        stem_width=8,
        head_width=48,
        feature_width=64,
        kernels=(3, 5, 7),
        expansions=(2, 3, 4),
        resolution_choices=(31, 32, 48),
        classes=10,
    )
