from dataclasses import replace

import pytest

from nagsdk.device.backend import Burst
from nagsdk.device.description import Device
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.rewrites import RewriteChoice, keep_choice, read_choice
from nagsdk.pipeline.target import Target
from tests.simulated import SimulatedBackend


def taken(ms: float, slowdown: float = 1.0) -> Measurement:
    readings = tuple(Reading(Burst((ms * slowdown,) * 3), slowdown, slowdown) for _ in range(4))
    return Measurement(readings, 1.0)


def test_the_faster_rewrite_is_chosen_at_the_same_speed_of_the_device():
    # The better rewrite was timed while the device was slowed down, so it looks worse.
    choice = RewriteChoice.of("probe", {"split": taken(2.0, slowdown=1.9), "whole": taken(3.0)})
    assert choice.name == "split"
    assert choice.p50_ms == pytest.approx({"split": 2.0, "whole": 3.0})
    assert "the rewrite split, the fastest on this device: 2 ms" in choice.told and "whole 3 ms" in choice.told


def test_a_choice_is_used_for_the_same_rewrites_only(tmp_path):
    choice = RewriteChoice.of("probe", {"split": taken(2.0), "whole": taken(3.0)})
    keep_choice(tmp_path / "c.json", choice)
    assert read_choice(tmp_path / "c.json", ["whole", "split"]) == choice
    assert read_choice(tmp_path / "c.json", ["split", "whole", "another"]) is None
    assert read_choice(tmp_path / "c.json", ["whole"]) is None
    assert read_choice(tmp_path / "none.json", ["whole", "split"]) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"name": "split", "p50_ms": 3, "architecture": "", "date": ""}']
)
def test_an_invalid_choice_is_not_used(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    assert read_choice(tmp_path / "c.json", ["whole", "split"]) is None


class TwoWays(SimulatedBackend):
    def rewrites(self, device):
        return {way: replace(device, options=(("way", way),)) for way in ("split", "whole")}


def test_the_rewrite_of_a_deployment_overrides_the_measured_one():
    target = Target(Device("board", "A board", "simulated"), "glyphs", backend=TwoWays(present=False))
    assert dict(target.device.options) == {}
    target.write_as("whole")
    assert dict(target.device.options) == {"way": "whole"}
    target.write_as(None)  # nothing was measured, so the first rewrite is used
    assert dict(target.device.options) == {"way": "split"}
