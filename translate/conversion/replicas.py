"""Replicas: worker threads that translate several images concurrently on a CPU, each with a share of the cores.

Two images on one core each finish sooner than one after the other on two cores: cores that share an image wait for each
other after every operation, also for one that is busy decoding a file.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType

from translate.conversion.answering import translate
from translate.conversion.batch import Answer, Decoded, Work
from translate.machine import keep_memory
from translate.programs import ArrayTranslator

TOGETHER = 2**21
"""The most pixels in flight, unless one bucket has more: activations take some hundred bytes per pixel."""


class Replicas:
    """Worker threads, each with a replica of the translator, which share the cores of this process.

    If the translator has no replicas, or for a single image (``alone``), there are no workers, and ``begin`` computes
    in the calling thread.
    """

    def __init__(self, work: Work, *, alone: bool = False) -> None:
        self._work = work
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._cores = self.count = 1
        if alone or isinstance(work.translator, ArrayTranslator):
            return
        self._cores = _torch().get_num_threads()
        self._free = threading.Semaphore(self._cores)
        if self._cores > 1 and work.translator.replicate() is not None:
            keep_memory()
            self._pool = ThreadPoolExecutor(self._cores, thread_name_prefix="translate-convert-lane")
            self.count = self._cores

    def cores_for(self, pixels: int) -> int:
        """How many cores a bucket of ``pixels`` gets: all cores divided by the number of such buckets in flight."""
        concurrent = min(max(TOGETHER // max(pixels, 1), 1), self._cores)
        return -(-self._cores // concurrent)

    def begin(self, bucket: Sequence[Decoded]) -> Future[list[Answer]]:
        """Start to translate images of one bucket; blocks until enough cores are free."""
        if self._pool is None:
            done: Future[list[Answer]] = Future()
            try:
                done.set_result(translate(bucket, self._work))
            except Exception as error:
                done.set_exception(error)
            return done
        cores = self.cores_for(sum(each.pixels.shape[0] * each.pixels.shape[1] for each in bucket))
        # Acquiring one by one cannot deadlock, since only one thread calls this.
        for _ in range(cores):
            self._free.acquire()
        future = self._pool.submit(self._translate, bucket, cores)
        future.add_done_callback(lambda _: self._free.release(cores))
        return future

    def close(self) -> None:
        """Let the workers finish the buckets they have started, and end them."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            # A worker's set_num_threads also changes the default for threads that start later.
            _torch().set_num_threads(self._cores)

    def _translate(self, bucket: Sequence[Decoded], cores: int) -> list[Answer]:
        _torch().set_num_threads(cores)
        if not hasattr(self._local, "work"):
            translator = self._work.translator.replicate()
            assert translator is not None
            self._local.work = replace(self._work, translator=translator)
        return translate(bucket, self._local.work)


def _torch() -> ModuleType:
    """Only networks of torch have replicas, so it is imported where there are some."""
    import torch

    return torch
