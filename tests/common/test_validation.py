import pytest

from nagsdk.device.description import read_device
from nagsdk.errors import DeviceError


def test_every_misspelt_key_is_told_with_the_one_that_is_meant(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('id = "mine"\ntitle = "Mine"\nbackend = "onnxruntime"\nprecison = "fp32"\nthread = 2\n')
    with pytest.raises(DeviceError) as caught:
        read_device(path)
    assert "did you mean precision?" in caught.value.message and "did you mean threads?" in caught.value.message
