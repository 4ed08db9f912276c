"""What results say about the models that predicted them."""

import pytest

import nagsdk


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_another_precision_than_that_of_the_prior_is_said(precision):
    (plain,) = nagsdk.generate("pixel", "1ms")
    (other,) = nagsdk.generate("pixel", "1ms", precision=precision)
    told = " ".join(other.warnings)
    assert f"calibrate with --precision {precision}" in told and "--precision" not in " ".join(plain.warnings)
    assert ("top-1 is that of fp32" in told) == (precision == "int8")
    assert other.to_dict()["warnings"] == list(other.warnings)


def test_the_first_words_say_on_what_a_result_rests():
    (result,) = nagsdk.generate("pixel", "1ms")
    assert result.basis == "rests on the shipped prior of pixel; nothing was measured there"
    assert result.to_dict()["predicted"]["latency_source"] == "prior"
    (alone,) = nagsdk.predict(architectures=result.architecture)
    assert alone.to_dict()["predicted"]["latency_source"] is None
