"""Files of tensors that survive power cuts: safetensors with a checksum, written beside, verified and renamed.

One file and no pickle. Everything that is no tensor is JSON in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from translate.errors import NotFiniteError, TranslateError

__all__ = [
    "CheckpointError",
]

FORMAT = "1"


class CheckpointError(TranslateError):
    """A file of tensors that cannot be read or trusted; one sentence that names it."""


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata (JSON values) to one file, whole or not at all.

    Tensors that share memory are stored once. Raises ``NotFiniteError`` before anything is written if one holds a
    value that is not finite, and ``CheckpointError`` if the file cannot be written; an older file stays as it was.
    """
    stored: dict[str, Tensor] = {}
    aliases = _aliases(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(f"{name} holds a value that is not finite, so {path.name} was not written")
        if name not in aliases:
            # A view's file would hold its whole storage; safetensors wants plain contiguous tensors.
            stored[name] = tensor.detach().to("cpu").contiguous()
    text = json.dumps({"facts": metadata, "aliases": aliases}, sort_keys=True)
    digest = _checksum(stored, text)
    header = {"format": "translate", "version": FORMAT, "content": text, "sha256": digest}
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(stored, beside, metadata=header)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        load(beside)
        beside.replace(path)
        _sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"cannot write {path}: {reason}; nothing that was there before is lost") from None
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU of tensors that go on changing; those that share memory share their copy."""
    aliases = _aliases(tensors)
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        for name, tensor in tensors.items()
        if name not in aliases
    }
    return {name: copies[aliases.get(name, name)] for name in tensors}


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors (on the CPU) and metadata, and check type, checksum and finiteness before giving out anything."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {' '.join(str(error).split())}") from None
    if header.get("format") != "translate":
        raise CheckpointError(
            f"{path} is a safetensors file, but not one of ours; give a run or its translator.safetensors"
        )
    if header.get("version") != FORMAT:
        raise CheckpointError(
            f"{path} has format {header.get('version')}, this version of translate reads {FORMAT}; "
            "use the version that made it"
        )
    text = header.get("content", "")
    if _checksum(stored, text) != header.get("sha256"):
        raise CheckpointError(f"{path} is damaged: its checksum does not match; use an earlier checkpoint")
    content = json.loads(text)
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path} holds a value that is not finite in {name}; use an earlier checkpoint")
    stored.update({alias: stored[name] for alias, name in content["aliases"].items()})
    return stored, content["facts"]


def sweep(folder: Path) -> None:
    """Remove what a run that was killed while writing left behind."""
    # safetensors writes to a name of its own first, and renames that to ours.
    for pattern in (".*.safetensors.part", ".tmp??????"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def _aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Of tensors that are the same memory, all but the first, each with the name of the first."""
    first: dict[tuple[Any, ...], str] = {}
    found: dict[str, str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and key in first:
            found[name] = first[key]
        else:
            first[key] = name
    return found


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
