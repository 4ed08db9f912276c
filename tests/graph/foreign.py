"""Networks as other people write them in torch, small."""

import torch
from torch import nn
from torch.nn import functional


class _Residual(nn.Module):
    """A block of a ResNet whose shortcut has a stride."""

    def __init__(self, into, out):
        super().__init__()
        self.a, self.b = nn.Conv2d(into, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out)
        self.c, self.d = nn.Conv2d(into, out, 1, 2, bias=False), nn.BatchNorm2d(out, affine=False)

    def forward(self, x):
        return functional.relu(self.b(self.a(x)) + self.d(self.c(x)))


class Foreign(nn.Module):
    """A bit of ResNet, MobileNetV2 and MobileNetV3; 32 px, 5 classes."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.pool, self.block = nn.MaxPool2d(3, 2, 1), _Residual(8, 16)
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 5, 1, 2, groups=16), nn.ReLU6())
        self.down, self.up, self.mean = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1), nn.AdaptiveAvgPool2d(1)
        self.smaller = nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.Linear(16, 12), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(12, 5))

    def forward(self, x):
        x = self.depthwise(self.block(self.pool(self.stem(x))))
        x = x * functional.hardsigmoid(self.up(functional.relu(self.down(self.mean(x)))))
        return self.head(torch.flatten(self.smaller(x).mean((2, 3), keepdim=True), 1))


def foreign_network():
    """A network with random weights and statistics, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Foreign().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return network


def save_program(network, path, size=32, batch=1):
    """Writes the program of torch.export."""
    program = torch.export.export(network, (torch.zeros(batch, 3, size, size),))
    torch.export.save(program, path)
    return path
