"""Pipeline of a conversion: threads that decode and encode around those that translate, nothing unbounded.

The calling thread hands files to a pool of threads a few ahead, sorts decoded images into buckets of one size, has a
bucket translated when it is full (on a GPU it does so itself), and hands the answers back to the pool. Jobs never wait
for one another, so nothing can lock up; how many images are alive depends on threads and batch, never on the folder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from translate.conversion.batch import Answer, Decoded, Work, decode, write
from translate.conversion.plan import Task
from translate.conversion.replicas import Replicas
from translate.errors import TranslateError, UnfitError

BATCH_PIXELS = 1 << 23
"""Larger batches bring no speed and cost memory."""

Outcome = tuple[Task, str | None]
"""A task and, where it failed, the reason in one sentence."""


def convert_all(tasks: Sequence[Task], work: Work, *, batch: int, workers: int) -> Generator[Outcome, None, None]:
    """Convert all and yield each task's outcome when it is known; close the iterator to stop early.

    A bad image costs itself only. Interrupted, it lets the threads finish the image at hand and nothing else.
    """
    ahead = workers + batch
    waiting_limit = 0 if batch == 1 else 4 * batch
    remaining = iter(tasks)
    decoding: deque[tuple[Task, Future[Decoded]]] = deque()
    writing: deque[tuple[Task, Future[None]]] = deque()
    translating: deque[tuple[list[Decoded], Future[list[Answer]]]] = deque()
    buckets: dict[tuple[Any, ...], list[Decoded]] = {}
    pool = ThreadPoolExecutor(workers, thread_name_prefix="translate-convert")
    replicas = Replicas(work, alone=len(tasks) == 1)

    def begin(bucket: list[Decoded]) -> None:
        translating.append((bucket, replicas.begin(bucket)))

    def translated(limit: int) -> Iterator[Outcome]:
        """Hand answers on to be written, oldest first, until no more than so many buckets are under way."""
        while translating and (len(translating) > limit or translating[0][1].done()):
            bucket, future = translating.popleft()
            error = future.exception()
            if error is None:
                writing.extend((answer.task, pool.submit(write, answer, work)) for answer in future.result())
            elif isinstance(error, UnfitError) or not isinstance(error, Exception):
                # No other image would fare better.
                raise error
            elif len(bucket) == 1:
                yield bucket[0].task, _sentence(error, bucket[0].task)
            else:
                # One of them is at fault, or all together were too many.
                while bucket:
                    begin([bucket.pop(0)])

    def written(limit: int) -> Iterator[Outcome]:
        while writing and (len(writing) > limit or writing[0][1].done()):
            task, future = writing.popleft()
            yield task, _failure(future, task)

    try:
        while True:
            while len(decoding) < ahead and (task := next(remaining, None)) is not None:
                decoding.append((task, pool.submit(decode, task, work)))
            if not decoding:
                break
            task, future = decoding.popleft()
            failure = _failure(future, task)
            if failure is not None:
                yield task, failure
                continue
            key = future.result().bucket
            buckets.setdefault(key, []).append(future.result())
            del future
            if len(buckets[key]) >= min(batch, _fitting(key)):
                begin(buckets.pop(key))
            while sum(len(bucket) for bucket in buckets.values()) > waiting_limit:
                fullest = max(buckets, key=lambda each: len(buckets[each]))
                begin(buckets.pop(fullest))
            yield from translated(replicas.count)
            yield from written(ahead)
        for key in list(buckets):
            begin(buckets.pop(key))
            yield from translated(replicas.count)
            yield from written(ahead)
        yield from translated(0)
        yield from written(0)
    finally:
        replicas.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _fitting(key: tuple[Any, ...]) -> int:
    """How many images of a bucket make a batch of reasonable size."""
    height, width = key[0][:2]
    return max(1, BATCH_PIXELS // int(height * width))


def _failure(future: Future[Any], task: Task) -> str | None:
    error = future.exception()
    if error is None:
        return None
    if not isinstance(error, Exception):
        raise error
    return _sentence(error, task)


def _sentence(error: Exception, task: Task) -> str:
    """Say why an image failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, TranslateError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return f"{task.source} needs more memory than there is; convert it smaller, with --at"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or task.source}: {error.strerror}"
    return f"{task.source}: {type(error).__name__}{': ' + text[:300] if text else ''}"
