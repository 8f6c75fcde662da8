"""Replicas: images translated beside each other on a CPU, each with its share of the cores.

Two images on a core each are done sooner than one after the other on both: cores that share an image wait for each
other after every operation, and for whichever of them is decoding a file meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from translate.conversion.batch import Answer, Decoded, Work, translate
from translate.devices import keep_memory

TOGETHER = 2**21
"""So many pixels are translated at a time, or one bucket: a network's maps take some hundred bytes for each."""


class Replicas:
    """Threads with a translator each, and as many cores together as this process computes with.

    Where the translator can serve only one thread, or for an image ``alone``, there are none, and who asks for a
    translation computes it.
    """

    def __init__(self, work: Work, *, alone: bool = False) -> None:
        self._work = work
        self._cores = torch.get_num_threads()
        self._free = threading.Semaphore(self._cores)
        self._own = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self.count = 1
        # Noise is drawn from a generator that all threads share.
        if not alone and self._cores > 1 and work.samples is None and work.translator.replicate() is not None:
            keep_memory()
            self._pool = ThreadPoolExecutor(self._cores, thread_name_prefix="translate-convert-lane")
            self.count = self._cores

    def cores_for(self, pixels: int) -> int:
        """How many cores a bucket of so many pixels gets: the fewer, the more buckets fit in beside it."""
        beside = min(max(TOGETHER // max(pixels, 1), 1), self._cores)
        return -(-self._cores // beside)

    def begin(self, bucket: Sequence[Decoded]) -> Future[list[Answer]]:
        """Begin to translate images of one bucket, as soon as there are cores for it."""
        if self._pool is None:
            done: Future[list[Answer]] = Future()
            try:
                done.set_result(translate(bucket, self._work))
            except Exception as error:
                done.set_exception(error)
            return done
        cores = self.cores_for(sum(each.pixels.shape[0] * each.pixels.shape[1] for each in bucket))
        # One by one: nobody else takes any.
        for _ in range(cores):
            self._free.acquire()
        begun = self._pool.submit(self._translate, bucket, cores)
        begun.add_done_callback(lambda _: self._free.release(cores))
        return begun

    def close(self) -> None:
        """End the threads when they have finished what they have begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            # What the lanes have set counts for threads that are yet to come, too.
            torch.set_num_threads(self._cores)

    def _translate(self, bucket: Sequence[Decoded], cores: int) -> list[Answer]:
        torch.set_num_threads(cores)
        if not hasattr(self._own, "work"):
            translator = self._work.translator.replicate()
            assert translator is not None
            self._own.work = replace(self._work, translator=translator)
        return translate(bucket, self._own.work)
