"""Reads the tensors of a checkpoint that other programs wrote; what is not one is named as what it is."""

from __future__ import annotations

import codecs
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nagsdk.common.content import ARCHIVE, BINARY, CHECKPOINT, EMPTY, LFS, PAGE, PICKLE, TAR, ZIP, kind_of
from nagsdk.common.reading import opened, read_json
from nagsdk.errors import DamagedBundleError
from nagsdk.families.space import MOST_BYTES

_MOST_JSON = 10**7
_JSON = "Give the checkpoint that belongs to it. An architecture is given with --arch."
_ADVICE = {
    EMPTY: "Download it again.",
    PAGE: "Open the address in a browser: it may ask for a login or a confirmation before it sends the file.",
    LFS: "Run git lfs pull.",
    ARCHIVE: "Unpack it, and give the checkpoint in it.",
    TAR: "Unpack it and give the checkpoint in it. If PyTorch before 0.1.10 wrote it, save it again with a newer one.",
}
_AGAIN = "Download it again, and compare its size with that of the source."
# Where training programs put the weights; averaged ones (EMA) only count where there are no others.
_PLACES = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params",
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema",
)  # fmt: skip
# Wrappers put their names before those of tensors: DataParallel, torch.compile, Lightning, averages beside the weights.
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|model|net|network|ema|model_ema|ema_model|averaged_model)\.)+")
_AVERAGED = re.compile(r"(?:^|_)(?:ema|averaged)(?:_|$)")
_COUNTERS = ("num_batches_tracked", "n_averaged")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# In files of PyTorch, everything that is unpacked together; what it stores uncompressed is as large as the file.
_MOST_UNPACKED, _MOST_ENTRIES = MOST_BYTES, 100_000
# torch keeps the list of allowed classes for the whole process.
_LOADING = threading.Lock()
_NUMBERS = ("Bool", "Float16", "Float32", "Float64", *(f"{k}{n}" for k in ("Int", "UInt") for n in (8, 16, 32, 64)))


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict from a checkpoint of PyTorch or a safetensors file.

    Pickles are opened with ``weights_only=True``, so that only tensors and plain values are loaded and no code runs.
    Of numpy, scalars are allowed, because many programs store their best top-1 as one.

    Args:
        path: The file.

    Returns:
        The tensors by name, without the prefixes of wrappers such as ``module.`` and without batch counters.

    Raises:
        DamagedBundleError: The file is no checkpoint, or holds something else than tensors.
    """
    if not path.is_file():
        raise DamagedBundleError(f"{path} is not a file.", "Give the file of a checkpoint.")
    if path.stat().st_size > MOST_BYTES:
        raise DamagedBundleError(
            f"{path} is larger than {MOST_BYTES // 10**6} MB.", "Give the checkpoint of a single supernet."
        )
    _name_other_files(path)
    state = _tensors(_content(path), path)
    if state is None:
        raise DamagedBundleError(
            f"{path} contains no state dict.",
            "Save it with torch.save(network.state_dict(), FILE), or use a checkpoint that Once-for-All released.",
        )
    if odd := [name for name, tensor in state.items() if not _is_plain(tensor)]:
        raise DamagedBundleError(
            f"{path}: {odd[0]} is not a plain tensor of floats.", "Save it in float32 or float16, and not quantised."
        )
    plain = {_WRAPPERS.sub("", name): tensor for name, tensor in state.items()}
    if len(plain) != len(state):
        raise DamagedBundleError(f"{path} holds tensors twice, with and without a prefix.", "Save one network alone.")
    return plain


def _is_plain(tensor: Tensor) -> bool:
    """Whether it is a dense tensor of floats of its own size, and not one small storage read many times over."""
    # Of tensors of other kinds, not even the number of elements can be asked.
    here = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not here or tensor.is_nested or tensor.is_quantized or tensor.dtype not in _FLOATS:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _content(path: Path) -> Any:
    try:
        if _is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        with _LOADING, torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise anything for damaged files
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is not None:
            raise DamagedBundleError(
                f"{path} holds an object of the class {refused[1]}; only tensors and plain values are loaded, because "
                "anything else could run code.",
                "Where it was made, save the tensors alone: torch.save(network.state_dict(), FILE).",
            ) from error
        raise DamagedBundleError(
            f"{path} cannot be read as a checkpoint of tensors; it is damaged or incomplete.", _AGAIN
        ) from error


def _numpy_scalars() -> list[Any]:
    """What the pickle of a numpy scalar names; numpy 2 has moved the function that makes one."""
    from numpy._core.multiarray import scalar  # numpy 1.26 has this path too

    kinds = [getattr(np.dtypes, f"{name}DType") for name in _NUMBERS]
    return [np.dtype, *kinds, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]


def _tensors(content: Any, path: Path) -> dict[str, Tensor] | None:
    """The state dict in the content of a checkpoint, if there is one; says which of several is taken."""
    found = _states(content)
    if not found:
        return None
    taken, state = found[0]
    # Some programs keep the averaged weights in the same dictionary.
    averaged = {name for name in state if _AVERAGED.search(name.partition(".")[0])}
    if len(found) > 1 or 0 < len(averaged) < len(state):
        others = ", ".join([name for name, _ in found[1:]] + sorted({name.partition(".")[0] for name in averaged}))
        what = f"those under {taken} are taken" if len(found) > 1 else "the others are taken"
        warnings.warn(f"{path} also holds weights under {others}; {what}.", stacklevel=2)
    if len(averaged) < len(state):
        state = {name: tensor for name, tensor in state.items() if name not in averaged}
    return state


def _states(content: Any) -> list[tuple[str, dict[str, Tensor]]]:
    """All state dicts that a checkpoint holds in known places, with the name of each place, the best one first."""
    if not isinstance(content, Mapping):
        return []
    if content and all(isinstance(tensor, Tensor) for tensor in content.values()):
        named = {str(name): tensor for name, tensor in content.items()}
        return [("the top level", {name: t for name, t in named.items() if not name.endswith(_COUNTERS)})]
    return [(place, state) for place in _PLACES if place in content for _, state in _states(content[place])[:1]]


def _name_other_files(path: Path) -> None:
    """Raises an error that says what the file is, where its first bytes show that it is no checkpoint."""
    if _is_safetensors(path):
        return
    kind = kind_of(path)
    if kind in (CHECKPOINT, ZIP):
        _check_zip(path)
    elif kind == "":
        with opened(path) as file:
            start = file.read(1024).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        if start in (b"{", b"["):
            raise DamagedBundleError(f"{path} is {_kind_of_json(path)}, and holds no weights.", _JSON)
    elif kind not in (PICKLE, BINARY):
        raise DamagedBundleError(
            f"{path} is {kind} and no checkpoint.", _ADVICE.get(kind, "Give the file of a checkpoint.")
        )


def _kind_of_json(path: Path) -> str:
    try:
        content = read_json(path, _MOST_JSON)
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and content.keys() & {"first_conv", "feature_mix_layer"}:
        return "the net.config of a network of Once-for-All, which describes its layers"
    if isinstance(content, dict) and {"ks", "e", "d"} <= content.keys():
        return "an architecture of Once-for-All"
    return "a JSON text"


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: with the length of a JSON header, and this header."""
    with opened(path) as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DamagedBundleError(f"{path} is incomplete: the end of the file is missing.", _AGAIN) from error
    names = [entry.filename for entry in entries]
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        held = ", ".join(names[:3]) or "nothing"
        raise DamagedBundleError(
            f"{path} is a zip archive of other files ({held}).", "Unpack it, and give the checkpoint in it."
        )
    # The sizes are compared before anything is unpacked; PyTorch refuses entries that are not as large as they say.
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _MOST_UNPACKED or len(entries) > _MOST_ENTRIES:
        raise DamagedBundleError(
            f"{path} would be unpacked to {len(entries)} parts of together {unpacked // 10**6} MB; "
            f"{_MOST_UNPACKED // 10**6} MB are allowed.",
            "Give the checkpoint of a single supernet.",
        )
