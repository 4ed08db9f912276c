import importlib.util
import json

import pytest
import torch

from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.checkpoint import import_ofa
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3


@pytest.fixture(scope="module")
def reference(shared):
    folder = shared / "ofa_reference"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return (
        fill,
        fill.state_dict(json.loads((folder / "keys.json").read_text())),
        json.loads((folder / "expected.json").read_text()),
    )


def _older_names(state):
    """The tensor names of the first release, without the elastic wrappers."""
    return {
        k.replace(".conv.", ".mobile_inverted_conv.", 1) if k.startswith("blocks.") else k: v for k, v in state.items()
    }


@pytest.mark.parametrize("names", [dict, _older_names], ids=["present", "older"])
def test_released_checkpoints_give_the_original_logits(reference, names, tmp_path):
    fill, state, expected = reference
    space = ofa_mobilenet_v3()
    torch.save({"state_dict": names(state)}, tmp_path / "ofa.pth")
    supernet = import_ofa(space, tmp_path / "ofa.pth")
    for entry in expected:
        a = space.architecture(kernels=entry["ks"], expansions=entry["e"], depths=entry["d"], resolution=entry["r"])
        # In double precision: the gates of the stand-in weights act almost like switches and would magnify the rounding
        # differences between processors to 1e-4.
        with torch.no_grad():
            logits = supernet.extract(a).double()(fill.image(entry["r"]).double())[0]
        error = (logits[:16] - torch.tensor(entry["logits"])).norm() / entry["logits_l2"]
        assert error < 1e-4
        assert float(logits.norm()) == pytest.approx(entry["logits_l2"], rel=1e-4)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    "content", [b"", b"not a pickle", Evil(), {"state_dict": {"first_conv.conv.weight": torch.zeros(1)}}, [1, 2]]
)
def test_invalid_checkpoints_are_refused_and_no_code_runs(content, tmp_path, capsys):
    path = tmp_path / "c.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(DamagedBundleError):
        import_ofa(ofa_mobilenet_v3(), path)
    assert "code ran" not in capsys.readouterr().out
