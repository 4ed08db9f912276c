"""Reads the tensors of a checkpoint that other programs wrote; what is not one is named as what it is."""

from __future__ import annotations

import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nagsdk.errors import DamagedBundleError
from nagsdk.families.space import MOST_BYTES

_AGAIN = "Download it again, and compare its size with that of the source."
# Where training programs put the weights; averaged ones (EMA) only count where there are no others.
_PLACES = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema", "model_ema", "ema")
# Wrappers put their names before those of tensors: DataParallel, torch.compile, Lightning.
# torch keeps the list of allowed classes for the whole process.
_LOADING = threading.Lock()
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|model)\.)+")
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
    if path.stat().st_size > MOST_BYTES:
        raise DamagedBundleError(
            f"{path} is larger than {MOST_BYTES // 10**6} MB.", "Give the checkpoint of a single supernet."
        )
    _name_other_files(path)
    state = _tensors(_content(path))
    if state is None:
        raise DamagedBundleError(
            f"{path} contains no state dict.",
            "Save it with torch.save(network.state_dict(), FILE), or use a checkpoint that Once-for-All released.",
        )
    kept = {name: t for name, t in state.items() if not name.endswith(("num_batches_tracked", "n_averaged"))}
    if odd := [name for name, tensor in kept.items() if not _is_plain(tensor)]:
        raise DamagedBundleError(
            f"{path}: {odd[0]} is not a plain tensor of floats.", "Save it in float32 or float16, and not quantised."
        )
    plain = {_WRAPPERS.sub("", name): tensor for name, tensor in kept.items()}
    if len(plain) != len(kept):
        raise DamagedBundleError(f"{path} holds tensors twice, with and without a prefix.", "Save one network alone.")
    return plain


def _is_plain(tensor: Tensor) -> bool:
    here = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return here and not tensor.is_quantized and tensor.is_floating_point()


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
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


def _tensors(content: Any) -> dict[str, Tensor] | None:
    """The state dict in the content of a checkpoint, if there is one."""
    if not isinstance(content, dict):
        return None
    for state in (*(content[place] for place in _PLACES if place in content), content):
        if isinstance(state, dict) and state and all(isinstance(tensor, Tensor) for tensor in state.values()):
            return {str(name): tensor for name, tensor in state.items()}
    return None


def _name_other_files(path: Path) -> None:
    """Raises an error that says what the file is, where its first bytes show that it is no checkpoint."""
    with path.open("rb") as file:
        head = file.read(1024)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head.strip(b"\0\r\n\t "):
        raise DamagedBundleError(f"{path} is empty.", "Download it again.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        raise DamagedBundleError(
            f"{path} is a web page and no checkpoint.",
            "Open the address in a browser: it may ask for a login or a confirmation before it sends the file.",
        )
    if text.startswith((b"{", b"[")):
        raise DamagedBundleError(
            f"{path} is a JSON text, such as the net.config of Once-for-All, and holds no weights.",
            "Give the checkpoint that belongs to it. An architecture is given with --arch.",
        )
    if text.startswith(b"version https://git-lfs"):
        raise DamagedBundleError(f"{path} is a pointer of Git LFS and not the file itself.", "Run git lfs pull.")
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        raise DamagedBundleError(f"{path} is a compressed archive.", "Unpack it, and give the checkpoint in it.")
    if head.startswith(b"PK"):
        _check_zip(path)


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DamagedBundleError(f"{path} is incomplete: the end of the file is missing.", _AGAIN) from error
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        held = ", ".join(names[:3]) or "nothing"
        raise DamagedBundleError(
            f"{path} is a zip archive of other files ({held}).", "Unpack it, and give the checkpoint in it."
        )
