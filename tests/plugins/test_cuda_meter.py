"""The energy of a GPU, as a driver that is not there would tell it."""

from types import SimpleNamespace

import pytest

from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError
from nagsdk_cuda import nvml


class NVMLError(Exception):
    pass


def refuses(handle):
    raise NVMLError("Not Supported")


@pytest.mark.parametrize(
    ("total", "power", "meter"),
    [
        (lambda handle: 12_500, refuses, Meter(((12.5, 2.0**64 / 1000),))),
        (refuses, lambda handle: 250_000, Meter(power_w=250.0)),
        (refuses, refuses, None),
    ],
)
def test_a_gpu_tells_its_counter_else_its_power(monkeypatch, total, power, meter):
    driver = SimpleNamespace(
        NVMLError=NVMLError, nvmlDeviceGetTotalEnergyConsumption=total, nvmlDeviceGetPowerUsage=power
    )
    monkeypatch.setattr(nvml, "_open", lambda index: (driver, "handle"))
    if meter is not None:
        assert nvml.meter(0) == meter
        return
    with pytest.raises(DeviceError, match="GPU 0 does not tell how much energy"):
        nvml.meter(0)
