import argparse
import importlib.util
import json
import tarfile
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.checkpoint import _ofa_names, import_ofa
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.supernet.initial import adopt, read_weights


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


@pytest.fixture
def supernet(tiny_space):
    supernet = tiny_space.supernet()
    supernet.initialise(3)
    return supernet


@pytest.fixture
def state(supernet):
    """The weights of a small supernet under the names of Once-for-All."""
    own = supernet.state_dict()
    return {theirs: own[ours].clone() for theirs, ours in _ofa_names(supernet).items()}


def _same(a, b):
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first if not name.endswith("tracked"))


def _views(tensors):
    flat = torch.cat([t.reshape(-1) for t in tensors])
    return [part.view(t.shape) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]


WRAPPED = {
    "plain": lambda s: s,
    "DataParallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "both": lambda s: {"model": {f"module._orig_mod.{k}": v for k, v in s.items()}},
    "Lightning": lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "epoch": 3},
    "averaged": lambda s: {"ema": {"n_averaged": torch.tensor(4), **{f"module.{k}": v for k, v in s.items()}}},
    "DeepSpeed": lambda s: {"module": {f"module.{k}": v for k, v in s.items()}},
    "two levels": lambda s: {"model": {"state_dict": s}},
    "averaged alone": lambda s: {f"ema_model.{k}": v for k, v in s.items()},
    "bfloat16": lambda s: {k: v.bfloat16() for k, v in s.items()},
    "parameters": lambda s: {k: torch.nn.Parameter(v) for k, v in s.items()},
    "views of one storage": lambda s: dict(zip(s, _views(list(s.values())), strict=True)),
    "numpy float64": lambda s: {"best_acc": np.float64(76.2), "state_dict": s},
    "numpy others": lambda s: {"best": [np.float32(1), np.int64(2), np.bool_(True), np.uint8(3)], "state_dict": s},
    "numpy dtype": lambda s: {"dtype": np.dtype("float32"), "state_dict": s},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_checkpoints_of_training_programs_are_read(supernet, state, tiny_space, tmp_path, kind):
    wrapped = WRAPPED[kind](state)
    torch.save(wrapped, tmp_path / "c.pth")
    if kind == "bfloat16":
        supernet.load_state_dict({k: v.bfloat16().float() for k, v in supernet.state_dict().items()})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert _same(import_ofa(tiny_space, tmp_path / "c.pth"), supernet)


AVERAGED = {
    "timm": (lambda s, other: {"state_dict_ema": other, "state_dict": s}, "state_dict_ema; those under state_dict"),
    "YOLO": (lambda s, other: {"ema": {"module": other}, "model": s}, "ema; those under model"),
    "BasicSR": (lambda s, other: {"params_ema": other, "params": s}, "params_ema; those under params"),
    "Lightning": (
        lambda s, other: {
            "state_dict": {f"model.{k}": v for k, v in s.items()} | {f"model_ema.{k}": v for k, v in other.items()}
        },
        "model_ema; the others",
    ),
}


@pytest.mark.parametrize("kind", AVERAGED)
def test_weights_beside_averaged_ones_are_taken_and_said_so(supernet, state, tiny_space, tmp_path, kind):
    make, says = AVERAGED[kind]
    torch.save(make(state, {k: v * 0 for k, v in state.items()}), tmp_path / "c.pth")
    with pytest.warns(UserWarning, match=f"also holds weights under {says} are taken"):
        assert _same(import_ofa(tiny_space, tmp_path / "c.pth"), supernet)


def _refused(space, path):
    with pytest.raises(DamagedBundleError) as caught:
        import_ofa(space, path)
    assert caught.value.next_step
    return f"{caught.value.message} {caught.value.next_step}"


