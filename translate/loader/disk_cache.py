"""Stored images: decoded once for all runs, in files that are mapped into memory and named by what is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.data import Domain, Example
from translate.devices import cores
from translate.errors import TranslateError
from translate.loader.cache import Resize, decode_all, dtype_of, planes_of
from translate.sizes import Size

FORMAT = "1"


def decode_stored(
    folder: Path,
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    *,
    size: Size,
    resize: Resize,
    device: torch.device,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """What ``cache.decode_all`` answers, from files below ``folder`` where they are there; they are made where not.

    A file's name is a hash of the images' own files and of how they are decoded: changed images get another file, and
    images that moved keep theirs. Only images that lie in files are stored. On the CPU the answer is the mapped file,
    which takes no more memory than is in use; a file that is cut short is made anew.
    """
    found: dict[str, Tensor] = {}
    for name, listed in examples.items():
        asked = {"size": size, "resize": resize, "workers": workers, "on_progress": on_progress}
        one = {name: listed}, {name: domains[name]}
        if not all(isinstance(example.pixels, Path) for example in listed):
            found |= decode_all(*one, device=device, **asked)  # type: ignore[arg-type]
            continue
        path = folder / f"{_key(listed, domains[name], size, resize, workers)}.npy"
        shape = (len(listed), planes_of(domains[name]), *size)
        kept = _opened(path, shape)
        if kept is None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                beside = folder / f".{path.stem}.{os.getpid()}.npy"
                kind = torch.empty(0, dtype=dtype_of(domains[name])).numpy().dtype
                mapped = np.lib.format.open_memmap(beside, "w+", kind, shape)
            except OSError as error:
                raise TranslateError(f"cannot keep decoded images in {folder}: {error.strerror}") from None
            try:
                decode_all(*one, device=torch.device("cpu"), into={name: torch.from_numpy(mapped)}, **asked)  # type: ignore[arg-type]
                mapped.flush()
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
            kept = _opened(path, shape)
            assert kept is not None
        found[name] = kept.to(device)
    return found


def _opened(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The mapped file, if it is there and whole."""
    try:
        # Copy on write, since torch wants memory that could be written; nothing is.
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(mapped) if mapped.shape == shape else None


def _key(listed: Sequence[Example], domain: Domain, size: Size, resize: str, workers: int) -> str:
    decoded = (domain.channels, domain.depth, domain.classes)
    digest = hashlib.sha256(repr((FORMAT, decoded, tuple(size), resize)).encode())
    with ThreadPoolExecutor(workers or cores(), thread_name_prefix="translate-hash") as pool:
        for example, content in zip(listed, pool.map(_hash, (example.pixels for example in listed)), strict=True):
            digest.update(f"{example.region} {content}\n".encode())
    return digest.hexdigest()


def _hash(path: Any) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # decoding will name it
