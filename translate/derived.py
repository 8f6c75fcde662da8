"""The translator as it is derived from a checkpoint: which checkpoint, and which of its tensors.

A checkpoint holds the facts from which a method is rebuilt (``FACTS`` in its metadata) beside all weights, so it can
stand in for ``translator.safetensors`` wherever that is missing, damaged or older.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from translate import checkpoint, lock
from translate.checkpoint import CheckpointError
from translate.errors import TranslateError
from translate.job import is_launcher_or_main
from translate.method import Method
from translate.numbered import steps_of

log = logging.getLogger("translate")

FACTS = "translator"
"""The key in a checkpoint's metadata under which the metadata of its translator lie."""


def checkpoint_at(folder: Path, step: int) -> Path:
    """The checkpoint of a run's folder at a step; raises ``TranslateError``, which lists the steps that there are."""
    if not folder.is_dir():
        raise TranslateError(f"{folder} is no folder of a run, so it has no step {step} to choose; leave out --step")
    found = steps_of(folder)
    if step not in found:
        known = ", ".join(str(each) for each in reversed(found))
        raise TranslateError(
            f"{folder} has no checkpoint of step {step}; "
            + (f"choose from {known}, and keep more of them with --keep" if found else "it has none at all")
        )
    return found[step]


def newer_than(folder: Path, step: int | None, file: Path) -> list[Path]:
    """The checkpoints of a run from which its translator, of ``step`` and in ``file``, must be built, the newest first.

    A translator of an earlier version of this program tells no step; the times of the files decide then.
    """
    found = steps_of(folder)
    if step is not None:
        return [path for each, path in found.items() if each > step]
    return [path for path in found.values() if path.stat().st_mtime_ns > file.stat().st_mtime_ns]


class Built(Protocol):
    """What ``open_run`` must know of what was built: tensors and metadata, as a translator's file holds them."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors by ``DIRECTION/NAME``."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The facts from which the method is rebuilt."""
        ...


T = TypeVar("T", bound=Built)


def open_run(folder: Path, build: Callable[..., T]) -> tuple[T, Path | None]:
    """Open a run's translator, or build it from the newest checkpoint if it is missing, damaged or older.

    ``build(path, tensors, metadata)`` makes the result from a file's content. A translator out of a checkpoint is
    written to the run's folder if that is possible and no process trains there; its path is returned then.
    """
    file = folder / "translator.safetensors"
    found: tuple[dict[str, Tensor], dict[str, Any]] | None = None
    damage: CheckpointError | None = None
    try:
        found = checkpoint.load(file)
        newer, state = newer_than(folder, found[1].get("step"), file), "older than the last checkpoint"
    except CheckpointError as error:
        newer, damage = list(steps_of(folder).values()), error
        state = "damaged" if file.exists() else "missing"
    for path in newer:
        try:
            built = build(path, *checkpoint.load(path))
        except CheckpointError:
            continue
        return built, _kept(built, path, file, state)
    if found is not None:
        return build(file, *found), None
    if damage is not None and file.exists():
        raise damage
    raise TranslateError(
        f"{folder} holds no translator.safetensors; is it the folder of a finished or interrupted run?"
    )


def _kept(built: Built, source: Path, file: Path, state: str) -> Path | None:
    """Write what was built from the checkpoint ``source``; None, with one line, where that is not possible."""
    try:
        lock.refuse_locked(file.parent)
        checkpoint.save(file, built.tensors, built.metadata)
    except TranslateError as error:
        _tell("%s is %s, so the weights are taken from %s, in memory only: %s", file, state, source.name, error)
        return None
    _tell("%s was %s, and was built again from %s", file, state, source.name)
    return file


def _tell(sentence: str, *values: Any) -> None:
    # Of several ranks that open one run, the launcher has told it already.
    if is_launcher_or_main():
        log.warning(sentence, *values)


def facts_of(path: Path, metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The metadata of the translator that a checkpoint gives; None for a file that is no checkpoint.

    Checkpoints of earlier versions lack it; it is then taken from the run's ``translator.safetensors``.
    """
    if "engine" not in metadata:
        return None
    if FACTS in metadata:
        facts: Mapping[str, Any] = metadata[FACTS]
        return facts
    beside = path.resolve().parent.parent / "translator.safetensors"
    try:
        return {**checkpoint.load(beside)[1], "step": metadata["engine"]["step"]}
    except CheckpointError:
        raise TranslateError(
            f"{path} was written by an earlier version, which did not note how to build its translator; "
            "resume its run, which writes both anew"
        ) from None


@torch.no_grad()
def translator_tensors(path: Path, method: Method, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of ``translator.safetensors``, ``DIRECTION/NAME``, out of a checkpoint's and a rebuilt method.

    Where the checkpoint holds moving averages, they are taken. The method keeps the loaded weights.
    """
    own = {name.removeprefix("method/"): value for name, value in tensors.items() if name.startswith("method/")}
    try:
        method.load_state_dict(own)
        for direction, module in method.translators.items():
            for name, tensor in chain(module.named_parameters(), module.named_buffers()):
                if (average := tensors.get(f"ema/{direction}/{name}")) is not None:
                    tensor.copy_(average)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise TranslateError(f"{path} does not fit its method as it is installed here: {reason}") from None
    return tensors_of(method)


def tensors_of(method: Method) -> dict[str, Tensor]:
    """The tensors of a method's translators as they are now, by ``DIRECTION/NAME``."""
    return {
        f"{direction}/{key}": value
        for direction, module in method.translators.items()
        for key, value in module.state_dict().items()
    }
