"""Finished networks under the names of torchvision, timm and the ports of EfficientNet."""

import re
from dataclasses import replace

import pytest
import torch

from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.definition import Stage
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.space.space import extremes
from nagsdk.supernet.initial import adopt, read_weights

# A network of two stages, and a space that contains it in several ways.
POINT = MobileNetV3Space(
    stages=(Stage(16, 2, "relu6", se=False, depths=(2,)), Stage(24, 2, "relu6", se=True, depths=(1,))),
    stem_width=8,
    head_width=48,
    feature_width=0,
    kernels=(3,),
    expansions=(4,),
    resolution_choices=(32,),
    classes=5,
    activation="relu6",
)
SPACE = replace(
    POINT,
    stages=(replace(POINT.stages[0], depths=(1, 2, 3)), replace(POINT.stages[1], depths=(1, 2))),
    kernels=(3, 5),
    expansions=(2, 4, 6),
)


def trained(space=POINT):
    """A network with statistics as after a training, and its outputs."""
    torch.manual_seed(3)
    (architecture,) = space.decode(extremes(space)[1:])
    network = space.build(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        return network.eval(), images, network(images)


def efficientnet(name):
    name = re.sub(r"^stem\.conv", "_conv_stem", name).replace("stem.bn", "_bn0")
    name = name.replace("head.conv", "_conv_head").replace("head.bn", "_bn1").replace("classifier", "_fc")
    name = re.sub(r"^first\.", "blocks.-1.", name)
    name = re.sub(r"^blocks\.(-?\d+)\.", lambda m: f"_blocks.{int(m[1]) + 1}.", name)
    for ours, conv, norm in (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1")):
        name = name.replace(f".{ours}.conv", f".{conv}").replace(f".{ours}.bn", f".{norm}")
    name = name.replace(".project.conv", "._project_conv").replace(".project.bn", "._bn2")
    return name.replace(".se.reduce", "._se_reduce").replace(".se.expand", "._se_expand")


def timm(name):
    """timm numbers blocks by stage, and calls the layers of the first block as those of another kind."""
    name = re.sub(r"^stem\.conv", "conv_stem", name).replace("stem.bn", "bn1")
    name = name.replace("head.conv", "conv_head").replace("head.bn", "bn2")
    first = name.startswith("first.")
    name = re.sub(r"^first\.", "blocks.0.0.", name)
    places = {0: "1.0", 1: "1.1", 2: "2.0"}
    name = re.sub(r"^blocks\.(\d+)\.(?=[a-z])", lambda m: f"blocks.{places[int(m[1])]}.", name)
    parts = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")} if first else {
        "expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3"),
    }  # fmt: skip
    for ours, (conv, norm) in parts.items():
        name = name.replace(f".{ours}.conv", f".{conv}").replace(f".{ours}.bn", f".{norm}")
    return name.replace(".se.reduce", ".se.conv_reduce").replace(".se.expand", ".se.conv_expand")


def torchvision(name):
    """torchvision numbers everything."""
    name = name.replace("stem.conv", "features.0.0").replace("stem.bn", "features.0.1")
    name = name.replace("head.conv", "features.5.0").replace("head.bn", "features.5.1")
    name = name.replace("classifier.", "classifier.1.")
    first = name.startswith("first.")
    name = re.sub(r"^first\.", "features.1.", name)
    name = re.sub(r"^blocks\.(\d+)\.(?=[a-z])", lambda m: f"features.{int(m[1]) + 2}.", name)
    order = ("depthwise", "project") if first else ("expand", "depthwise", "se", "project")
    for number, ours in enumerate(order):
        name = name.replace(f".{ours}.conv", f".block.{number}.0").replace(f".{ours}.bn", f".block.{number}.1")
    return name.replace(".se.reduce", ".block.2.fc1").replace(".se.expand", ".block.2.fc2")


def renamed(network, names):
    """The state dict under other names, in alphabetical order as in safetensors."""
    return dict(sorted((names(name), tensor) for name, tensor in network.state_dict().items()))


