import numpy as np
import pytest
import torch

from nagsdk.supernet.recalibrate import recalibrate


@pytest.fixture(scope="module")
def supernet(tiny_space):
    torch.manual_seed(0)
    net = tiny_space.supernet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for name, parameter in net.named_parameters():
        if "transforms" in name:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return net.eval()


def test_subnet_equals_the_active_path(supernet, tiny_space):
    codes = tiny_space.sample(24, np.random.default_rng(0))
    for a in tiny_space.decode(codes):
        x = torch.randn(2, 3, a.resolution, a.resolution)
        with torch.no_grad():
            expected, actual = supernet(x, a.code), supernet.extract(a)(x)
        assert torch.allclose(expected, actual, rtol=1e-4, atol=1e-5)


def test_parameters_are_those_of_the_space(supernet, tiny_space):
    for a in tiny_space.decode(tiny_space.sample(10, np.random.default_rng(1))):
        assert sum(p.numel() for p in supernet.extract(a).parameters()) == tiny_space.parameters(a)


def test_small_kernels_are_transformed_centres_of_large_ones(supernet):
    depthwise = supernet.blocks[0].depthwise
    five = depthwise.kernel_weight(4, 5)
    centre = depthwise.weight[:4, :, 1:-1, 1:-1].reshape(4, 25)
    assert torch.allclose(five.reshape(4, 25), centre @ depthwise.transforms["7to5"].T, atol=1e-6)
    assert not torch.allclose(five.reshape(4, 25), centre, atol=1e-3)


def test_extraction_copies(supernet, tiny_space):
    (a,) = tiny_space.decode(tiny_space.sample(1, np.random.default_rng(2)))
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    subnet = supernet.extract(a)
    for parameter in subnet.parameters():
        parameter.data.zero_()
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())


def test_recalibration_normalises_the_subnets_own_activations(supernet, tiny_space):
    (a,) = tiny_space.decode(tiny_space.sample(1, np.random.default_rng(3)))
    # More than one portion, no multiple of its size, and sorted by class as the images of a folder are.
    images = torch.randn(301, 3, a.resolution, a.resolution) + torch.arange(301).div(50).floor()[:, None, None, None]
    subnet = supernet.extract(a)
    recalibrate(subnet, images)
    assert not subnet.training
    with torch.no_grad():
        y = subnet.stem.conv(images)
    norm = subnet.stem.bn
    assert torch.allclose(norm.running_mean, y.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(norm.running_var, y.var((0, 2, 3)), rtol=0.05)


def test_folded_it_answers_the_same_without_batch_normalisation(supernet, tiny_space):
    for a in tiny_space.decode(tiny_space.sample(6, np.random.default_rng(4))):
        subnet, x = supernet.extract(a), torch.randn(2, 3, a.resolution, a.resolution)
        with torch.no_grad():
            expected = subnet(x)
            subnet.fold()
            assert torch.allclose(subnet(x), expected, rtol=1e-4, atol=1e-5)
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in subnet.modules())
