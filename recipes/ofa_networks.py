"""What Once-for-All's own code computes for ProxylessNAS and ResNet50, which tests compare with ours.

Give a folder with a copy of the package `ofa` of github.com/mit-han-lab/once-for-all (tried with commit f03b2673, MIT
licence): `python recipes/ofa_networks.py FOLDER`. It writes tests/families/data/ofa_networks.json: for twelve
architectures of each family the multiply-accumulates, the parameters and the first logits, with weights that follow
from the names of tensors, since the released checkpoints are too large for tests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import nn

TARGET = Path(__file__).parents[1] / "tests" / "families" / "data" / "ofa_networks.json"
COUNT, SHOWN = 12, 8


def stand_in(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """Weights by name: each tensor is drawn with a seed that follows from its name."""
    return {name: _drawn(name, shape) for name, shape in shapes.items()}


def _drawn(name: str, shape: Sequence[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.long)
    if name.endswith("_matrix"):
        return torch.eye(shape[0]) + 0.02 * torch.randn(tuple(shape), generator=generator)
    if name.endswith("running_var") or (".bn" in name and name.endswith("weight")):
        return 0.5 + torch.rand(tuple(shape), generator=generator)
    if len(shape) == 1:
        return 0.1 * torch.randn(tuple(shape), generator=generator)
    return torch.randn(tuple(shape), generator=generator) * math.sqrt(2 / math.prod(shape[1:]))


def digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """A hash of names and shapes of tensors."""
    return hashlib.sha256(json.dumps(sorted((n, list(s)) for n, s in shapes.items())).encode()).hexdigest()


def image(resolution: int) -> torch.Tensor:
    """The input, shape (1, 3, resolution, resolution)."""
    return torch.rand((1, 3, resolution, resolution), generator=torch.Generator().manual_seed(resolution))


def _macs(network: nn.Module, resolution: int) -> int:
    total = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += module.weight.numel() * output[0, 0].numel()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    network(image(resolution))
    return total


def _measured(supernet: Any, settings: dict[str, Any], resolution: int) -> dict[str, Any]:
    supernet.set_active_subnet(**settings)
    network = supernet.get_active_subnet(preserve_weight=True).double().eval()
    logits = network(image(resolution).double())[0]
    return {
        **settings,
        "r": resolution,
        "parameters": sum(p.numel() for p in network.parameters()),
        "logits": [float(f"{value:.6g}") for value in logits[:SHOWN].tolist()],
        "norm": float(f"{logits.norm():.7g}"),
        "macs": _macs(network.float(), resolution),
    }


def _proxyless(rng: random.Random, number: int) -> tuple[dict[str, Any], int]:
    def pick(choices: Sequence[int]) -> int:
        return {0: min, 1: max}.get(number, rng.choice)(choices)

    depths = [*(pick((2, 3, 4)) for _ in range(5)), 1]
    settings = {"ks": [pick((3, 5, 7)) for _ in range(21)], "e": [pick((3, 4, 6)) for _ in range(21)], "d": depths}
    return settings, pick(range(128, 225, 4))


def _resnet(rng: random.Random, number: int) -> tuple[dict[str, Any], int]:
    def pick(choices: Sequence[Any]) -> Any:
        return {0: min, 1: max}.get(number, rng.choice)(choices)

    depths = [pick((0, 2)), *(pick((0, 1, 2)) for _ in range(4))]
    settings = {
        "d": depths,
        "e": [pick((0.2, 0.25, 0.35)) for _ in range(18)],
        "w": [pick((0, 1, 2)) for _ in range(6)],
    }
    return settings, pick((128, 144, 160, 176, 192, 224, 240, 256))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that holds the package ofa")
    sys.path.insert(0, str(parser.parse_args().folder))
    for name in (
        "torchvision",
        "torchvision.transforms",
        "torchvision.transforms.functional",
        "torchvision.datasets",
        "tqdm",
    ):
        sys.modules.setdefault(name, MagicMock())  # its package imports them, and its networks do not use them
    from ofa.imagenet_classification.elastic_nn.networks import OFAProxylessNASNets, OFAResNets  # type: ignore

    lists = {"ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
    supernets = {
        "proxyless": (OFAProxylessNASNets(dropout_rate=0, width_mult=1.3, **lists), _proxyless),
        "resnet50": (
            OFAResNets(
                depth_list=[0, 1, 2],
                expand_ratio_list=[0.2, 0.25, 0.35],
                width_mult_list=[0.65, 0.8, 1.0],
                dropout_rate=0,
            ),
            _resnet,
        ),
    }
    found = {}
    for name, (supernet, settings) in supernets.items():
        shapes = {key: list(tensor.shape) for key, tensor in supernet.state_dict().items()}
        supernet.load_state_dict(stand_in(shapes))
        supernet.eval()
        rng = random.Random(1)
        with torch.no_grad():
            networks = [_measured(supernet, *settings(rng, number)) for number in range(COUNT)]
        found[name] = {"tensors": digest(shapes), "networks": networks}
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(_written(found))


def _written(found: Mapping[str, Any]) -> str:
    """JSON with a line for each network."""
    families = []
    for name, family in found.items():
        networks = ",\n".join(json.dumps(network) for network in family["networks"])
        families.append(f'"{name}": {{"tensors": "{family["tensors"]}", "networks": [\n{networks}\n]}}')
    return "{" + ",\n".join(families) + "}\n"


if __name__ == "__main__":
    main()
