import importlib.util
import json

import numpy as np
import pytest
import torch

from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.checkpoint import import_ofa, load_supernet, save_supernet
from nagsdk.families.mobilenet_v3.space import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.subnet import extract
from nagsdk.families.mobilenet_v3.supernet import Supernet


@pytest.fixture(scope="module")
def reference(shared):
    folder = shared / "ofa_reference"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return fill, fill.state_dict(json.loads((folder / "keys.json").read_text())), json.loads((folder / "expected.json").read_text())


def _older_names(state):
    """The names of the first released generation, without the elastic wrappers."""
    return {k.replace(".conv.", ".mobile_inverted_conv.", 1) if k.startswith("blocks.") else k: v for k, v in state.items()}


@pytest.mark.parametrize("names", [dict, _older_names], ids=["present", "older"])
def test_released_checkpoints_give_the_original_logits(reference, names, tmp_path):
    fill, state, expected = reference
    space = ofa_mobilenet_v3()
    torch.save({"state_dict": names(state)}, tmp_path / "ofa.pth")
    supernet = import_ofa(space, tmp_path / "ofa.pth")
    for entry in expected:
        a = space.architecture(kernels=entry["ks"], expansions=entry["e"], depths=entry["d"], resolution=entry["r"])
        # In double precision: the stand-in's gates are nearly switches, which magnify what processors round differently to 1e-4.
        with torch.no_grad():
            logits = extract(supernet, a).double()(fill.image(entry["r"]).double())[0]
        error = (logits[:16] - torch.tensor(entry["logits"])).norm() / entry["logits_l2"]
        assert error < 1e-4
        assert float(logits.norm()) == pytest.approx(entry["logits_l2"], rel=1e-4)


def test_safetensors_round_trip(tiny_space, tmp_path):
    supernet = Supernet(tiny_space).eval()
    save_supernet(supernet, tmp_path / "s.safetensors")
    again = load_supernet(tiny_space, (tmp_path / "s.safetensors").read_bytes())
    (a,) = tiny_space.decode(tiny_space.sample(1, np.random.default_rng(0)))
    x = torch.randn(1, 3, a.resolution, a.resolution)
    with torch.no_grad():
        assert torch.equal(supernet(x, a.code), again(x, a.code))


@pytest.mark.parametrize("damage", ["torn", "foreign", "misshapen", "not finite", "empty"])
def test_damaged_weights_are_refused(tiny_space, tmp_path, damage):
    supernet, path = Supernet(tiny_space), tmp_path / "s.safetensors"
    if damage == "foreign":
        supernet.extra = torch.nn.Linear(2, 2)
    if damage == "misshapen":
        supernet.classifier = torch.nn.Linear(3, 5)
    if damage == "not finite":
        supernet.classifier.bias.data[0] = float("nan")
    save_supernet(supernet, path)
    content = {"torn": path.read_bytes()[:-100], "empty": b""}.get(damage, path.read_bytes())
    with pytest.raises(DamagedBundleError) as caught:
        load_supernet(tiny_space, content)
    assert caught.value.next_step and caught.value.exit_code == 5


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("content", [b"", b"not a pickle", Evil(), {"state_dict": {"first_conv.conv.weight": torch.zeros(1)}}, [1, 2]])
def test_foreign_checkpoints_are_refused_and_no_code_runs(content, tmp_path, capsys):
    path = tmp_path / "c.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(DamagedBundleError):
        import_ofa(ofa_mobilenet_v3(), path)
    assert "code ran" not in capsys.readouterr().out
