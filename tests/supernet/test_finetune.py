import dataclasses

import pytest
import torch

from nagsdk.supernet.evaluate import top1
from nagsdk.supernet.finetune import finetune
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import extremes, train
from tests.supernet import two


@pytest.fixture(scope="module")
def supernet():
    supernet = two.SPACE.supernet()
    supernet.initialise(1)
    train(supernet, two.batches(), TrainRecipe(steps=30, learning_rate=1e-2, largest_first=20))
    return supernet


def test_a_subnet_learns_from_a_teacher_that_sees_the_same_crops_at_its_own_resolution(supernet):
    batches, (low, high) = two.batches(), two.SPACE.resolutions
    teacher, sides = teacher_of(supernet, [batches(0, high)[0]]), []
    teacher.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    weights = [parameter.clone() for parameter in teacher.parameters()]
    subnet = supernet.extract(dataclasses.replace(two.SPACE.decode(extremes(two.SPACE))[0], resolution=low))
    shown = batches(0, low)
    finetune(subnet, teacher, batches, 1, [shown[0]], rate=0.0)
    before = top1(subnet, [shown])
    finetune(subnet, teacher, batches, 40, [shown[0]], rate=5e-3)
    assert sides == [high] * 41 and not subnet.training
    assert all(torch.equal(parameter, kept) for parameter, kept in zip(teacher.parameters(), weights, strict=True))
    assert top1(subnet, [shown]) > max(60.0, before)
