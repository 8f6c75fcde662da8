"""Reading of a state dict that may come from a stranger: names and tensors, without running code from the file."""

from __future__ import annotations

import re
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate.errors import TranslateError, nearest
from translate.paths import quoted
from translate.weights import check_archive

SPARE_BYTES = 2**20
"""By how much tensors may claim more memory than their file has bytes."""

WRAPPERS = ("module.", "_orig_mod.")
"""The prefixes by which wrappers of torch for several devices, and compiled networks, change all names."""

SAVE = "save the state_dict() of the generator alone, where its code is"


def read_state(path: Path, entry: str = "") -> dict[str, Tensor]:
    """The tensors of a ``.pth`` or ``.safetensors`` file by name, on the CPU, without the prefixes of wrappers.

    ``entry`` names the state dict in a file that holds more, ``model`` or, within ``nets``, ``nets.model``; of tensors
    that lie beside each other it is what their names begin with. Raises ``TranslateError`` for anything else.
    """
    size = _size_of(path)
    found = _load(path)
    if entry:
        found = _entry(path, found, entry)
    tensors = _checked(path, found, size, entry)
    while (
        prefix := next((each for each in WRAPPERS if all(name.startswith(each) for name in tensors)), None)
    ) is not None:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _size_of(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror}; check the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise TranslateError(
            f"{path} is no file, so it holds no state dict; give a .pth file, such as latest_net_G.pth"
        )
    return status.st_size


def _load(path: Path) -> Any:
    """What a file holds; an error of torch becomes one sentence."""
    if path.suffix.lower() in (".onnx", ".xml"):
        raise TranslateError(
            f"{path} needs no import: convert with it as it is, translate convert {quoted(path)} IN OUT"
        )
    if path.suffix.lower() == ".pt2":
        raise TranslateError(
            f"{path} is a program of torch, whose loading may run code from it; export it as .onnx where its code is, "
            "which needs no import"
        )
    if path.suffix.lower() == ".safetensors":
        return _load_safetensors(path)
    check_archive(path, SAVE)
    try:
        with warnings.catch_warnings():
            # torch warns of archives of other kinds, which are refused here.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError) as error:
        raise TranslateError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
    except Exception as error:  # torch raises many types; some messages suggest unsafe loading
        text = str(error)
        named = re.search(r"GLOBAL ([\w.]{1,100})", text)
        if named is not None:
            raise TranslateError(
                f"{path} holds a whole pickled object ({named[1]}), whose loading would run code; {SAVE}"
            ) from None
        if "TorchScript" in text:
            raise TranslateError(f"{path} is a TorchScript program, which is code; {SAVE}") from None
        raise TranslateError(
            f"{path} is damaged, or no file of tensors that can be read without running code from it; {SAVE}"
        ) from None


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") == "translate":
                raise TranslateError(f"{path} is a translator of ours already; convert with it as it is")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise TranslateError(f"{path} is no readable safetensors file: {' '.join(str(error).split())[:200]}") from None


def _entry(path: Path, found: Any, name: str) -> Any:
    if isinstance(found, Mapping) and name not in found:
        for key, inner in found.items():
            if isinstance(inner, Mapping) and name.startswith(f"{key}."):
                return _entry(path, inner, name.removeprefix(f"{key}."))
        below = f"{name}."
        if any(isinstance(key, str) and key.startswith(below) for key in found):
            return {
                key.removeprefix(below): inner
                for key, inner in found.items()
                if isinstance(key, str) and key.startswith(below)
            }
    if not isinstance(found, Mapping) or name not in found:
        names = [str(each) for each in found] if isinstance(found, Mapping) else []
        raise TranslateError(f"{path} has no entry {name!r:.100}; {nearest(name, names[:20])}")
    return found[name]


def _checked(path: Path, found: Any, size: int, entry: str) -> dict[str, Tensor]:
    """The tensors, if there is nothing else and they are what the file can hold."""
    if isinstance(found, Mapping) and {"state", "param_groups"} <= found.keys():
        raise TranslateError(f"{path} holds the state of an optimizer, and no network; give the generator's file")
    if not isinstance(found, Mapping):
        raise TranslateError(f"{path} holds a {type(found).__name__} instead of tensors by name; {SAVE}")
    others = [name for name, value in found.items() if type(value) not in (Tensor, nn.Parameter)]
    if others:
        nested = [str(name) for name in others if isinstance(found[name], Mapping)]
        within = f"{entry}." if entry else ""
        hint = f"name the state dict in it: --entry {quoted(f'{within}{nested[0]:.100}')}" if nested else SAVE
        shown = ", ".join(f"{name!s:.60} ({type(found[name]).__name__})" for name in others[:3])
        raise TranslateError(f"{path} holds other things than tensors by name: {shown}; {hint}")
    if not found:
        raise TranslateError(f"{path} holds no tensors; {SAVE}")
    strange = next((name for name in found if not isinstance(name, str) or not name.isprintable()), None)
    if strange is not None:
        raise TranslateError(f"{path} holds a tensor under {strange!r:.100}, which is no name of a layer; {SAVE}")
    if sum(tensor.numel() * tensor.element_size() for tensor in found.values()) > size + SPARE_BYTES:
        raise TranslateError(f"{path} names tensors that are larger than the file; get it anew")
    return {name: _plain(path, name, tensor) for name, tensor in found.items()}


def _plain(path: Path, name: str, tensor: Tensor) -> Tensor:
    """A tensor as dense float32 or integers in memory of its own."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        raise TranslateError(f"{path} holds {name!r:.100} in a form that no layer has (sparse, quantized or empty)")
    tensor = tensor.detach()
    if tensor.is_floating_point() or tensor.is_complex():
        if tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise TranslateError(
                f"{path} holds {name!r:.100} in {kind}, where float32 is expected; convert the state dict by .float(), "
                "and compare its answers"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise TranslateError(
                f"{path} holds values in {name!r:.100} that are not finite, so it was spoilt in training"
            )
    return tensor.clone(memory_format=torch.contiguous_format)
