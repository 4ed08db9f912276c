import numpy as np
import pytest

import nagsdk
from nagsdk.budget import MACS, SHOWN_UNITS
from nagsdk.pipeline.frontier import Frontier
from nagsdk.testing.networks import small_space
from tests.families.toy import ToySpace


class OnePanel(ToySpace):
    def panels(self, architecture):
        return {"blocks in use": {"all": float(self.depths[architecture.code[1]])}}


@pytest.mark.parametrize(
    ("space", "titles"),
    [(ToySpace(), []), (OnePanel(), ["blocks in use"]), (small_space(), ["blocks", "mean kernel", "mean expansion"])],
)
def test_the_picture_has_the_panels_of_the_space(tmp_path, space, titles):
    codes = space.sample(6, np.random.default_rng(0))
    limits = np.linspace(1e6, 2e6, 6)
    path = tmp_path / "frontier.svg"
    top1 = {"nag": np.linspace(60, 70, 6)}
    Frontier(space, "A title", MACS, limits, {"nag": codes}, {"nag": limits}, top1, SHOWN_UNITS[MACS]).plot(path)
    shown = path.read_text()
    every = {"blocks in use", "blocks", "mean kernel", "mean expansion"}
    assert {title for title in every if f"<!-- {title} -->" in shown} == set(titles)
    assert "<!-- resolution in px -->" in shown and shown.count('<g id="axes_') == 2 + len(titles)


def test_one_strategy_may_be_a_text_and_frontiers_can_be_compared():
    found, same = (nagsdk.frontier("cpu", metric="macs", strategies=s, points=3) for s in ("lookup", ["lookup"]))
    assert found.rows() == same.rows()
    assert found == found and found != same
