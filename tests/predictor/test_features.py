import numpy as np

from nagsdk.predictor.features import feature_map


def features(space, codes, *measured):
    return space.one_hot(codes) @ feature_map(space, np.isin(space.resolutions, measured))


def test_kernel_and_expansion_are_separate_features(tiny_space):
    codes = tiny_space.encode(
        [tiny_space.parse(f"mbv3:r16:d=1,1:ks={k},3:e={e},2") for k, e in ((3, 2), (3, 3), (7, 2))]
    )
    base, expansion, kernel = features(tiny_space, codes, 16)
    assert np.abs(base - expansion).sum() == np.abs(base - kernel).sum() == 2
    assert not np.array_equal(base != expansion, base != kernel)
    # depth, and for each active block its kernel and its expansion
    assert (features(tiny_space, codes, 16).sum(1) == 2 + 2 * 2).all()


def test_one_measured_resolution_is_no_feature(tiny_space):
    low, high = tiny_space.encode([tiny_space.parse(f"mbv3:r{r}:d=1,1:ks=3,3:e=2,2") for r in (16, 24)])
    assert np.array_equal(*features(tiny_space, np.array([low, high]), 24))
    assert not np.array_equal(*features(tiny_space, np.array([low, high]), 16, 24))


def test_resolutions_between_measured_ones_are_interpolated():
    from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

    space = ofa_mobilenet_v3()
    codes = np.repeat(space.sample(1, np.random.default_rng(0)), 4, axis=0)
    codes[:, 0] = [space.resolution_index(r) for r in (160, 176, 192, 224)]
    low, between, high, beyond = features(space, codes, 160, 192)
    assert np.allclose(between, (low + high) / 2)
    assert np.array_equal(beyond, high)