@pytest.mark.parametrize(
    ("held", "named"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (Evil(), "print"),
        (np.zeros(3), "reconstruct"),
    ],
)
def test_a_class_that_is_not_loaded_is_named(state, tiny_space, tmp_path, held, named, capsys):
    torch.save({"held": held, "state_dict": state}, tmp_path / "c.pth")
    told = _refused(tiny_space, tmp_path / "c.pth")
    assert named in told and "torch.save(network.state_dict(), FILE)" in told
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 4096, "is empty"),
        (b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
        (b'{"name": "MobileNetV3", "bn": {}, "first_conv": {}}', "net.config"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "Unpack it"),
        (b"some other text", "damaged or incomplete"),
        (b"%PDF-1.7", "is a PDF and no checkpoint"),
        (b"\x89PNG\r\n\x1a\n", "is an image and no checkpoint"),
        ("ks,e".encode("utf-16"), "in UTF-16"),
    ],
)
def test_other_files_are_named_as_what_they_are(tiny_space, tmp_path, content, says):
    (tmp_path / "c.pth").write_bytes(content)
    assert says in _refused(tiny_space, tmp_path / "c.pth")


def test_a_safetensors_file_is_not_taken_for_another_kind(state, tiny_space, tmp_path):
    from safetensors.torch import save

    # The length of this header begins with the bytes FF FE, as a text in UTF-16 does.
    content = save({**state, "more": torch.ones(1)}, metadata={"x": "y"})
    size = int.from_bytes(content[:8], "little")
    padded = content[8 : 8 + size].ljust(0xFEFF)
    (tmp_path / "c.safetensors").write_bytes(len(padded).to_bytes(8, "little") + padded + content[8 + size :])
    assert "UTF-16" not in _refused(tiny_space, tmp_path / "c.safetensors")


def test_incomplete_and_packed_checkpoints_are_named(state, tiny_space, tmp_path):
    torch.save(state, tmp_path / "c.pth")
    with zipfile.ZipFile(tmp_path / "packed.pth", "w") as packed:
        packed.write(tmp_path / "c.pth", "ofa_mbv3")
    assert "zip archive of other files (ofa_mbv3)" in _refused(tiny_space, tmp_path / "packed.pth")
    content = (tmp_path / "c.pth").read_bytes()
    (tmp_path / "c.pth").write_bytes(content[: len(content) // 2])
    assert "is incomplete" in _refused(tiny_space, tmp_path / "c.pth")


HARMED = {
    "sparse": lambda t: t.to_sparse(),
    "sparse rows": lambda t: t.to_sparse_csr(),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "whole numbers": lambda t: t.to(torch.int64),
    "complex": lambda t: t.to(torch.complex64),
    "float8": lambda t: t.to(torch.float8_e4m3fn),
    "meta": lambda t: t.to("meta"),
    "nested": lambda t: torch.nested.nested_tensor([t, t]),
    "10^12 elements": lambda t: torch.zeros(1).expand(10**12),
    "10^12 elements in its shape": lambda t: torch.zeros(1, 1).expand(10**6, 10**6),
    "expanded": lambda t: torch.zeros(1).expand(t.shape),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", HARMED)
def test_tensors_of_other_kinds_are_refused(state, tiny_space, tmp_path, kind):
    name = "classifier.linear.weight"
    torch.save({**state, name: HARMED[kind](state[name])}, tmp_path / "c.pth")
    assert f"{name} is not a plain tensor of floats" in _refused(tiny_space, tmp_path / "c.pth")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda t: t * float("nan"), "non-finite"),
        (lambda t: t.double() + 1e300, "non-finite"),
        (lambda t: t[:1], "wrongly shaped"),
        (lambda t: t.reshape(1, -1), "wrongly shaped"),
        (lambda t: t - 99, "negative variances"),
        (lambda t: torch.zeros(0), "wrongly shaped"),
    ],
)
def test_numbers_that_no_network_has_are_refused(state, tiny_space, tmp_path, harm, says):
    name = "first_conv.bn.running_var"
    torch.save({**state, name: harm(state[name])}, tmp_path / "c.pth")
    assert says in _refused(tiny_space, tmp_path / "c.pth")


