"""Imports the checkpoint of ResNet50D that Once-for-All released."""

from __future__ import annotations

import re
from pathlib import Path

from nagsdk.families.released import filled, with_their_classes
from nagsdk.families.state_file import read_state
from nagsdk.families.traced.built import BuiltSpace
from nagsdk.families.traced.sliced import SlicedSupernet

_STEM = {"stem_in": "input_stem.0", "stem_more.unit": "input_stem.1.conv", "stem_out": "input_stem.2"}
_PARTS = {"reduce": "conv1", "inner": "conv2", "expand": "conv3", "shortcut": "downsample"}


def import_ofa(space: BuiltSpace, path: Path, *, any_classes: bool = False) -> SlicedSupernet:
    """Reads the checkpoint ``ofa_supernet_resnet50`` of mit-han-lab/once-for-all.

    Args:
        space: Space of the supernet.
        path: The checkpoint; see `nagsdk.families.state_file.read_state`.
        any_classes: Whether the supernet gets the checkpoint's number of classes instead of that of the space.

    Raises:
        DamagedBundleError: The file is not such a checkpoint, or it belongs to a space with other widths or classes.
    """
    state = {name: t for name, t in read_state(path).items() if not name.endswith("num_batches_tracked")}
    space = with_their_classes(space, state.get("classifier.linear.linear.bias"), path, any_classes)
    supernet = SlicedSupernet(space)
    return filled(supernet, state, {theirs: ours for ours, theirs in ofa_names(supernet).items()}, path)


def ofa_names(supernet: SlicedSupernet) -> dict[str, str]:
    """Maps the names of this supernet's tensors to those in Once-for-All's checkpoint."""
    order = {name: number for number, (name, _) in enumerate(supernet.whole.blocks.named_children())}  # type: ignore[union-attr]

    def theirs(name: str) -> str:
        name = name.removeprefix("whole.")
        if name.startswith("classifier."):
            return f"classifier.linear.linear.{name.removeprefix('classifier.')}"
        name = re.sub(r"\.(conv|bn)\.", r".\1.\1.", name)
        for ours, stem in _STEM.items():
            if name.startswith(f"{ours}."):
                return stem + name.removeprefix(ours)
        _, block, part, rest = name.split(".", 3)
        return f"blocks.{order[block]}.{_PARTS[part]}.{rest}"

    return {name: theirs(name) for name in supernet.state_dict() if not name.endswith("num_batches_tracked")}
