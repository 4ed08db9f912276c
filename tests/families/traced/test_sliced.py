import pytest
import torch

from nagsdk.errors import UsageError
from nagsdk.families.traced.sliced import SlicedSupernet, check_shared
from nagsdk.space.space import extremes


@pytest.fixture
def supernet(space):
    return SlicedSupernet(space)


def test_training_one_network_changes_its_part_of_the_shared_weights_only(supernet):
    smallest, _ = extremes(supernet.space).tolist()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.train()
    loss = supernet(torch.randn(4, 3, 16, 16), smallest).square().sum()
    loss.backward()
    kernel = supernet.whole.widen1[0].weight
    assert kernel.grad[:8].abs().sum() > 0 and kernel.grad[8:].abs().sum() == 0
    mean, name = supernet.whole.widen1[1].running_mean, "whole.widen1.1.running_mean"
    assert (mean[:8] != before[name][:8]).all() and (mean[8:] == before[name][8:]).all()


def test_small_kernels_are_the_centres_of_large_ones(supernet):
    space = supernet.space
    (one,) = space.decode(extremes(space)[0])
    cut = supernet.extract(one).network.stage1block1.body[1][0].weight
    assert torch.equal(cut, supernet.whole.stage1block1.body[1][0].weight[: len(cut), :, 1:2, 1:2])


def test_the_classifier_is_found(supernet):
    assert supernet.class_tensors == ("whole.classifier.weight", "whole.classifier.bias")


def test_weights_pass_through_a_file(supernet, space):
    state = {k: v for k, v in supernet.state_dict().items() if not k.endswith("num_batches_tracked")}
    again = space.supernet().fill(state, "weights")
    images, code = torch.randn(2, 3, 16, 16), extremes(space)[1].tolist()
    with torch.no_grad():
        assert torch.equal(again(images, code), supernet.eval()(images, code))


@pytest.mark.parametrize("shape", [(4, 9, 1), (4, 2), ()])
def test_a_tensor_that_is_no_part_of_a_shared_one_is_refused(shape):
    check_shared({"weight": (4, 8, 3)}, {"weight": (4, 8, 1)})
    for name in ("weight", "scale"):
        with pytest.raises(UsageError, match=f"no tensor {name} that contains one of shape"):
            check_shared({"weight": (4, 8, 3)}, {name: shape})
