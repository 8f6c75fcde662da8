"""Columns: what the columns of a sample grid that a network has made stand for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Made",
]


@dataclass(frozen=True, slots=True)
class Made:
    """A column of a sample grid that a network has made.

    ``direction`` is the network's name. ``given`` is the column of the images that it was made of, row by row; None
    for a sampler. ``domain`` is ``source`` or ``target``: whose images it should look like. ``truth`` is the column of
    what it should be, row by row, where pairs tell. ``held_out`` says whether the rows are of the validation split.
    """

    direction: str
    given: str | None
    domain: str
    truth: str | None
    held_out: bool
