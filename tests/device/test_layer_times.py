from nagsdk.device.layer_times import LayerTime, by_layer
from nagsdk.space.layer import LayerSpec

LAYERS = [
    LayerSpec("stem", "conv", 3, 16, 3, 2, 32),
    LayerSpec("expand", "pointwise", 16, 32, 1, 1, 16),
    LayerSpec("deep", "depthwise", 32, 32, 3, 1, 16),
    LayerSpec("se", "se", 32, 32, 1, 1, 16, se_channels=8),
    LayerSpec("project", "pointwise", 32, 16, 1, 1, 16),
    LayerSpec("plus", "add", 16, 16, 1, 1, 16),
    LayerSpec("mean", "pool", 16, 16, 1, 1, 16),
    LayerSpec("head", "linear", 16, 10, 1, 1, 1),
]


def times(*kinds):
    return [LayerTime(f"t{number}", kind, 2.0**number) for number, kind in enumerate(kinds)]


def test_operators_belong_to_layers_by_their_order():
    found = by_layer(
        times(
            *("Conv", "HardSwish", "Conv", "ReorderOutput", "Conv", "GlobalAveragePool", "Conv", "Conv", "HardSigmoid"),
            *("Mul", "Conv", "Add", "ReduceMean", "Flatten", "Gemm"),
        ),
        LAYERS,
    )
    assert found == {
        "stem": 1 + 2,
        "expand": 4,
        "deep": 16,
        "se": 32 + 64 + 128 + 256 + 512,
        "project": 1024,
        "plus": 2048,
        "mean": 4096,
        "head": 2**14,
    }


def test_an_addition_that_was_fused_has_no_time_of_its_own():
    kinds = ("Convolution", "Convolution", "GroupConvolution", "Pooling", "Convolution", "Convolution", "Multiply")
    found = by_layer(times(*kinds, "Convolution", "Pooling", "FullyConnected"), LAYERS)
    assert found is not None and "plus" not in found and sum(found.values()) == 2**10 - 1


def test_operators_that_do_not_follow_the_layers_are_not_matched():
    assert by_layer(times("TfLiteXNNPackDelegate"), LAYERS) is None
    assert by_layer(times(*["DepthwiseConv"] * 9), LAYERS) is None
    assert by_layer([], LAYERS) is None
