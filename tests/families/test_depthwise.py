"""Depthwise convolutions of images smaller than their kernels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nagsdk.families import elastic
from nagsdk.families.depthwise import SmallDepthwise


def gradients(convolve, x, weight):
    y = convolve(x, weight)
    return y, *torch.autograd.grad((y * torch.arange(y.numel()).view_as(y)).sum(), (x, weight))


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.sampled_from([3, 5, 7]), stride=st.integers(1, 3), sides=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    channels=st.integers(1, 5), last=st.booleans(),
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_torch(kernel, stride, sides, channels, last):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *sides, dtype=torch.float64, generator=random)
    x = x.to(memory_format=torch.channels_last if last else torch.contiguous_format).requires_grad_()
    weight = torch.randn(channels, 1, kernel, kernel, dtype=torch.float64, generator=random, requires_grad=True)
    ours = gradients(lambda x, w: SmallDepthwise.apply(x, w, stride, kernel // 2), x, weight)
    theirs = gradients(
        lambda x, w: functional.conv2d(x, w, stride=stride, padding=kernel // 2, groups=channels), x, weight
    )
    for own, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, right)


@pytest.mark.parametrize(
    ("side", "kernel", "groups", "learns", "used"),
    [(4, 5, 8, True, True), (5, 5, 8, True, False), (4, 5, 8, False, False), (2, 3, 1, True, False)],
)
def test_they_are_used_in_training_where_images_are_smaller_than_the_kernel(
    monkeypatch, side, kernel, groups, learns, used
):
    called = []
    monkeypatch.setattr(SmallDepthwise, "backward", staticmethod(lambda ctx, g: called.append(1) or (None,) * 4))
    weight = torch.randn(8, 8 // groups, kernel, kernel, requires_grad=learns)
    x = torch.randn(2, 8, side, side, requires_grad=True)
    torch.autograd.backward(elastic.convolved(x, weight, 1, False, groups).sum())
    assert bool(called) == used
