"""The implementation of ``encode``: read images in batches, encode them, and write all codes to one file."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import atomic, outputs
from translate.encoding.arrays import RESERVED, ArrayWriter
from translate.errors import FullDiskError, TranslateError
from translate.file_batches import FileBatches
from translate.saved import Encoder, load_encoder, loaded

Result = tuple[int, tuple[tuple[Path, str], ...], Path, str, dict[str, tuple[int, ...]]]


def encode_as_asked(
    encoder: Encoder | str | Path,
    sources: Sequence[Path],
    target: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Result:
    """Encode with the checked options of ``encode``; returns the fields of an ``Encoding``."""
    _refuse(target, overwrite=asked["overwrite"])
    encoder = loaded(encoder, load_encoder, asked, plugins, no_plugins)
    batches = FileBatches(encoder, sources, asked, "encode")
    failed: list[tuple[Path, str]] = []
    tell = encoder.catalog.tell
    try:
        outputs.make_folder(target.parent)
        atomic.sweep(target.parent)
        with atomic.replacing(target, inside=True) as temporary:
            tell("conversion_started", total=len(batches.names) + len(batches.lost), verb="encode")
            try:
                with ArrayWriter(temporary) as writer:
                    for batch in batches:
                        if batch.images is not None:
                            codes = encoder.encode(batch.images, at_once=batches.at_once)
                            found = {name: code.numpy() for name, code in codes.items()}
                            _check(found, encoder)
                            kept = _finite(found)
                            for path, fine in zip(batch.readable, kept, strict=True):
                                if not fine:
                                    batch.errors[path] = f"{path}: the network's codes are not finite"
                            readable = [path for path in batch.readable if path not in batch.errors]
                            if readable:
                                rows = {name: code[kept] for name, code in found.items()}
                                writer.add([batches.names[path] for path in readable], rows)
                        for path in batch.files:
                            tell("image_converted", source=path, error=batch.errors.get(path), bottleneck="")
                        failed += batch.errors.items()
                    for path, reason in batches.lost:
                        tell("image_converted", source=path, error=reason, bottleneck="")
                    failed += batches.lost
                    if not writer.count:
                        raise TranslateError(f"none of the {len(batches.names)} images can be encoded: {failed[0][1]}")
                    writer.finish({
                        "direction": np.array(encoder.direction),
                        "domain": np.array(encoder.side),
                        "method": np.array(encoder.method),
                        "size": np.array(encoder.size),
                    })  # fmt: skip
            finally:
                tell("conversion_ended")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullDiskError(f"the disk is full, so {target} is not written; make space, and encode again") from None
        raise TranslateError(f"cannot write {target}: {error.strerror or error}; check the path") from None
    return writer.count, tuple(failed), target, encoder.direction, writer.shapes


def _refuse(target: Path, *, overwrite: bool) -> None:
    """Raise ``TranslateError`` for a target that cannot or may not be written."""
    if target.suffix.lower() != ".npz":
        raise TranslateError(f"codes are written to an .npz file, not to {target}; name one, such as codes.npz")
    if target.is_dir() or atomic.is_special(target):
        raise TranslateError(f"{target} is no regular file; name another one, such as codes.npz")
    if not overwrite:
        outputs.refuse_existing(target)


def _finite(codes: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Which rows are finite in all arrays."""
    each = [np.isfinite(code).reshape(len(code), -1).all(axis=1) for code in codes.values()]
    kept: NDArray[np.bool_] = np.logical_and.reduce(each)
    return kept


def _check(codes: Mapping[str, Any], encoder: Encoder) -> None:
    if taken := sorted(codes.keys() & RESERVED):
        raise TranslateError(
            f"the direction {encoder.direction} of the method {encoder.method} calls a code {taken[0]!r}, which the "
            "file uses itself; the method's author must choose another name"
        )