def test_what_would_be_unpacked_is_counted_before(state, tiny_space, tmp_path, monkeypatch):
    torch.save(state, tmp_path / "c.pth")
    with zipfile.ZipFile(tmp_path / "c.pth") as small, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as bomb:
        for entry in small.namelist():
            with bomb.open(entry, "w") as file:
                if entry.endswith("/data/0"):
                    [file.write(bytes(1 << 20)) for _ in range(600)]
                else:
                    file.write(small.read(entry))
    assert (tmp_path / "b.pth").stat().st_size < 10**6
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    assert "629 MB; 512 MB are allowed" in _refused(tiny_space, tmp_path / "b.pth")


def test_a_zip_archive_that_lies_about_sizes_is_refused(state, tiny_space, tmp_path):
    torch.save(state, tmp_path / "c.pth")
    content = bytearray((tmp_path / "c.pth").read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 24 : entry + 28] = (1).to_bytes(4, "little")
    (tmp_path / "c.pth").write_bytes(content)
    try:
        import_ofa(tiny_space, tmp_path / "c.pth")  # the last entry is not a tensor
    except DamagedBundleError as error:
        assert error.next_step


def test_archives_and_folders_are_named(state, tiny_space, tmp_path):
    torch.save(state, tmp_path / "c.pth")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.add(tmp_path / "c.pth", "storages")
    assert "tar archive" in _refused(tiny_space, tmp_path / "c.tar")
    assert "is not a file" in _refused(tiny_space, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"name": "OFAMobileNetV3", "first_conv": {}, "blocks": [], "classifier": {}}, "net.config of a network of"),
        ({"ks": [3], "e": [3], "d": [2]}, "an architecture of Once-for-All"),
        ([1, 2], "a JSON text"),
    ],
)
def test_json_files_are_named_as_what_they_are(tiny_space, tmp_path, content, says):
    (tmp_path / "net.config").write_text(json.dumps(content))
    assert says in _refused(tiny_space, tmp_path / "net.config")


@given(st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_checkpoints_are_read_or_refused(state, tiny_space, tmp_path, data):
    """Bytes of the pickle and of the directory of the archive are changed."""
    path = tmp_path / "c.pth"
    torch.save(state, path, _use_new_zipfile_serialization=data.draw(st.booleans()))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[
            data.draw(st.integers(0, len(content) - 1))
            if data.draw(st.booleans())
            else -data.draw(st.integers(1, 4000))
        ] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([None, None, len(content) // 2]))])
    try:
        import_ofa(tiny_space, path)
    except DamagedBundleError as error:
        assert error.next_step


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_another_number_of_classes_is_named_or_its_backbone_adopted(supernet, state, tiny_space, tmp_path, suffix):
    from safetensors.torch import save_file

    path = tmp_path / f"own{suffix}"
    ours = {k: v[:3].clone() if k.startswith("classifier.") else v for k, v in state.items()}
    save_file(ours, path) if suffix == ".safetensors" else torch.save(ours, path)
    told = _refused(tiny_space, path)
    assert f"has 3 classes, and {tiny_space.classes} are expected" in told and "--init" in told
    found = read_weights(path, tiny_space)
    assert found.space == replace(tiny_space, classes=3)
    fresh = tiny_space.supernet()
    adopt(fresh, found)
    assert not fresh.classifier.weight.any() and torch.equal(fresh.stem.weight, supernet.stem.weight)


def test_safetensors_of_another_network_are_named(tiny_space, tmp_path):
    from safetensors.torch import save_file

    save_file({"conv_stem.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "timm.safetensors")
    with pytest.raises(DamagedBundleError, match="no network of inverted residual blocks"):
        read_weights(tmp_path / "timm.safetensors", tiny_space)
