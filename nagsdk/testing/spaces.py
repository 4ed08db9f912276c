"""Checks of a family of networks: that its search space, its layers and its networks say the same."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nagsdk.common.temporary import temporary_folder
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.graph import parity
from nagsdk.graph.ir import Conv, Graph, Linear
from nagsdk.graph.tokens import Attention
from nagsdk.graph.trace import trace
from nagsdk.plugin.host import host
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Key, cause
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import extremes
from nagsdk.testing.networks import random_images, random_subnet

_TOLERANCE = 1e-5
_TRIES = 20


def check_space(space: NetworkSpace, architectures: int = 200, networks: int = 4, devices: Sequence[str] = ()) -> None:
    """Checks a family of networks on one of its spaces.

    It checks definition and text forms; that the layers of `choice_layers` are those of `layers` on random
    architectures, so that every cost is exact; that built networks have these multiply-accumulates and parameters; that
    the active path of the supernet computes the same as the extracted network; and that exported files do.

    Args:
        space: A space of the family; a small one is enough.
        architectures: Number of random architectures whose layers are compared.
        networks: Number of networks to build, besides the smallest and the largest one.
        devices: Devices on whose runtimes exported files are compared with torch, such as ``("cpu", "litert")``.

    Raises:
        AssertionError: Something differs; the message names the decision and the architecture that show it.
        UsageError: Conditions lead in a circle, or decisions read too many others; see
            `nagsdk.space.dependencies.Forest`.
    """
    _ = space.forest
    rng = np.random.default_rng(0)
    codes = np.concatenate([extremes(space), space.sample(architectures, rng)])
    chosen = space.decode(codes)
    _check_definition(space)
    _check_texts(space, chosen)
    for architecture in chosen:
        _check_layers(space, architecture, rng)
    _check_networks(space, chosen[: networks + 2], devices)


def _check_definition(space: NetworkSpace) -> None:
    definition = json.loads(json.dumps(space.to_dict()))
    assert definition.get("family") == space.family, "to_dict() does not name the family"
    again = type(space).from_dict(definition)
    assert again.to_dict() == space.to_dict(), "from_dict(to_dict()) has another definition"
    assert again.decisions == space.decisions, "from_dict(to_dict()) has other decisions"
    assert again.fingerprint == space.fingerprint, "from_dict(to_dict()) has another fingerprint"
    assert space.with_classes(space.classes + 1).classes == space.classes + 1, "with_classes() keeps the classes"
    for decision in space.decisions:
        assert len(set(decision.choices)) == len(decision.choices), f"{decision.name} has a choice twice"


def _check_texts(space: NetworkSpace, architectures: Sequence[Architecture]) -> None:
    texts: dict[str, tuple[int, ...]] = {}
    for architecture in architectures:
        assert architecture.text.startswith(f"{space.family}:"), f"{architecture} does not begin with the family"
        assert space.parse(architecture.text) == architecture, f"parse() does not read {architecture}"
        code = texts.setdefault(architecture.text, architecture.code)
        assert code == architecture.code, f"two architectures have the text {architecture}"


def _check_layers(space: NetworkSpace, architecture: Architecture, rng: np.random.Generator) -> None:
    told, summed = _told(space, architecture), _summed(space, architecture)
    if told == summed:
        return
    more, fewer = (", ".join(map(_shown, part)) or "nothing" for part in (told - summed, summed - told))
    cause = next(_undeclared(space, architecture, rng), "")
    raise AssertionError(
        f"{architecture}: layers() has {more} instead of {fewer}, which its choices add.{cause and f' {cause}'}"
    )


def _told(space: NetworkSpace, architecture: Architecture) -> Counter[LayerSpec]:
    return Counter(replace(layer, name="") for layer in space.layers(architecture))


def _summed(space: NetworkSpace, architecture: Architecture) -> Counter[LayerSpec]:
    code, size = architecture.code, architecture.resolution
    layers = [*space.fixed_layers(size)]
    for d, choice in enumerate(code):
        if choice >= 0:
            layers += space.choice_layers(size, d, choice, tuple(code[r] for r in space.decisions[d].reads))
    return Counter(replace(layer, name="") for layer in layers)


def _shown(layer: LayerSpec) -> str:
    return f"{layer.kind} {layer.in_channels}->{layer.out_channels} {layer.kernel}x{layer.kernel} at {layer.in_size} px"


def _undeclared(space: NetworkSpace, architecture: Architecture, rng: np.random.Generator) -> Iterator[str]:
    """Finds decisions whose layers change with a decision that they do not read: by second differences."""

    def layers(code: list[int], **changes: int) -> Counter[LayerSpec]:
        changed = [changes.get(f"d{d}", choice) for d, choice in enumerate(code)]
        return _told(space, space.decode(np.array([changed]))[0])

    for d, decision in enumerate(space.decisions):
        for i in range(1, d):
            if i in decision.reads or architecture.code[d] < 0 or architecture.code[i] < 0:
                continue
            for _ in range(_TRIES):
                one, other = rng.integers(space.sizes[[d, i]]).tolist()
                code = list(architecture.code)
                switched = _switched(space, d, one, code) or _switched(space, i, other, code)
                if one == code[d] or other == code[i] or switched:
                    continue
                before, after = layers(code), layers(code, **{f"d{d}": one})
                moved, both = layers(code, **{f"d{i}": other}), layers(code, **{f"d{d}": one, f"d{i}": other})
                if before + both != after + moved:
                    yield (
                        f"The layers of {decision.name} change with {space.decisions[i].name}, which it does not read: "
                        f"add {i} to its `reads`."
                    )
                    break


def _switched(space: NetworkSpace, decision: int, choice: int, code: Sequence[int]) -> bool:
    """Whether another choice activates or deactivates other decisions."""
    conditions = (later.active_if for later in space.decisions)
    return any(c and c[0] == decision and (code[decision] >= c[1]) != (choice >= c[1]) for c in conditions)


def _check_networks(space: NetworkSpace, architectures: Sequence[Architecture], devices: Sequence[str]) -> None:
    supernet = space.supernet()
    supernet.initialise(1)
    names = supernet.state_dict()
    for name in supernet.class_tensors:
        assert name in names and len(names[name]) == space.classes, f"class_tensors: {name} has no row per class"
    again = space.supernet()
    again.initialise(1)
    same = all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in names.items())
    assert same, "initialise() with the same seed gives other weights"
    supernet.eval()
    sound: list[Architecture] = []
    for architecture in architectures:
        wrong = _wrong(space, supernet, architecture)
        assert not wrong, f"{architecture}: {wrong}.{_cause(space, supernet, sound, architecture)}"
        sound.append(architecture)
    for device in devices:
        _check_files(space, architectures, device)


def _wrong(space: NetworkSpace, supernet: Supernet, architecture: Architecture) -> str:
    """What is wrong with the networks of an architecture; empty if nothing is."""
    try:
        network, second = space.build(architecture), space.build(architecture)
    except Exception as error:  # whatever the family raises
        return f"build() raises {type(error).__name__}: {error}"
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (network, second)]
    if shapes[0] != shapes[1]:
        return "build() names or shapes its tensors differently each time"
    count, expected = sum(p.numel() for p in network.parameters()), space.parameters(architecture)
    if count != expected:
        return f"{count} parameters are built, {expected} are told"
    graph = trace(network.eval(), architecture.resolution)
    if graph.architecture != architecture.text:
        return f"build() makes {graph.architecture}"
    macs, expected = _macs(graph), space.macs(architecture)
    if macs != expected:
        return f"{macs} multiply-accumulates are built, {expected} are told"
    images = torch.from_numpy(random_images(2, architecture.resolution))
    with torch.no_grad():
        active, extracted = supernet(images, architecture.code), supernet.extract(architecture)(images)
    if active.shape != (2, space.classes):
        return f"the outputs have the shape {tuple(active.shape)}"
    difference = parity.relative_error(active.numpy(), extracted.numpy())
    return "" if difference <= _TOLERANCE else f"the extracted network differs from the active path: {difference:.1e}"


def _cause(space: NetworkSpace, supernet: Supernet, sound: Sequence[Architecture], faulty: Architecture) -> str:
    """The decision that brings a fault into networks, if some have none."""

    def fails(code: Key) -> bool:
        return bool(_wrong(space, supernet, space.decode(np.array([code], np.int8))[0]))

    found = cause(space.decisions, sound[-1].code, faulty.code, fails) if sound else None
    if found is None:
        return ""
    index, code = found
    decision, (first,) = space.decisions[index], space.decode(np.array([code], np.int8))
    return f" It comes with the choice {decision.choices[code[index]]} of {decision.name}, as in {first}."


def _macs(graph: Graph) -> int:
    """Multiply-accumulates of the convolutions, linear layers and attentions of a network."""
    total = 0
    for node in graph.nodes:
        shape = graph.shapes[node.name]
        if isinstance(node, (Conv, Linear)):
            positions = shape[2:] if isinstance(node, Conv) else shape[1:-1]
            total += node.weight.size * math.prod(positions)
        elif isinstance(node, Attention):
            _, tokens, channels = shape
            total += 2 * tokens**2 * channels
    return total


def _check_files(space: NetworkSpace, architectures: Sequence[Architecture], name: str) -> None:
    device = host().device(name)
    backend = host().backend_of(device)
    with temporary_folder() as folder, backend.open(device) as session:
        for number, architecture in enumerate(architectures):
            network, path = random_subnet(space, architecture), Path(folder) / f"{number}{backend.suffix}"
            backend.export(trace(network, architecture.resolution, device.batch), path, device)
            images = random_images(device.batch, architecture.resolution, seed=1)
            with torch.no_grad():
                expected = network(torch.from_numpy(images)).numpy()
            actual = session.infer(session.load(backend.compile(path, device, Path(folder))), images)
            error = parity.relative_error(expected, actual)
            assert error <= backend.tolerance(device), f"{name}: the file of {architecture} differs: {error:.1e}"
