"""Pipeline of a conversion: decode, translate and encode concurrently, with bounded queues.

The calling thread submits a few files ahead to a thread pool for decoding, sorts decoded images into buckets of one
size, starts the translation of full buckets (on a GPU it computes it itself), and submits the outputs to the pool for
writing. Jobs never wait for one another, so they cannot deadlock. The number of images in memory depends on the number
of threads, the batch size and the memory that may be used, never on the folder.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from translate.conversion.batch import Answer, Decoded, Work, decode, record, write
from translate.conversion.fitting import Account, Need, plan_memory
from translate.conversion.framing import convert_frames, why_first_only
from translate.conversion.plan import Task
from translate.conversion.replicas import Replicas
from translate.errors import FullDiskError, TranslateError, UnfitError
from translate.images import ImageError

BATCH_PIXELS = 1 << 23
"""The most pixels in a batch: larger ones cost memory and are no faster."""

Outcome = tuple[Task, str | None]
"""A task and the reason why it failed, in one sentence; None on success."""


def convert_all(
    tasks: Iterable[Task], work: Work, *, batch: int, workers: int, alone: bool = False
) -> Generator[Outcome, None, None]:
    """Convert all tasks and yield each one's outcome when it is known; close the iterator to stop early.

    A bad image does not affect the others. If interrupted, each thread finishes its current image only. ``alone`` says
    that there is one image, which gets all cores. Raises ``FullDiskError`` when the disk is full.
    """
    ahead = workers + batch
    waiting_limit = 0 if batch == 1 else 4 * batch
    remaining = iter(tasks)
    planning: deque[tuple[Task, Future[Need]]] = deque()
    decoding: deque[tuple[Task, Future[Decoded]]] = deque()
    writing: deque[tuple[Task, Future[None]]] = deque()
    translating: deque[tuple[list[Decoded], Future[list[Answer]]]] = deque()
    buckets: dict[tuple[Any, ...], list[Decoded]] = {}
    of_frames: list[tuple[Task, Need]] = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="translate-convert")
    replicas = Replicas(work, alone=alone)
    work.stages.share(replicas.count)
    account = Account(work)

    def ended(task: Task, reason: str | None) -> Outcome:
        account.give_back(task)
        work.sources.forget(task.source)
        return task, reason

    def begin(bucket: list[Decoded]) -> None:
        translating.append((bucket, replicas.begin(bucket)))

    def translated(limit: int) -> Iterator[Outcome]:
        """Submit outputs for writing, oldest first, until at most ``limit`` buckets are in flight."""
        while translating and (len(translating) > limit or translating[0][1].done()):
            bucket, future = translating.popleft()
            error = future.exception()
            if error is None:
                writing.extend((answer.task, pool.submit(_write, answer, work)) for answer in future.result())
            elif isinstance(error, UnfitError) or not isinstance(error, Exception):
                # It would fail for every image.
                raise error
            elif len(bucket) == 1:
                if isinstance(error, ImageError):  # an output that is written while it is computed
                    refuse_full(error, bucket[0].task)
                yield ended(bucket[0].task, failure_sentence(error, bucket[0].task))
            else:
                # One image is bad, or the batch was too large for the memory: retry one by one.
                while bucket:
                    begin([bucket.pop(0)])

    def written(limit: int) -> Iterator[Outcome]:
        while writing and (len(writing) > limit or writing[0][1].done()):
            task, future = writing.popleft()
            yield ended(task, _failure(future, task))

    def finished() -> Iterator[Outcome]:
        for key in list(buckets):
            begin(buckets.pop(key))
            yield from translated(replicas.count)
            yield from written(ahead)
        yield from translated(0)
        yield from written(0)

    try:
        while True:
            while len(planning) < ahead and (task := next(remaining, None)) is not None:
                planning.append((task, pool.submit(_plan, task, work)))
            if not planning and not decoding:
                break
            while planning and len(decoding) < ahead:
                task, need = planning[0][0], planning[0][1].result()
                refusal = account.refusal(task, need)
                if refusal is None and need.several and (reason := why_first_only(need.several, task, work)):
                    work.notices.add(task.source, (reason,))
                elif refusal is None and need.several:
                    planning.popleft()
                    work.sources.release(task.source)
                    of_frames.append((task, need))
                    continue
                if refusal is None and not account.take(task, need):
                    break
                planning.popleft()
                if refusal is not None:
                    work.sources.forget(task.source)
                    yield task, refusal
                else:
                    decoding.append((task, pool.submit(_decode, task, work)))
            if not decoding:
                # The images in flight hold what the next one needs, or all that were planned are refused.
                yield from finished()
                continue
            task, future = decoding.popleft()
            failure = _failure(future, task)
            if failure is not None:
                yield ended(task, failure)
                continue
            key = future.result().bucket
            buckets.setdefault(key, []).append(future.result())
            del future
            if len(buckets[key]) >= min(batch, _most_images(key)):
                begin(buckets.pop(key))
            while sum(len(bucket) for bucket in buckets.values()) > waiting_limit:
                fullest = max(buckets, key=lambda each: len(buckets[each]))
                begin(buckets.pop(fullest))
            yield from translated(replicas.count)
            yield from written(ahead)
        yield from finished()
        for task, need in of_frames:
            # One file at a time, while nothing else is in flight: its frames share the memory.
            try:
                convert_frames(task, need, work, replicas, account)
                record(task, work, {})
            except UnfitError:
                raise
            except Exception as error:
                refuse_full(error, task)
                work.sources.forget(task.source)
                yield task, failure_sentence(error, task)
            else:
                yield task, None
    finally:
        replicas.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _plan(task: Task, work: Work) -> Need:
    work.sources.begin(task.source)
    return plan_memory(task, work)


def _decode(task: Task, work: Work) -> Decoded:
    with work.stages.timed(task.source, "decode"):
        return decode(task, work)


def _write(answer: Answer, work: Work) -> None:
    with work.stages.timed(answer.task.source, "write"):
        record(answer.task, work, write(answer, work), answer.algorithm)


def _most_images(key: tuple[Any, ...]) -> int:
    """How many images of a bucket fit into a batch of ``BATCH_PIXELS``, at least one."""
    height, width = key[0][:2]
    return max(1, BATCH_PIXELS // int(height * width))


def _failure(future: Future[Any], task: Task) -> str | None:
    error = future.exception()
    if error is None:
        return None
    if not isinstance(error, Exception):
        raise error
    refuse_full(error, task)
    return failure_sentence(error, task)


def refuse_full(error: BaseException, task: Task) -> None:
    """Raise ``FullDiskError`` if an image failed because the disk is full: all others would fail as well."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullDiskError(
                f"the disk of {task.outputs[0].parent} is full; free space, and run the same command again to go on"
            ) from None
        cause = cause.__cause__ or cause.__context__


def failure_sentence(error: Exception, task: Task) -> str:
    """The reason why an image failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, TranslateError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return f"{task.source} needs more memory than there is; convert it smaller, with --at"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or task.source}: {error.strerror}"
    return f"{task.source}: {type(error).__name__}{': ' + text[:300] if text else ''}"
