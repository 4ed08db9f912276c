import numpy as np
import pytest
import torch

from nagsdk.families import testing_space as small_networks
from nagsdk.graph.integer_passes import fed_with, without_hard_functions
from nagsdk.graph.integers import approximated, integer_graph
from nagsdk.graph.interpret import tensors
from nagsdk.graph.parity import overall_error
from nagsdk.graph.trace import trace
from nagsdk.graph.trainable import TrainableGraph
from nagsdk.testing import random_images, random_subnet

SPACE = small_networks()
ARCHITECTURE = SPACE.decode(SPACE.sample(1, np.random.default_rng(0)))[0]
IMAGES = random_images(16, ARCHITECTURE.resolution)


@pytest.fixture(scope="module")
def graph():
    return integer_graph(
        without_hard_functions(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution)), IMAGES
    )


def test_it_rounds_as_the_integers_do(graph):
    with torch.no_grad():
        found = TrainableGraph(graph)(torch.from_numpy(IMAGES))
    # Sums in another order round to the neighbouring step here and there.
    assert overall_error(approximated(graph, torch.from_numpy(IMAGES)).numpy(), found.numpy()) < 0.05


def test_what_was_not_trained_has_the_same_integers(graph):
    same = TrainableGraph(graph).trained()
    assert same.tensors == graph.tensors and not same.ranges.corrections
    for name, weights in graph.weights.items():
        assert (same.weights[name].values == weights.values).all()
        assert np.abs(same.weights[name].bias - weights.bias).max() <= 1


def test_gradients_pass_the_rounding_and_training_lowers_the_loss(graph):
    network, images = TrainableGraph(graph), torch.from_numpy(IMAGES)
    labels = torch.arange(len(IMAGES)) % SPACE.classes
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        losses.append(torch.nn.functional.cross_entropy(network(images), labels))
        optimizer.zero_grad()
        torch.autograd.backward(losses[-1])
        assert all(parameter.grad is not None for parameter in network.parameters())
        optimizer.step()
    assert losses[-1] < losses[0]
    trained = network.trained()
    with torch.no_grad():
        assert overall_error(approximated(trained, images).numpy(), network(images).numpy()) < 0.05


def test_pixels_are_normalised_by_the_network(graph):
    plain = trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    pixels = np.random.default_rng(0).integers(0, 256, IMAGES.shape).astype(np.float32)
    shaped = [np.array(values, np.float32).reshape(3, 1, 1) for values in (mean, std)]
    fed = fed_with(plain, "uint8", mean, std)
    made = integer_graph(without_hard_functions(fed), pixels)
    assert made.affine(made.INPUT).scale == 1.0 and made.affine(made.INPUT).zero_point == -128
    normal = (pixels / 255 - shaped[0]) / shaped[1]
    found, expected = (dict(tensors(g, torch.from_numpy(x)))[g.output] for g, x in ((fed, pixels), (plain, normal)))
    assert overall_error(expected.numpy(), found.numpy()) < 1e-4
    assert fed_with(plain, "int8") is plain
