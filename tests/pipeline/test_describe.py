"""What results say about the models that predicted them."""

import pytest

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import UsageError, WeightsMissingError


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-dynamic"])
def test_another_precision_than_that_of_the_prior_is_said(precision):
    (plain,) = nagsdk.generate("pixel", "1ms")
    (other,) = nagsdk.generate("pixel", "1ms", precision=precision)
    told = " ".join(other.warnings)
    # A reading in integers is published of this phone, none in float16.
    said = f"calibrate with --precision {precision}" if precision == "fp16" else f"in {precision} rest on 1 reading"
    assert said in told and "--precision" not in " ".join(plain.warnings)
    assert ("top-1 is that of fp32" in told) == (precision == "int8-dynamic")
    assert other.to_dict()["warnings"] == list(other.warnings)


def test_the_first_words_say_on_what_a_result_rests():
    (result,) = nagsdk.generate("pixel", "1ms")
    assert result.basis == "rests on the prior of pixel; nothing was measured there"
    assert result.to_dict()["predicted"]["latency_source"] == "prior"
    (alone,) = nagsdk.predict(architectures=result.architecture)
    assert alone.to_dict()["predicted"]["latency_source"] is None


@pytest.mark.parametrize("name", ["model.tflite", "model.ONNX", "a.onnx/b"])
def test_the_name_of_a_file_is_refused_as_the_folder_of_a_deployment(tmp_path, name):
    smallest = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"
    for write in (
        lambda: nagsdk.export("cpu", smallest, tmp_path / name),
        lambda: nagsdk.deploy("cpu", "1MMACs", output=tmp_path / name),
    ):
        with pytest.raises(UsageError, match="is the name of a file") as caught:
            write()
        assert "model.onnx" in caught.value.next_step
    assert not list(tmp_path.iterdir())


def test_missing_weights_are_offered_with_their_size():
    bundle = load_bundle("imagenet")
    if bundle.has_weights:
        pytest.skip("the weights are on this machine")
    with pytest.raises(WeightsMissingError) as caught:
        bundle.require_weights()
    assert "(about 31 MB) with 'nagsdk bundle pull imagenet'" in caught.value.next_step
