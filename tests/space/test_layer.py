import pytest

from nagsdk.errors import UnsupportedLayerError
from nagsdk.plugin.host import host
from nagsdk.space.layer import KINDS, LayerSpec

UNKNOWN = LayerSpec("block2.attend", "attention", 8, 8, 1, 1, 4)


@pytest.mark.parametrize("name", ["out_size", "weights", "macs", "parameters", "folded_parameters", "activations"])
def test_amounts_of_a_layer_of_an_unknown_kind_are_refused(name):
    with pytest.raises(UnsupportedLayerError, match="block2.attend.*'attention'") as caught:
        getattr(UNKNOWN, name)
    assert "depthwise" in caught.value.next_step


@pytest.mark.parametrize("kind", KINDS)
def test_every_known_kind_has_its_amounts(kind):
    layer = LayerSpec("x", kind, 8, 8, 1, 1, 4, se_channels=8 if kind == "se" else 0)
    assert layer.activations > 0 and (layer.macs > 0) == (kind not in ("add", "pool"))


@pytest.mark.parametrize("name", ["android", "cuda", "litert", "onnxruntime", "openvino"])
def test_backends_run_and_weigh_known_kinds_only(name):
    backend = host().backends.get(name)
    device = next(d for d in host().devices if d.backend == name)
    assert not backend.supports(UNKNOWN, device)
    with pytest.raises(UnsupportedLayerError, match="'attention'"):
        backend.layer_bytes(UNKNOWN, device)
    for kind in KINDS:
        layer = LayerSpec("x", kind, 8, 8, 1, 1, 4, se_channels=8 if kind == "se" else 0)
        assert backend.supports(layer, device) and backend.layer_bytes(layer, device) >= layer.folded_parameters
