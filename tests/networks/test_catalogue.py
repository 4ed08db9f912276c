import pytest

from nagsdk.errors import UnknownNameError
from nagsdk.networks.catalogue import NETWORKS, layers_of

# Millions of multiply-accumulates and of parameters, from the papers, the authors' repositories and torchvision.
PUBLISHED = {
    "mobilenet_v1": (569, 4.23),
    "mobilenet_v2": (300.8, 3.505),
    "mobilenet_v3_large": (217, 5.483),
    "mobilenet_v3_large_075": (155, 4.0),
    "mobilenet_v3_large_minimalistic": (209, 3.92),
    "mobilenet_v3_small": (56.5, 2.543),
    "mnasnet_b1": (314, 4.383),
    "proxyless_mobile": (320, 4.08),
    "efficientnet_b0": (386, 5.289),
    "shufflenet_v2_x0_5": (41, 1.367),
    "shufflenet_v2_x1_0": (146, 2.279),
    "squeezenet1_1": (349, 1.2355),
    "resnet18": (1814, 11.69),
    "resnet50": (4089, 25.557),
}
# Their published multiply-accumulates (407, 631, 899 …) count more than convolutions; only parameters can be compared.
LITE = {"efficientnet_lite0": 4.65, "efficientnet_lite1": 5.42, "efficientnet_lite2": 6.09}
LITE |= {"efficientnet_lite3": 8.20, "efficientnet_lite4": 13.01}


def sizes(name):
    layers = layers_of(name)
    return sum(layer.macs for layer in layers) / 1e6, sum(layer.parameters for layer in layers) / 1e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    assert sizes(name) == pytest.approx(PUBLISHED[name], rel=0.015)


@pytest.mark.parametrize("name", LITE)
def test_parameters_of_efficientnet_lite_are_the_published_ones(name):
    assert sizes(name)[1] == pytest.approx(LITE[name], rel=0.005)


def test_every_network_is_checked():
    assert NETWORKS.keys() == PUBLISHED.keys() | LITE.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_start_at_an_image_and_end_at_classes(name):
    layers = layers_of(name)
    assert layers[0].in_channels == 3 and abs(layers[0].in_size - NETWORKS[name].size) <= 3
    assert layers[-1].out_channels == 1000
    assert len({layer.name for layer in layers}) == len(layers)


def test_an_unknown_network_is_told_with_similar_ones():
    with pytest.raises(UnknownNameError) as raised:
        layers_of("mobilenet_v3_lrge")
    assert "mobilenet_v3_large" in raised.value.next_step
