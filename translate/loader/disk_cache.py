"""The disk cache: images decoded once for all runs, in memory-mapped files named by a hash of their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from translate import atomic, images
from translate.data import Domain, Example
from translate.errors import TranslateError
from translate.loader.cache import OnBroken, Resize, decode_all, dtype_of, planes_of
from translate.machine import cores
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
    memory: int | None = None,
    max_pixels: int | None = None,
    on_broken: OnBroken | None = None,
) -> dict[str, Tensor]:
    """``cache.decode_all`` through files in ``folder``, which are made where they are missing.

    A file's name is a hash of the images' own files and of how they are decoded: changed images get another file, and
    images that moved keep theirs. Only images that lie in files or have a key, which stands for a file's content, are
    stored. On the CPU the result is the mapped
    file, which takes only the memory of the pages in use; a truncated file is made again. Where ``on_broken`` lets
    images be missing, a second file beside lists them, and each later run tries them again.
    """
    found: dict[str, Tensor] = {}
    for name, listed in examples.items():
        options = {
            "size": size, "resize": resize, "workers": workers, "on_progress": on_progress, "memory": memory,
            "max_pixels": max_pixels,
        }  # fmt: skip
        inputs = {name: listed}, {name: domains[name]}
        if not all(isinstance(example.pixels, Path) or example.key for example in listed):
            found |= decode_all(*inputs, device=device, **options)  # type: ignore[arg-type]
            continue
        path = folder / f"{_key(listed, domains[name], size, resize, workers)}.npy"
        shape = (len(listed), planes_of(domains[name]), *size)
        errors: dict[int, images.ImageError] = {}
        kept = _open(path, shape)
        if kept is None and on_broken is not None and (missing := _read_missing(path, len(listed))):
            kept = _open(_incomplete(path), shape)
            if kept is not None:
                again = {name: [listed[row] for row in missing]}
                filled = decode_all(
                    again,
                    {name: domains[name]},
                    device=torch.device("cpu"),
                    on_broken=lambda _name, place, error: errors.update({missing[place]: error}),  # noqa: B023
                    **options,  # type: ignore[arg-type]
                )[name]
                for place, row in enumerate(missing):
                    if row not in errors:
                        kept[row] = filled[place]
        if kept is None:
            whole = on_broken is None
            made = path if whole else _incomplete(path)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                atomic.sweep(folder)
                with atomic.replacing(made) as partial:
                    kind = torch.empty(0, dtype=dtype_of(domains[name])).numpy().dtype
                    mapped = np.lib.format.open_memmap(partial, "w+", kind, shape)
                    _reserve(partial)
                    decode_all(
                        *inputs,
                        device=torch.device("cpu"),
                        into={name: torch.from_numpy(mapped)},
                        on_broken=None if whole else lambda _name, row, error: errors.update({row: error}),  # noqa: B023
                        **options,  # type: ignore[arg-type]
                    )
                    mapped.flush()
                    if errors:
                        atomic.write(_list_of(path), json.dumps(sorted(errors)).encode())
                if made != path and not errors:
                    # Another rank that makes the same file may have been faster.
                    with suppress(FileNotFoundError):
                        made.replace(path)
            except OSError as error:
                reason = error.strerror or str(error)
                raise TranslateError(f"cannot keep decoded images in {folder}: {reason}") from None
            kept = _open(made, shape) if errors else None
            kept = _open(path, shape) if kept is None else kept
            if kept is None:
                raise TranslateError(f"the decoded images in {folder} were removed or changed meanwhile; start again")
        for row, broken in sorted(errors.items()):
            assert on_broken is not None
            on_broken(name, row, broken)
        found[name] = kept.to(device)
    return found


def _incomplete(path: Path) -> Path:
    """The name of a file that lacks images, so that it is never taken for a whole one."""
    return path.with_suffix(".incomplete.npy")


def _list_of(path: Path) -> Path:
    """The list, by index, of the images that an incomplete file lacks."""
    return path.with_suffix(".incomplete.json")


def _read_missing(path: Path, count: int) -> list[int]:
    """The images that an incomplete file lacks; none if there is no list that can be used."""
    # Imported where a file is read: it takes longer than all of the command line.
    from translate.schema import FactsError, parse_json, read_text

    try:
        rows = parse_json(read_text(_list_of(path)))
    except (OSError, FactsError):
        return []
    if not isinstance(rows, list) or not all(type(row) is int and 0 <= row < count for row in rows):
        return []
    return sorted(set(rows))


def _open(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The mapped file; None if it is missing or truncated."""
    try:
        # Copy-on-write: torch requires writable memory; nothing is ever written.
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(mapped) if mapped.shape == shape else None


def _reserve(path: Path) -> None:
    """Give a file its blocks on the disk: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _key(listed: Sequence[Example], domain: Domain, size: Size, resize: str, workers: int) -> str:
    decoded: tuple[object, ...] = (domain.channels, domain.depth, domain.classes)
    if domain.alpha != "dropped" or domain.ranged:
        decoded += (domain.alpha, domain.limits)
    if domain.nearest:
        decoded += ("nearest",)
    digest = hashlib.sha256(repr((FORMAT, decoded, tuple(size), resize)).encode())
    with ThreadPoolExecutor(workers or cores(), thread_name_prefix="translate-hash") as pool:
        try:
            for example, content in zip(listed, pool.map(_hash, listed), strict=True):
                digest.update(f"{example.region} {content}\n".encode())
        except BaseException:
            # Ctrl-C waits for the files that are being read, not for all.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return digest.hexdigest()


def _hash(example: Example) -> str:
    if not isinstance(example.pixels, Path):
        return f"key {hashlib.sha256(example.key.encode(errors='surrogatepass')).hexdigest()}"
    try:
        with images.open_regular(example.pixels) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, images.ImageError):
        return ""  # decoding will report it
