import ast
import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.widths import make_divisible

SPACE = ofa_mobilenet_v3()


def net_config(architecture, *, key="mobile_inverted_conv", explicit=True):
    """A network in the form in which Once-for-All describes it, with two of its spellings."""
    blocks = [{"name": "MobileInvertedResidualBlock", key: {"in_channels": 16, "out_channels": 16}, "shortcut": None}]
    for block in SPACE.blocks:
        choice = architecture.code[block.decision]
        if choice >= 0:
            kernel, expansion = SPACE.block_choice(choice)
            layer = {
                "name": "MBConvLayer",
                "in_channels": block.in_channels,
                "out_channels": block.out_channels,
                "kernel_size": kernel,
                "stride": block.stride,
                "expand_ratio": expansion,
                "mid_channels": make_divisible(block.in_channels * expansion) if explicit else None,
                "act_func": {"hswish": "h_swish"}.get(block.activation, block.activation),
                "use_se": block.se,
            }
            blocks.append({"name": "ResidualBlock", key: layer, "shortcut": {"name": "IdentityLayer"}})
    parts = {name: {} for name in ("first_conv", "final_expand_layer", "feature_mix_layer", "classifier")}
    return {"name": "MobileNetV3", "bn": {"momentum": 0.1, "eps": 1e-5}, **parts, "blocks": blocks}


def refusal(text):
    with pytest.raises(ArchitectureError) as caught:
        SPACE.parse(text)
    return caught.value


@pytest.mark.parametrize("options", [{}, {"key": "conv"}, {"explicit": False}])
def test_the_advice_is_the_dictionary_of_the_network(options):
    for architecture in SPACE.decode(SPACE.sample(20, np.random.default_rng(0), resolution=224)):
        error = refusal(json.dumps(net_config(architecture, **options)))
        assert "net.config" in error.message and "resolution" in error.message
        advice = error.next_step
        given = ast.literal_eval(advice[advice.index("{") : advice.index("}") + 1])
        assert SPACE.parse(repr(given)) == architecture


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(name="ProxylessNASNets"),
        lambda c: c["blocks"][1]["conv"].update(out_channels=32),
        lambda c: c["blocks"][1]["conv"].update(kernel_size=9),
        lambda c: c["blocks"][1]["conv"].update(mid_channels=40),
        lambda c: c["blocks"][-1]["conv"].update(use_se=False),
        lambda c: c["blocks"].extend([c["blocks"][-1]] * 3),
        lambda c: c["blocks"].pop(),
        lambda c: c.update(blocks={"0": 1}),
        lambda c: c.update(blocks=[None, None]),
        lambda c: c["blocks"][1]["conv"].update(mid_channels=None, expand_ratio=float("inf")),
        lambda c: c["blocks"][1]["conv"].update(mid_channels=None, expand_ratio="x"),
        lambda c: c["blocks"][1].clear(),
    ],
)
def test_networks_that_are_not_in_the_space_are_told_so(change):
    architecture = SPACE.architecture(resolution=224, depths=[2] * 5, kernels=[3] * 10, expansions=[3] * 10)
    content = copy.deepcopy(net_config(architecture, key="conv"))
    named = content["name"]
    change(content)
    if content["name"] != named:
        content["blocks"][1]["conv"]["use_se"] = True
    error = refusal(json.dumps(content))
    assert "net.config" in error.message and f"{content['name']} is not in this space" in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["blocks", "first_conv", "name"]), JSON, min_size=1), st.data())
def test_any_content_is_refused(content, data):
    content["blocks"] = data.draw(st.lists(st.fixed_dictionaries({"conv": JSON}), max_size=4) | JSON)
    assert "net.config" in refusal(json.dumps(content)).message
