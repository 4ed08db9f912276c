"""ProxylessNAS and ResNet50D against figures of Once-for-All's own code; recipes/ofa_networks.py made them."""

import json
import re
from pathlib import Path

import pytest
import torch

from nagsdk.families import preset
from nagsdk.families.mobilenet_v3.checkpoint import _ofa_names
from nagsdk.families.resnet50.checkpoint import ofa_names
from recipes.ofa_networks import digest, image, stand_in

EXPECTED = json.loads(Path(__file__).with_name("data").joinpath("ofa_networks.json").read_text())
COUNTER = "num_batches_tracked"


def proxyless(space, entry):
    return space.architecture(kernels=entry["ks"], expansions=entry["e"], depths=entry["d"], resolution=entry["r"])


def resnet(space, entry):
    more, blocks = (0, 1)[entry["d"][0] == 2], iter(entry["e"])
    values = {"resolution": entry["r"], "stem.more": more}
    values |= dict(zip(("stem.width", "stem.out"), (space.multipliers[w] for w in entry["w"]), strict=False))
    for s, depth in enumerate(space.stage_depths, 1):
        values |= {f"stage{s}.width": space.multipliers[entry["w"][s + 1]], f"stage{s}.more": entry["d"][s]}
        values |= {f"stage{s}.block{b}": next(blocks) for b in range(1, depth + 3)}
    code = [d.choices.index(values[d.name]) for d in space.decisions]
    return space.decode(space.validate([space._deactivated(code)]))[0]


def proxyless_names(supernet):
    """Once-for-All's names in the elastic blocks have wrappers around convolutions and batch normalisation."""
    plain = {ours: theirs for theirs, ours in _ofa_names(supernet).items()}

    def theirs(name):
        if name.endswith(COUNTER):
            return theirs(name.replace(COUNTER, "weight")).removesuffix("weight") + COUNTER
        return re.sub(r"^(blocks\.[1-9].*\.)(conv|bn)\.(\w+)$", r"\1\2.\2.\3", plain[name])

    return {n: plain[n] if n.endswith(("5to3", "7to5")) else theirs(n) for n in supernet.state_dict()}


def resnet_names(supernet):
    names = ofa_names(supernet)
    counters = [n for n in supernet.state_dict() if n.endswith(COUNTER)]
    return names | {n: names[n.replace(COUNTER, "weight")].removesuffix("weight") + COUNTER for n in counters}


FAMILIES = {"proxyless": (proxyless, proxyless_names), "resnet50": (resnet, resnet_names)}
CASES = [("proxyless", slice(3)), *(pytest.param(f, slice(12), marks=pytest.mark.nightly) for f in FAMILIES)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "which"), CASES)
def test_networks_have_the_figures_of_the_original_code(name, which, tmp_path):
    (architecture_of, names), space, expected = FAMILIES[name], preset(name), EXPECTED[name]
    supernet = space.supernet()
    named = names(supernet)
    shapes = {named[n]: list(tensor.shape) for n, tensor in supernet.state_dict().items()}
    assert digest(shapes) == expected["tensors"]
    torch.save({"state_dict": stand_in(shapes)}, tmp_path / "ofa.pth")
    supernet = space.import_released(tmp_path / "ofa.pth")
    for entry in expected["networks"][which]:
        architecture = architecture_of(space, entry)
        assert (space.macs(architecture), space.parameters(architecture)) == (entry["macs"], entry["parameters"])
        with torch.no_grad():
            logits = supernet.extract(architecture).double()(image(entry["r"]).double())[0]
        error = (logits[: len(entry["logits"])] - torch.tensor(entry["logits"])).norm() / entry["norm"]
        assert error < 1e-4 and float(logits.norm()) == pytest.approx(entry["norm"], rel=1e-4)
