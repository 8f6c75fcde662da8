"""Kept previews: pictures for a gallery of images that an earlier conversion has made without it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from translate import images
from translate.conversion.batch import Work, read
from translate.conversion.manifest import unwritable
from translate.conversion.plan import Task
from translate.conversion.showing import GAP
from translate.errors import TranslateError
from translate.gallery import PREVIEW
from translate.memory import Budget
from translate.sizes import Size

UNREADABLE = "the gallery has no pictures of it, since it or its output cannot be read; the page says why"


def not_shown(kept: Sequence[Task], work: Work) -> Sequence[Task]:
    """The kept images that a conversion's gallery does not show as they are; none if there is no gallery."""
    gallery = None if work.showing is None else work.showing.gallery
    return [] if gallery is None else [task for task in kept if not gallery.shows(task.name, task.outputs)]


def show_kept(tasks: Sequence[Task], work: Work, workers: int) -> None:
    """Add kept images to the gallery, by threads that take at most the conversion's memory together.

    One that cannot be read is told, and has its reason in the gallery. Raises ``TranslateError`` where that cannot be
    written.
    """
    if not tasks:
        return
    budget = Budget(work.memory)
    running: deque[tuple[int, Future[None]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="translate-gallery")

    def end() -> None:
        held, future = running.popleft()
        budget.give_back(held)
        future.result()

    try:
        for task in tasks:
            need = _need(task)
            if (reason := budget.too_large(need)) is not None:
                _add_reason(task, work, f"{task.source} {reason}")
                continue
            # All of it is free when nothing runs any more.
            while running and (len(running) >= 2 * workers or need > budget.free):
                end()
            taken = budget.take(need)
            assert taken
            running.append((need, pool.submit(_show, task, work)))
        while running:
            end()
    except OSError as error:
        raise unwritable(tasks[0].outputs[0].parent, error) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _show(task: Task, work: Work) -> None:
    showing = work.showing
    assert showing is not None
    assert showing.gallery is not None
    try:
        if showing.side_by_side:
            count = work.samples or 1
            strip = images.load(task.outputs[0], max_pixels=_most_pixels(task, work))
            before, *after = showing.parts(strip, count)
        else:
            image = read(task, work)
            own: Size = image.pixels.shape[0], image.pixels.shape[1]
            size = _reduced(work.resizing.of(own))
            before = showing.input(image, None if size == own else size)
            after = [_output(task, number, work) for number in range(len(task.outputs))]
    except (TranslateError, OSError, MemoryError) as error:
        _add_reason(task, work, " ".join(str(error).split()) or f"{task.source} needs more memory than there is")
        return
    if showing.side_by_side:
        showing.gallery.add(task.name, source=task.source, before=before, after=after, outputs=task.outputs)
    else:
        showing.record(task, before, after)


def _output(task: Task, number: int, work: Work) -> images.Image:
    path, most = task.outputs[number], _most_pixels(task, work)
    if work.translator.target.classes:
        return images.Image(images.read_indices(path, max_pixels=most)[..., None])
    return images.load(path, max_pixels=most)


def _add_reason(task: Task, work: Work, reason: str) -> None:
    assert work.showing is not None
    assert work.showing.gallery is not None
    work.notices.add(task.source, (UNREADABLE,))
    work.showing.gallery.add(task.name, source=task.source, outputs=task.outputs, reason=f"no pictures: {reason}")


def _reduced(size: Size) -> Size:
    """A size of the same aspect, whose longer side is at most that of a preview."""
    factor = min(1.0, PREVIEW / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _most_pixels(task: Task, work: Work) -> int:
    """The most pixels of an output: what the conversion has made of an image that it may read is not refused."""
    header = images.probe(task.source)
    height, width = work.resizing.of((header.height, header.width))
    beside = (work.samples or 1) if work.showing is not None and work.showing.side_by_side else 0
    return max(work.max_pixels, height * ((beside + 1) * width + beside * GAP))


def _need(task: Task) -> int:
    """The bytes that the pictures of an image take, by the headers of its files; 0 where one is refused."""
    found = 0
    try:
        for path in (task.source, *task.outputs):
            header = images.probe(path)
            # The planes as they are displayed, with floats on the way there.
            found += header.decoding + header.height * header.width * 9 * (max(3, header.channels) + header.alpha)
    except (TranslateError, OSError):
        return 0
    return found
