import torch

from nagsdk.graph.layers import layers_of
from nagsdk.graph.trace import trace
from tests.graph.foreign import foreign_network


def test_layers_are_listed_with_the_work_that_hooks_count():
    network = foreign_network()
    counted = []

    def count(module, inputs, output):
        counted.append(module.weight[0].numel() * output[0].numel())

    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    layers, whole = layers_of(trace(network, 32))
    assert sum(macs for _, macs in layers) == sum(counted)
    assert not whole  # the product of the gate is no layer
    kinds = [layer.kind for layer, _ in layers]
    assert kinds[:2] == ["conv", "maxpool"] and kinds.count("add") == 1 and kinds[-2:] == ["linear", "linear"]
    assert layers[0][0].activation == "relu" and layers[-2][0].activation == "hswish"
    assert all(layer.macs == macs for layer, macs in layers if layer.kind in ("conv", "depthwise", "linear"))
