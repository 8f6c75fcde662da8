"""Streaming: decodes the examples of each batch on threads, and leaves out what is broken, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from torch import Tensor

from translate.errors import TranslateError
from translate.images import ImageError
from translate.loader.left_out import LeftOut
from translate.loader.sampling import Draw, Order

Decode = Callable[[tuple[str, ...], int, int], list[Tensor]]
"""Decodes an example, by streams, index and seed, to its planes (C, H, W) for each of the streams."""

Decoding = tuple[int, Future[list[Tensor]]]
"""An example, by index, and its planes once they are decoded."""


class Streaming:
    """Decodes batches on the threads of a pool. ``homes`` says of which domain each stream draws."""

    def __init__(
        self, order: Order, left_out: LeftOut, homes: Mapping[str, str], decode: Decode, pool: ThreadPoolExecutor
    ) -> None:
        self._order, self._left_out, self._homes = order, left_out, homes
        self._decode, self._pool = decode, pool

    def begin(self, index: int) -> Callable[[], tuple[list[Draw], dict[str, list[Tensor]]]]:
        """Begin to decode a batch; the result waits for it, and must be called in the order of the batches.

        It gives the batch's draws, and the planes of each stream's examples. It raises ``BrokenImagesError`` if images
        are broken that may not be left out.
        """
        return partial(self._collect, index, [self._begin(draw) for draw in self._order.draws(index)])

    def _begin(self, draw: Draw, begun: Sequence[Decoding] = ()) -> list[Decoding]:
        """Begin to decode a draw's examples; what has ``begun`` is kept where it is still the example drawn."""
        rows, seeds = draw.table[0].tolist(), draw.table[4].tolist()
        return [
            begun[place]
            if begun and begun[place][0] == row
            else (row, self._pool.submit(self._decode, draw.streams, row, seed))
            for place, (row, seed) in enumerate(zip(rows, seeds, strict=True))
        ]

    def _collect(self, index: int, decoding: list[list[Decoding]]) -> tuple[list[Draw], dict[str, list[Tensor]]]:
        """Wait for a batch's examples; broken ones are left out from this batch on, on all ranks alike.

        What is left out is settled here, batch by batch, and not where a thread meets a broken file: so it never
        depends on how far ahead the threads are. If the batch cannot be made, nothing is left out because of it.
        """
        found: dict[tuple[str, int], str] = {}
        try:
            while True:
                draws = self._order.draws(index)
                decoding = [self._begin(draw, begun) for draw, begun in zip(draws, decoding, strict=True)]
                more = self._left_out.agree(*self._failed(draws, decoding))
                if not more:
                    break
                found |= more
                self._order.leave_out(self._left_out.with_more(found))
        except TranslateError:
            self._order.leave_out(self._left_out.by_home)
            raise
        self._left_out.add(found)
        images = {
            stream: [future.result()[place] for _, future in begun]
            for draw, begun in zip(draws, decoding, strict=True)
            for place, stream in enumerate(draw.streams)
        }
        return draws, images

    def _failed(
        self, draws: Sequence[Draw], decoding: Sequence[Sequence[Decoding]]
    ) -> tuple[dict[tuple[str, int], str], TranslateError | None]:
        """The examples that cannot be decoded, with the reasons, and an error that is none of an image's."""
        broken: dict[tuple[str, int], str] = {}
        other: TranslateError | None = None
        for draw, begun in zip(draws, decoding, strict=True):
            for row, future in begun:
                match future.exception():
                    case ImageError() as error:
                        broken[self._left_out.key(self._homes[draw.streams[0]], row)] = str(error)
                    case TranslateError() as error:
                        other = other or error
                    case BaseException() as error:
                        raise error
        return broken, other
