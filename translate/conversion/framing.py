"""Framing: animations and TIFF files of several pages, converted frame by frame into files of as many.

One file is converted at a time, and of it no more frames are in memory than there are replicas, as far as they fit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Literal

import numpy as np

from translate import images
from translate.conversion.batch import Answer, Work, as_files, decode, metadata_of, outputs, prepare, show, write
from translate.conversion.fitting import Account, Need, need_of
from translate.conversion.plan import Task
from translate.conversion.replicas import Replicas
from translate.errors import TranslateError, UnfitError


def why_first_only(several: Literal["frames", "pages"], task: Task, work: Work) -> str | None:
    """Why only the first frame or page of a file is converted, in one sentence; None if all are."""
    suffix = task.outputs[0].suffix.lower()
    if suffix not in images.HOLDS[several]:
        held = "one frame" if several == "frames" else "one page"
        return f"{several} beyond the first are not kept: {suffix} files hold {held}"
    if several == "frames" and work.translator.source.classes:
        return "frames beyond the first are not kept: an animation holds no class indices"
    return None


def convert_frames(task: Task, need: Need, work: Work, replicas: Replicas, account: Account) -> None:
    """Convert all frames of a file, in their order, and write the outputs when the last one is there.

    Raises what a frame raises, with its number: a file is converted as a whole or not at all.
    """
    begun = time.perf_counter()
    frames = images.survey_frames(task.source, max_pixels=work.max_pixels)
    work.notices.add(task.source, frames.told)
    if frames.count <= (1 if frames.kind == "frames" else 0):
        with work.stages.timed(task.source, "decode"):
            decoded_alone = decode(task, work)
        for answer in replicas.begin([decoded_alone]).result():
            write(answer, work)
        return
    word = "frame" if frames.kind == "frames" else "page"
    window = account.at_once(need, replicas.count)

    def check(number: int, header: images.Header) -> None:
        nonlocal window
        page = need_of(header, work)
        if (reason := account.refusal(task, page)) is not None:
            raise images.ImageError(f"{word} {number} of {reason}")
        window = min(window, account.at_once(page, replicas.count))

    own = metadata_of(task, work) if frames.kind == "frames" else None
    waiting: deque[tuple[int, images.Frame, Future[list[Answer]]]] = deque()
    with ExitStack() as stack:
        files = []
        shown: list[tuple[Sequence[images.Image], Answer]] = []
        for path in task.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened = images.writing_frames(path, frames, quality=work.quality, metadata=own)
            files.append(stack.enter_context(opened))

        def append(number: int, frame: images.Frame, answers: Future[list[Answer]]) -> None:
            with _numbered(word, number):
                (answer,) = answers.result()
                made = outputs(answer, work)
                for file, image in zip(files, as_files(made, answer, work), strict=True):
                    file.append(replace(frame, image=image))
            if number == 1:
                shown.append((made, answer))

        decoded = frames.read(max_pixels=work.max_pixels, indices=work.translator.source.classes > 0, check=check)
        for number, frame in enumerate(decoded, 1):
            while len(waiting) >= window:
                append(*waiting.popleft())
            with _numbered(word, number):
                ready = prepare(frame.image, task, work)
            waiting.append((number, _described(frame, work), replicas.begin([ready])))
            del frame, ready
        while waiting:
            append(*waiting.popleft())
        for file in files:
            work.notices.add(task.source, file.told)
    for made, answer in shown:
        # A gallery shows the first of the frames.
        show(made, answer, work, time.perf_counter() - begun)


def _described(frame: images.Frame, work: Work) -> images.Frame:
    """A frame without its pixels, and with the metadata that its output shall have."""
    metadata = frame.metadata if work.metadata == "keep" else None
    if metadata is not None:
        metadata = replace(metadata, gps=work.gps)
        if work.translator.target.classes:
            metadata = replace(metadata, profile=b"", srgb=False)
    return images.Frame(images.Image(np.empty((0, 0, 0), np.uint8)), frame.duration, metadata)


@contextmanager
def _numbered(word: str, number: int) -> Iterator[None]:
    """Put the number of a frame before what is wrong with it."""
    try:
        yield
    except UnfitError:
        raise
    except TranslateError as error:
        raise TranslateError(f"{word} {number} of {error}") from None
