import pytest
import torch

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families import preset, space_from_dict
from nagsdk.families.resnet50.checkpoint import ofa_names
from nagsdk.families.resnet50.space import ResNet50Space
from nagsdk.testing.spaces import check_space

SMALL = {
    "classes": 5,
    "pixels": (32, 48),
    "stem_width": 32,
    "stage_widths": (32, 48),
    "stage_depths": (1, 1),
    "additional_blocks": (0, 1),
    "expansions": (0.25, 0.5),
    "multipliers": (0.5, 1.0),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("NAGSDK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    space = ResNet50Space(**SMALL)
    assert space.decisions
    patch.undo()
    return space


def test_the_family_keeps_all_rules(small):
    check_space(small, networks=2, devices=("cpu", "litert"))


def test_stages_are_coupled_along_the_chain(small):
    names = [d.name for d in small.decisions]
    reads = {d.name: [names[r] for r in d.reads] for d in small.decisions}
    assert reads["stage2.block1"] == ["stage1.width", "stage2.width"] and reads["stage2.block2"] == ["stage2.width"]
    assert reads["stage1.width"] == ["stem.out"] and reads["stem.out"] == ["stem.width"]


def test_checkpoints_pass_by_the_names_of_once_for_all(small, tmp_path):
    supernet = small.supernet()
    supernet.initialise(4)
    names = ofa_names(supernet)
    torch.save(
        {"state_dict": {names[n]: t for n, t in supernet.state_dict().items() if n in names}}, tmp_path / "a.pth"
    )
    again = small.import_released(tmp_path / "a.pth").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in supernet.state_dict().items())
    with pytest.raises(DamagedBundleError, match="5 classes, and 7"):
        small.with_classes(7).import_released(tmp_path / "a.pth")
    assert small.with_classes(7).import_released(tmp_path / "a.pth", any_classes=True).space.classes == 5
    torch.save({"state_dict": {"blocks.9.conv1.conv.conv.weight": torch.zeros(1)}}, tmp_path / "b.pth")
    with pytest.raises(DamagedBundleError, match="does not have"):
        small.import_released(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": (48, 32)},
        {"pixels": 32},
        {"stage_widths": (32,)},
        {"stage_widths": (32, 10**6)},
        {"expansions": (0.0, 0.25)},
        {"multipliers": ("1",)},
        {"additional_blocks": (0, 99)},
        {"classes": 0},
        {"stem_width": 1.5},
    ],
)
def test_definitions_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(ValueError):
        ResNet50Space(**{**SMALL, **wrong})
    with pytest.raises((ValueError, UsageError)):
        space_from_dict({"family": "resnet50", **SMALL, **wrong})


def test_the_preset_is_the_published_space():
    space = preset("resnet50")
    assert (space.classes, space.pixels[-1], len(space.choices)) == (1000, 256, 30)