@pytest.mark.parametrize("names", [efficientnet, timm, torchvision])
def test_the_largest_network_computes_what_the_file_does(tmp_path, names):
    network, images, expected = trained()
    torch.save(renamed(network, names), tmp_path / "network.pth")
    supernet = read_weights(tmp_path / "network.pth", SPACE.with_classes(3))
    assert supernet.space.classes == 5
    largest = supernet.space.decode(extremes(supernet.space))[1]
    (note,) = supernet.notes
    assert "Left out: nothing" in note and "2 further blocks" in note and "network.pth" in note
    with torch.no_grad():
        torch.testing.assert_close(supernet.extract(largest)(images), expected, atol=1e-4, rtol=1e-4)
        # The file is also a point of the space: its kernels and depths, and the smallest expansions that hold it.
        text = "mbv3:r32:d=2,1:ks=3,3,3:e=4,4,4"
        torch.testing.assert_close(supernet.extract(SPACE.parse(text))(images), expected, atol=1e-4, rtol=1e-4)
    fresh = SPACE.with_classes(3).supernet()
    adopt(fresh, supernet)
    assert not fresh.classifier.weight.any() and torch.equal(fresh.stem.weight, supernet.stem.weight)


def test_what_does_not_fit_into_the_space_is_said(tmp_path):
    wide = replace(
        POINT,
        stages=(replace(POINT.stages[0], depths=(3,)), POINT.stages[1]),
        kernels=(5,),
        expansions=(6,),
    )
    network, images, _ = trained(wide)
    torch.save(renamed(network, efficientnet), tmp_path / "network.pth")
    supernet = read_weights(tmp_path / "network.pth", replace(POINT, kernels=(3,)))
    (note,) = supernet.notes
    assert "1 block beyond the depths" in note and "edges of 3 kernels" in note
    assert "least important channels of 3 blocks" in note and "4 blocks were mapped" in note
    with torch.no_grad():
        (architecture,) = POINT.decode(extremes(POINT)[1:])
        assert torch.isfinite(supernet.extract(architecture)(images)).all()


def test_open_gates_stand_for_blocks_without_squeeze_and_excitation(tmp_path):
    plain = replace(POINT, stages=tuple(replace(stage, se=False) for stage in POINT.stages))
    network, images, expected = trained(plain)
    torch.save(renamed(network, timm), tmp_path / "network.pth")
    supernet = read_weights(tmp_path / "network.pth", POINT)
    with torch.no_grad():
        (architecture,) = POINT.decode(extremes(POINT)[1:])
        torch.testing.assert_close(supernet.extract(architecture)(images), expected, atol=1e-4, rtol=1e-4)
    gated, _, _ = trained()
    torch.save(renamed(gated, timm), tmp_path / "gated.pth")
    with pytest.raises(DamagedBundleError, match="squeeze-and-excitation"):
        read_weights(tmp_path / "gated.pth", plain)


def damaged(kind):
    network, _, _ = trained()
    state = renamed(network, efficientnet)
    if kind == "widths":
        return renamed(trained(replace(POINT, head_width=64))[0], efficientnet)
    if kind == "chain":
        state["_blocks.1._project_conv.weight"] = state["_blocks.1._project_conv.weight"][:, :8]
    elif kind == "norm":
        del state["_blocks.1._bn1.weight"]
    elif kind == "unknown":
        state["_blocks.1._attention.query"] = torch.zeros(3)
    elif kind == "block":
        del state["_blocks.1._project_conv.weight"]
    elif kind == "end":
        del state["_fc.weight"], state["_fc.bias"]
    elif kind == "none":
        state = {"_conv_stem.weight": state["_conv_stem.weight"]}
    elif kind == "nan":
        state["_bn0.running_var"] = state["_bn0.running_var"] * float("nan")
    return state


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("widths", "this space has 8, 8, 16, 24, 48, 0"),
        ("chain", "do not fit"),
        ("norm", "_bn1.weight is missing"),
        ("unknown", "_attention.query belongs to no layer"),
        ("block", "a block of another kind"),
        ("end", "another beginning or end"),
        ("none", "batch normalisation does not fit"),
        ("nan", "non-finite"),
    ],
)
def test_other_files_are_refused(tmp_path, kind, says):
    torch.save(damaged(kind), tmp_path / "network.pth")
    with pytest.raises(DamagedBundleError, match=says):
        read_weights(tmp_path / "network.pth", SPACE)
