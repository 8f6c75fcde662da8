"""Emergency: whatever ends a training, what is in memory is saved, and one sentence says how to go on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import distributed

from translate.background import Background
from translate.errors import NotFiniteError, StoppedError, TranslateError
from translate.numbered import checkpoint_path
from translate.ordered import OrderedLog
from translate.paths import quoted
from translate.plugins import format_error
from translate.ranks import LostRankError
from translate.run import Run
from translate.saving import writing
from translate.setup import Setup
from translate.signals import Caught

log = logging.getLogger("translate")

Identity = tuple[int, int] | None


class Emergency:
    """Watches a training from its first step to its last, and saves what is in memory if something ends it.

    With several ranks, what fails on the first one beside the steps is kept (``asked``), so that all ranks end the
    next step together and save it; otherwise it ends the training at once.
    """

    def __init__(self, setup: Setup, run: Run, background: Background, received: Caught, ordered: OrderedLog) -> None:
        self._ordered = ordered
        self._setup, self._run, self._background, self._received = setup, run, background, received
        self._begun = run.step
        self._folder, self._parent = _identity(run.folder), _identity(run.folder.parent)
        self._kept: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether something has failed beside the steps, so that the training must end."""
        return self._kept is not None

    @contextmanager
    def beside_the_steps(self) -> Iterator[None]:
        """What is done inside the block is no part of a step: the log, samples, checkpoints."""
        try:
            if self._setup.group.is_main:
                self._check_folder()
            yield
        except NotFiniteError:
            raise
        except Exception as error:
            if self._setup.group.size == 1:
                raise
            self._kept = self._kept or error

    @contextmanager
    def watched(self) -> Iterator[Emergency]:
        """Turn whatever ends the training inside the block into ``StoppedError``, once what is in memory is saved.

        What is not finite is never saved. A second signal ends the training at once; so does a lost rank, but for the
        first rank, which saves what it has.
        """
        try:
            yield self
            self._background.finish()
            self._ordered.tell_all()
            if self._kept is not None:
                raise self._kept
        except NotFiniteError as error:
            self._settle()
            good = (
                f"the last good checkpoint is {self._run.checkpoints[-1]}"
                if self._run.checkpoints
                else "no checkpoint was due before"
            )
            raise NotFiniteError(f"{error}; {good}; try a lower learning rate or --clip-norm 1") from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and self._received.ending is not None:
                raise
            lost = _lost_others(error) and self._setup.group.size > 1
            if isinstance(error, TranslateError) and self._run.step == self._begun and not lost:
                # Nothing was done yet, so nothing is lost.
                raise
            reason = self._reason(error)
            saved = self._save(error) if self._setup.group.is_main else ""
            if lost:
                raise LostRankError from error
            raise self._stopped(error, reason, saved) from error

    def _stopped(self, error: BaseException, reason: str, saved: str) -> StoppedError:
        run, group = self._run, self._setup.group
        which = f"rank {group.rank} of {group.size}: " if group.size > 1 else ""
        again = f"go on with `translate fit --resume {quoted(run.folder)}`"
        stopped = StoppedError("; ".join(filter(None, [f"{which}{reason}", saved, again])))
        code = getattr(error, "exit_code", TranslateError.exit_code)
        if isinstance(error, TranslateError) and code != TranslateError.exit_code:
            stopped.exit_code = code
        return stopped

    def _save(self, error: BaseException) -> str:
        """Save what is in memory if the run's folder can be written; say what has become of it."""
        setup, run = self._setup, self._run
        self._settle()
        if _out_of_memory(error):
            traceback.clear_frames(error.__traceback__)
            with suppress(Exception):
                setup.engine.forget_graphs()
                for player in setup.engine.players.values():
                    player.optimizer.zero_grad(set_to_none=True)
        at = f"step {run.step} of {run.steps}"
        path = checkpoint_path(run.folder, run.step)
        # What a rank has alone lacks the others' image pools; they may be gone, or not know that anything is wrong.
        together = setup.group.size == 1
        partial = setup.engine.in_step or not together
        made_again = ""
        try:
            self._check_folder()
        except TranslateError as gone:
            if not self._make_again():
                return f"{at} is not saved, since {gone}"
            made_again = f" in {run.folder}, which was made again"
        if path.exists():
            return f"{at} is saved"
        if run.step == self._begun and not made_again:
            return "no step was done yet" if run.step == 0 else f"no step was done after {at}"
        try:
            if made_again:
                run.write_config(setup.metadata)
            tensors = setup.engine.tensors(together=together)
            writing(setup, run, tensors, partial=partial)()
        except Exception as failure:
            if not path.exists():
                last = run.checkpoints[-1].stem if run.checkpoints else "missing"
                return f"{at} could not be saved ({self._reason(failure)}), and the last checkpoint is {last}"
        return f"{at} is saved{made_again}{', but not to the last bit' if partial else ''}"

    def _settle(self) -> None:
        """Let what is being written be written, and tell the log intervals that waited for it."""
        self._background.settle()
        self._ordered.tell_all()

    def _reason(self, error: BaseException) -> str:
        """What an error says, as the beginning of a sentence."""
        if isinstance(error, TranslateError):
            return str(error)
        step = self._run.step
        where = f"in step {step + 1}" if self._setup.engine.in_step else f"after step {step}"
        if _out_of_memory(error):
            return f"out of memory {where}: free some, or train with a smaller --batch or --size"
        if isinstance(error, OSError) and error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        return f"the training failed {where}: {format_error(error)}"

    def _check_folder(self) -> None:
        """Raise ``TranslateError`` unless the run's folder is still that of the beginning."""
        found = _identity(self._run.folder)
        if found is None:
            raise TranslateError(f"the run's folder {self._run.folder} is gone")
        if found != self._folder:
            raise TranslateError(f"{self._run.folder} is another folder than when the training began")

    def _make_again(self) -> bool:
        """Make the run's folder again if it was removed and nothing else is in its place; True if it is there.

        Never where its parent is another folder now: a disk that is no longer mounted leaves an empty one behind.
        """
        folder = self._run.folder
        if self._parent is None or _identity(folder.parent) != self._parent:
            return False
        try:
            folder.mkdir(exist_ok=True)
            if any((folder / name).exists() for name in ("config.json", "lock.json")):
                return False
        except OSError:
            return False
        self._folder = _identity(folder)
        return True


def _identity(path: Path) -> Identity:
    """Which folder a path stands for; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if path.is_dir() else None


def _lost_others(error: BaseException) -> bool:
    """Whether an error says that another rank is gone; those inside of networks (SyncBatchNorm) come from torch."""
    if isinstance(error, (LostRankError, distributed.DistError)):
        return True
    return isinstance(error, RuntimeError) and any(name in str(error) for name in ("/gloo/", "ProcessGroup"))


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error).lower() for text in ("out of memory", "can't allocate memory", "cannot allocate memory")
    )
