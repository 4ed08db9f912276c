import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.names import bundle_names
from nagsdk.families import preset
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.space.decisions import Decision
from nagsdk.space.space import without_integers
from nagsdk.testing.networks import small_space
from tests.generator.spaces import PlainSpace, problems


@settings(max_examples=80, deadline=None)
@given(problems())
def test_every_architecture_is_counted_once(problem):
    space = problem[0]
    assert space.count() == len(space.all_codes())


def test_counts_of_stages_are_the_product_of_sums_of_powers(tiny_space):
    shipped = [load_bundle(name).space for name in bundle_names()]
    for space in (tiny_space, small_space(), *(s for s in shipped if isinstance(s, MobileNetV3Space))):
        blocks = len(space.kernels) * len(space.expansions)
        stages = (sum(blocks**depth for depth in stage.depths) for stage in space.stages)
        assert space.count() == len(space.resolutions) * math.prod(stages)


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_by_default_shrinking_opens_one_choice_more_in_each_stage(problem, seed):
    space = problem[0]
    stages = space.shrinking()
    most = int(space.sizes[1:].max())
    assert [stage.opened for stage in stages] == [{"choices": n} for n in range(1, most + 1)]
    assert [stage.sorts for stage in stages] == [n == 2 for n in range(1, most + 1)]
    assert most == 1 or sum(stage.share for stage in stages) == pytest.approx(1)
    for stage in stages:
        codes = space.draw(stage.opened, 40, np.random.default_rng(seed))
        assert (space.validate(codes) == codes).all()
        least = np.maximum(space.sizes - stage.opened["choices"], 0)
        assert ((codes >= least) | (codes < 0))[:, 1:].all()


def test_every_open_choice_is_drawn():
    space = PlainSpace((Decision("resolution", (32, 48)), Decision("d", (1, 2, 3))))
    found = {
        n: np.unique(space.draw({"choices": n}, 200, np.random.default_rng(0)), axis=0).tolist() for n in (1, 2, 3)
    }
    assert found[1] == [[0, 2], [1, 2]] and found[2] == [[r, c] for r in (0, 1) for c in (1, 2)] and len(found[3]) == 6


def test_by_default_charts_show_only_the_resolution():
    space = PlainSpace((Decision("resolution", (32,)),))
    assert space.panels(space.decode(space.all_codes())[0]) == {}


def test_what_has_no_integer_form_is_told_of_a_space():
    assert without_integers(preset("vit")) and without_integers(preset("proxyless")) == ""
