"""Crash-safe files of tensors: safetensors with a checksum, written to a temporary file, verified and renamed.

A checkpoint is one file without pickle. Everything that is not a tensor is JSON in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from translate import atomic
from translate.errors import NotFiniteError
from translate.tensor_header import FORMAT, CheckpointError, Holds, check_header, check_kind, unreadable

__all__ = [
    "CheckpointError",
]

DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
"""The types of tensors that files may hold, as safetensors names them."""


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata (JSON values) to one file, atomically.

    Tensors that share memory are stored once. Raises ``NotFiniteError`` before anything is written if one holds a
    value that is not finite, and ``CheckpointError`` if the file cannot be written; an older file is then unchanged.
    """
    stored: dict[str, Tensor] = {}
    aliases = _aliases(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(f"{name} holds a value that is not finite, so {path.name} was not written")
        if name not in aliases:
            # safetensors needs contiguous tensors, and would store a view's whole storage.
            stored[name] = tensor.detach().to("cpu").contiguous()
    text = json.dumps({"facts": metadata, "aliases": aliases}, sort_keys=True)
    digest = _checksum(stored, text)
    header = {"format": "translate", "version": FORMAT, "content": text, "sha256": digest}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path, inside=True) as temporary:
            save_file(stored, temporary, metadata=header)
            # Flushed first, so that what is read back is not only what the system still remembers.
            atomic.flush(temporary)
            load(temporary)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"cannot write {path}: {reason}; nothing that was there before is lost") from None


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, so that they may change meanwhile; tensors that share memory share their copy."""
    aliases = _aliases(tensors)
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        for name, tensor in tensors.items()
        if name not in aliases
    }
    return {name: copies[aliases.get(name, name)] for name in tensors}


def load(path: Path, holds: Holds | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors (on the CPU) and metadata; ``holds`` says what the file must be, if only one kind will do.

    Raises ``CheckpointError`` if the file is missing, of another type, damaged or not finite, or if its metadata do not
    fit their schema, which is checked before any tensor is read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is no file of tensors, but a folder or a device")
        # safetensors would say of a file without permission that it is not there.
        with path.open("rb"), safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = list(file.keys())
            facts, aliases = check_header(path, header, names)
            check_kind(path, facts, holds)
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in DTYPES:
                    raise CheckpointError(f"{path} holds {name!r:.100} in {kind}, which no network here has")
            stored = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except (
        OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError
    ) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise unreadable(path, reason.removeprefix("Error while deserializing header: ")) from None
    if _checksum(stored, header["content"]) != header["sha256"]:
        raise CheckpointError(f"{path} is damaged: its checksum does not match; use an earlier checkpoint")
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path} holds a value that is not finite in {name}; use an earlier checkpoint")
    stored.update({alias: stored[name] for alias, name in aliases.items()})
    return stored, facts


def _aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the name of each tensor whose memory an earlier one shares to the name of the first such tensor."""
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
