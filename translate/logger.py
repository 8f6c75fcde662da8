"""Logger: the interface of what takes a training's log elsewhere, such as to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from translate.errors import TranslateError
from translate.lists import split_list
from translate.options import parse_call

__all__ = [
    "LoggedRun",
    "Logger",
]


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """The run that a logger logs: its ``name``, the step that it starts or goes on from, and of how many steps."""

    name: str
    folder: Path
    """A folder of the run for this logger alone, made by whoever writes the first file into it."""
    options: Mapping[str, Any]
    """All options by name, as JSON values; those of the method are among them."""
    step: int
    steps: int


class Logger(Protocol):
    """Takes a training's log elsewhere; a factory of the kind ``loggers`` builds it before the training begins.

    A factory raises ``TranslateError`` for what is missing, such as a package. All methods are called in one thread
    beside the training's, and may take their time. Whatever one raises is told once, and the logger is left out from
    then on. None may draw from the process's random generators.
    """

    def start(self, run: LoggedRun) -> int | None:
        """Open the log of a run that starts or is resumed.

        The result is the last step that the log holds already: rows and pictures up to it are not logged again. None
        if it holds nothing. A log that can take entries back takes back those after ``run.step``, which are logged
        anew, and returns at most ``run.step``.
        """
        ...

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row of ``metrics.jsonl``, by its names; not all values need be finite."""
        ...

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Log a picture, a PNG file of the run."""
        ...

    def finish(self, reason: str, final: Mapping[str, float]) -> None:
        """Close the log: ``reason`` is ``finished``, ``interrupted`` or ``failed``; ``final`` are the last values."""
        ...


def parse_loggers(value: Any, where: str) -> tuple[str, ...]:
    """The loggers that an option names, each as a call: one text with commas, or several.

    >>> parse_loggers("tensorboard, wandb(mode=online, project=faces)", "fit")
    ('tensorboard', "wandb(mode='online', project='faces')")
    >>> parse_loggers(["none"], "fit")
    ()
    """
    found: list[str] = []
    for each in _listed(value, where):
        call = parse_call(each)
        if call.name in (parse_call(earlier).name for earlier in found):
            raise TranslateError(f"{where}: log names {call.name} twice; name each logger once")
        found.append(str(call))
    return tuple(found)


def _listed(value: Any, where: str) -> list[str]:
    if value is None or value == "none":
        return []
    if isinstance(value, (list, tuple)):
        return [name for each in value for name in _listed(each, where)]
    if not isinstance(value, str):
        raise TranslateError(f"{where}: log must name loggers, such as tensorboard, not {value!r:.80}")
    return split_list(value)
