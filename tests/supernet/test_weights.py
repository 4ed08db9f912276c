import numpy as np
import pytest
import torch

from nagsdk.errors import DamagedBundleError
from nagsdk.supernet.weights import load_supernet, save_supernet


def test_safetensors_round_trip(tiny_space, tmp_path):
    supernet = tiny_space.supernet().eval()
    save_supernet(supernet, tmp_path / "s.safetensors")
    again = load_supernet(tiny_space, (tmp_path / "s.safetensors").read_bytes())
    (a,) = tiny_space.decode(tiny_space.sample(1, np.random.default_rng(0)))
    x = torch.randn(1, 3, a.resolution, a.resolution)
    with torch.no_grad():
        assert torch.equal(supernet(x, a.code), again(x, a.code))


@pytest.mark.parametrize("damage", ["truncated", "unknown tensors", "wrong shape", "not finite", "empty"])
def test_damaged_weights_are_refused(tiny_space, tmp_path, damage):
    supernet, path = tiny_space.supernet(), tmp_path / "s.safetensors"
    if damage == "unknown tensors":
        supernet.extra = torch.nn.Linear(2, 2)
    if damage == "wrong shape":
        supernet.classifier = torch.nn.Linear(3, 5)
    if damage == "not finite":
        supernet.classifier.bias.data[0] = float("nan")
    save_supernet(supernet, path)
    content = {"truncated": path.read_bytes()[:-100], "empty": b""}.get(damage, path.read_bytes())
    with pytest.raises(DamagedBundleError) as caught:
        load_supernet(tiny_space, content)
    assert caught.value.next_step and caught.value.exit_code == 5
