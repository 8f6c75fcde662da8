"""Refusals: what a request is answered with in place of an image, as one sentence and a status of HTTP."""

from __future__ import annotations

from translate.conversion import TooLargeError, WrongKindError
from translate.errors import FullDiskError, TranslateError


class RefusedError(TranslateError):
    """A request that gets no image: the ``status`` of the answer, and the seconds after which it may come again."""

    def __init__(self, status: int, sentence: str, *, again: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.again = again


def not_kept(error: OSError) -> RefusedError:
    """The refusal where the server's disk takes no more.

    >>> status_of(not_kept(OSError(28, "No space left on device")))
    507
    """
    reason = (error.strerror or "it failed").lower()
    return RefusedError(507, f"the server cannot keep the image: {reason}; tell who runs it")


def status_of(error: TranslateError) -> int:
    """The status for an error of a conversion: 413 for too much, 415 for no image, 422 for what does not fit.

    >>> status_of(TooLargeError("the image has too many pixels"))
    413
    """
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, TooLargeError):
        return 413
    if isinstance(error, WrongKindError):
        return 415
    return 507 if isinstance(error, FullDiskError) else 422
