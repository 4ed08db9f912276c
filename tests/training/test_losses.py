import pytest

from nagsdk.errors import DataError, UnsupportedLayerError
from nagsdk.training import losses


@pytest.mark.parametrize("error", [DataError, UnsupportedLayerError])
def test_networks_without_integers_cost_no_training(monkeypatch, error):
    def refuse(*_):
        raise error("stem (Sine) cannot be computed in integers.", "Use fp32.")

    told = []
    monkeypatch.setattr(losses, "integer_losses", refuse)
    assert losses.card_of_losses(None, None, None, None, 9, on_event=told.append) == {}
    assert "stem (Sine)" in told[0].text and told[0].warning
