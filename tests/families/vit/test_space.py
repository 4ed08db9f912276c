from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.bundle.bundle import Bundle
from nagsdk.common.folders import shipped
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import read_prior
from nagsdk.errors import UnsupportedLayerError, UsageError
from nagsdk.families import preset, space_from_dict
from nagsdk.families.traced.couplings import find_layers
from nagsdk.families.vit.space import VitSpace
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.choices import _every_precision
from nagsdk.pipeline.limits import Costs
from nagsdk.pipeline.target import Target
from nagsdk.plugin.host import host
from nagsdk.space.space import extremes
from nagsdk.testing.spaces import check_space
from tests.families.stored import stored

SMALL = {
    "classes": 5,
    "pixels": (16, 31),
    "dims": (8, 12),
    "depths": (1, 3),
    "heads": (1, 2),
    "mlp_ratios": (1, 1.5),
    "head_size": 4,
    "stem_widths": (6,),
}
SPACE = VitSpace(**SMALL)


def test_the_family_keeps_all_rules():
    check_space(SPACE, networks=2, devices=("cpu", "litert"))


def test_layers_that_are_told_are_those_that_tracing_finds():
    traced = {layer.name: layer for layer in find_layers(SPACE._plain, SPACE._trace, SPACE._text)}
    assert list(traced) == [layer.name for layer in SPACE.traced_layers]
    for architecture in SPACE.decode(np.concatenate([extremes(SPACE), SPACE.sample(50, np.random.default_rng(0))])):
        code = architecture.code
        found = (layer.at(code) for layer in traced.values() if code[layer.decision] >= 0)
        assert tuple(layer for layer in found if layer is not None) == SPACE.layers(architecture)


def test_blocks_are_coupled_by_the_embedding_dimension():
    names = [d.name for d in SPACE.decisions]
    reads = {d.name: [names[r] for r in d.reads] for d in SPACE.decisions}
    assert reads.pop("block3.mlp") == reads.pop("block1.heads") == ["dim"]
    assert reads["depth"] == reads["dim"] == []


def test_a_network_with_fewer_heads_uses_the_first_of_queries_keys_and_values():
    supernet = SPACE.supernet()
    supernet.initialise(0)
    smallest, _ = extremes(SPACE).tolist()
    supernet.train()
    # Blocks start as identities, through which no gradient would reach the attention.
    torch.nn.init.ones_(supernet.whole.blocks.block1.project.weight)
    supernet(torch.randn(4, 3, 16, 16), smallest).square().sum().backward()
    for name in ("queries", "keys", "values"):
        gradient = getattr(supernet.whole.blocks.block1, name).weight.grad
        assert gradient[:4, :8].abs().sum() > 0 and gradient[4:].abs().sum() == gradient[:, 8:].abs().sum() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": (31, 16)},
        {"pixels": 16},
        {"dims": (8, 8)},
        {"depths": (0, 1)},
        {"heads": (1.0,)},
        {"mlp_ratios": ("1",)},
        {"mlp_ratios": (0.0, 1)},
        {"stem_widths": ()},
        {"stem_widths": (6, 10**6)},
        {"head_size": 0},
        {"classes": 1.5},
    ],
)
def test_definitions_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(ValueError):
        VitSpace(**{**SMALL, **wrong})
    with pytest.raises((ValueError, UsageError)):
        space_from_dict({"family": "vit", **SMALL, **wrong})


def test_a_prior_without_prices_of_attention_does_not_know_the_speed():
    prior = read_prior(shipped("devices") / "cpu-prior.json")
    assert {"attention_macs", "norm_elements", "gelu_elements"} <= {*prior.unknown}
    with pytest.raises(UsageError, match="speed of this device is not known"):
        CostModel.from_prior(SPACE, prior)


def test_a_backend_refuses_integers_by_the_names_of_the_layers(tmp_path):
    bundle, device = Bundle(stored(SPACE, tmp_path / "vit")), host().device("cpu")
    backend = host().backend_of(device)
    assert Costs(bundle, backend, device, host).supported[:, SPACE.existing].all()
    with pytest.raises(UnsupportedLayerError, match="in int8: GELU, attention, layer normalisation") as caught:
        _ = Costs(bundle, backend, replace(device, precision="int8"), host).supported
    assert "--precision fp32" in caught.value.next_step


def test_integers_are_no_choice_for_any_precision(tmp_path):
    bundle, left_out = Bundle(stored(SPACE, tmp_path / "vit")), []
    assert _every_precision(host().backends.get("onnxruntime"), bundle, left_out) == ["fp32"]
    assert "without an integer form: GELU, attention, layer normalisation" in left_out[0].why


def test_a_list_of_precisions_leaves_integers_out_and_says_why(tmp_path):
    target = Target("cpu", Bundle(stored(SPACE, tmp_path / "vit")), precision="fp32,int8")
    assert [arm.device.precision for arm in target.arms] == ["fp32"]
    assert [arm.precision for arm in target.left_out] == ["int8"]
    assert "in int8: GELU, attention, layer normalisation" in target.left_out[0].why


def test_a_deployment_in_integers_is_refused_before_images_are_read(tmp_path):
    target = Target("cpu", Bundle(stored(SPACE, tmp_path / "vit")), precision="int8")
    with pytest.raises(UnsupportedLayerError, match="in int8: GELU, attention, layer normalisation"):
        Builder(target, tmp_path / "nowhere", False, 0).check()


def test_the_preset_has_networks_of_its_promised_cost():
    space = preset("vit")
    smallest, largest = (space.macs(a) / 1e6 for a in space.decode(extremes(space)))
    assert (round(smallest, 1), round(largest)) == (0.8, 29)
