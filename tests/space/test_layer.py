import pytest

from nagsdk.cost.features import FEATURES, layer_features
from nagsdk.errors import UnsupportedLayerError, UsageError
from nagsdk.plugin.host import host
from nagsdk.space import layer as layers
from nagsdk.space.layer import KINDS, LayerKind, LayerSpec, add_kind

UNKNOWN = LayerSpec("block2.route", "routing", 8, 8, 1, 1, 4)


@pytest.mark.parametrize("name", ["out_size", "weights", "macs", "parameters", "folded_parameters", "activations"])
def test_amounts_of_a_layer_of_an_unknown_kind_are_refused(name):
    with pytest.raises(UnsupportedLayerError, match="block2.route.*'routing'") as caught:
        getattr(UNKNOWN, name)
    assert "depthwise" in caught.value.next_step


@pytest.mark.parametrize("kind", KINDS)
def test_every_known_kind_has_its_amounts(kind):
    layer = LayerSpec("x", kind, 8, 8, 1, 1, 4, se_channels=8 if kind == "se" else 0)
    assert layer.activations > 0
    assert (layer.macs > 0) == (kind not in ("add", "pool", "maxpool", "avgpool", "norm"))


@pytest.mark.parametrize("name", ["android", "cuda", "litert", "onnxruntime", "openvino", "vela"])
def test_backends_run_and_weigh_known_kinds_only(name):
    backend = host().backends.get(name)
    device = next(d for d in host().devices if d.backend == name)
    assert not backend.supports(UNKNOWN, device)
    with pytest.raises(UnsupportedLayerError, match="'routing'"):
        backend.layer_bytes(UNKNOWN, device)
    for kind in KINDS:
        layer = LayerSpec("x", kind, 8, 8, 1, 1, 4, se_channels=8 if kind == "se" else 0)
        if name == "vela" and layer.float_only:
            assert not backend.supports(layer, device)
            continue
        assert backend.supports(layer, device) and backend.layer_bytes(layer, device) >= layer.folded_parameters


@pytest.fixture
def routing(monkeypatch):
    """A kind of layer that a family of others adds."""
    monkeypatch.setattr(layers, "_KNOWN", dict(layers._KNOWN))
    kind = LayerKind(
        "routing",
        weights=lambda layer: 0,
        macs=lambda layer: 2 * layer.in_size**4 * layer.out_channels,
        work=lambda layer: {"calls": 2, "conv_macs": layer.macs / 1e6},
    )
    add_kind(kind)
    return kind


def test_an_added_kind_has_its_amounts_and_its_work(routing):
    add_kind(routing)  # the module of a family may be imported again
    assert (UNKNOWN.macs, UNKNOWN.parameters, UNKNOWN.out_size, UNKNOWN.activations) == (4096, 0, 4, 256)
    (row,) = layer_features([UNKNOWN])
    amounts = dict(zip(FEATURES, row, strict=True))
    assert amounts["calls"] == 2 and amounts["conv_macs"] == pytest.approx(0.004096) and row.sum() < 2.01


def test_an_added_kind_is_run_by_backends_that_say_so_only(routing):
    for name in ("onnxruntime", "litert"):
        device = next(d for d in host().devices if d.backend == name)
        assert not host().backends.get(name).supports(UNKNOWN, device)


@pytest.mark.parametrize("amount", [{"routing": 1.0}, {"calls": -1.0}, {"calls": float("nan")}])
def test_work_that_is_no_amount_of_a_feature_is_refused(routing, monkeypatch, amount):
    add_kind(LayerKind("odd", weights=lambda layer: 0, work=lambda layer: amount))
    with pytest.raises(UnsupportedLayerError, match=f"'odd'.*{next(iter(amount))}"):
        layer_features([LayerSpec("x", "odd", 8, 8, 1, 1, 4)])


@pytest.mark.parametrize(
    "kind",
    [
        LayerKind("conv", weights=lambda layer: 0, work=lambda layer: {}),
        LayerKind("routing", weights=lambda layer: 1, work=lambda layer: {}),
        LayerKind("free", weights=lambda layer: 0),
    ],
    ids=["conv", "routing", "free"],
)
def test_kinds_with_a_taken_name_or_without_work_are_refused(routing, kind):
    with pytest.raises(UsageError, match=kind.name):
        add_kind(kind)
