"""The implementation of ``encode``: read images in batches, encode them, and write all codes to one file."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from translate import atomic, images, outputs
from translate.conversion import gather
from translate.encoding.arrays import RESERVED, ArrayWriter
from translate.errors import FullDiskError, TranslateError
from translate.file_batches import file_batches
from translate.memory import Budget, images_at_once
from translate.overview import left_out
from translate.saved import BATCH, Encoder, load_encoder, loaded

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
    inputs = gather(sources, "encode")
    budget = Budget(asked["memory"], asked["max_pixels"])
    at_once = images_at_once(BATCH, encoder.size, encoder.bytes_for, memory=budget.total, device=str(encoder.device))
    names = {path: name for name, path in inputs.files}
    failed: list[tuple[Path, str]] = []
    tell = encoder.catalog.tell
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.sweep(target.parent)
        with atomic.replacing(target, inside=True) as temporary:
            lost = [*inputs.missing, *left_out(images.Found((), inputs.left_out, inputs.closed))]
            tell("conversion_started", total=len(names) + len(lost))
            try:
                with ArrayWriter(temporary) as writer:
                    for batch in file_batches(list(names), encoder.domain, encoder.size, budget, BATCH):
                        if batch.images is not None:
                            codes = encoder.encode(batch.images, at_once=at_once)
                            found = {name: code.numpy() for name, code in codes.items()}
                            _check(found, encoder)
                            writer.add([names[path] for path in batch.readable], found)
                        for path in batch.files:
                            tell("image_converted", source=path, error=batch.errors.get(path), bottleneck="")
                        failed += batch.errors.items()
                    for path, reason in lost:
                        tell("image_converted", source=path, error=reason, bottleneck="")
                    failed += lost
                    if not writer.count:
                        raise TranslateError(f"none of the {len(names)} images can be encoded: {failed[0][1]}")
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


def _check(codes: Mapping[str, Any], encoder: Encoder) -> None:
    if taken := sorted(codes.keys() & RESERVED):
        raise TranslateError(
            f"the direction {encoder.direction} of the method {encoder.method} calls a code {taken[0]!r}, which the "
            "file uses itself; the method's author must choose another name"
        )
