"""Launching: runs the command in several processes, one per rank, which start, stop and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from translate import lock, signals
from translate.errors import TranslateError
from translate.job import EXIT_LOST_RANK
from translate.machine import cores
from translate.numbered import steps_of
from translate.paths import quoted
from translate.run import Config, Run
from translate.stopped import StopWatch, is_stopped

SHUTDOWN_SECONDS = 30.0
"""Seconds that the other ranks have to end by themselves after one has failed; the first saves what it has."""

STOP_TIMEOUT = 30.0
"""Seconds for which a rank may be stopped (SIGSTOP) before the job ends, unless ``fit --stop-timeout`` says another."""


class LostError(TranslateError):
    """One of several ranks has died."""

    exit_code = EXIT_LOST_RANK


def train_together(config: Config, folder: Path, no_plugins: Sequence[str]) -> Run:
    """Train a config on several devices: run the command for each, with the config in a file."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "config.json"
        file.write_text(json.dumps(config.to_json()), encoding="utf-8")
        plugins = [*_flags("--no-plugin", no_plugins), *_flags("--plugin", config.plugins)]
        arguments = [*plugins, "fit", "--config", str(file), "-o", str(folder)]
        return _launch_and_open(arguments, config.devices, folder, config.stop_timeout)


def resume_together(
    run: Run, devices: int, settings: Sequence[str], no_plugins: Sequence[str], plugins: Sequence[str]
) -> Run:
    """Resume a run on several devices, with other ``settings``, which are flags of the command."""
    lock.refuse_locked(run.folder)
    arguments = [*_flags("--no-plugin", no_plugins), *_flags("--plugin", plugins), "fit", *settings]
    return _launch_and_open([*arguments, "--resume", str(run.folder)], devices, run.folder, run.config.stop_timeout)


def _launch_and_open(arguments: Sequence[str], count: int, folder: Path, stop_timeout: float) -> Run:
    try:
        launch(arguments, count, stop_timeout=stop_timeout)
    except LostError as error:
        last = next(iter(steps_of(folder).values()), None)
        hint = f"; go on from {last.stem} with `translate fit --resume {quoted(folder)}`" if last else ""
        raise LostError(f"{error}{hint}") from None
    run = Run.open(folder)
    run.step = run.steps
    return run


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [f"{flag}={value}" for value in values]


def launch(
    arguments: Sequence[str],
    count: int,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] | None = None,
    *,
    stop_timeout: float = STOP_TIMEOUT,
) -> None:
    """Run ``translate ARGUMENTS`` as ``count`` ranks of one job, and wait for all; ``meanwhile`` is polled.

    Signals reach every rank once, through this process; Ctrl-Z stops all of them until it goes on. If a rank fails, or
    somebody stops it alone for ``stop_timeout`` seconds, the others are ended. Raises ``LostError`` for a rank that
    died, and ``SystemExit`` with the exit code of a rank that has reported its own error.
    """
    # Imported here: most commands of several processes are refused or planned before any of them needs torch.
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < count:
        raise TranslateError(f"there are {gpus} GPUs here, not {count}; use --devices {gpus}")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The first rank writes to the terminal; the output of the others is kept in case they fail.
        files = [(place / f"rank-{rank}").open("w+", encoding="utf-8", errors="replace") for rank in range(1, count)]
        outputs = [None, *(stack.enter_context(file) for file in files)]
        common = {
            **(environment or {}),
            "WORLD_SIZE": str(count),
            "TRANSLATE_STORE": str(place / "store"),
            "TRANSLATE_PARENT": str(os.getpid()),
            # Ranks share the cores; two that each take all of them are ten times as slow.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // count))),
        }
        command = [sys.executable, "-m", "translate", *arguments]
        ranks: list[subprocess.Popen[str]] = []
        watch = StopWatch(stop_timeout)
        stopped = False
        with _forwarded(ranks), _suspended_together(ranks):
            try:
                for rank, output in enumerate(outputs):
                    own = {**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                    # Its own process group: Ctrl-C reaches this process only, which forwards it once.
                    ranks.append(
                        subprocess.Popen(command, env=own, stdout=output, stderr=output, text=True, process_group=0)
                    )
                first = _wait(ranks, meanwhile, watch)
                stopped = first is not None and is_stopped(ranks[first].pid)
                if first is not None and stopped:
                    ranks[first].kill()
            finally:
                _stop(ranks)
        if stopped:
            raise LostError(
                f"rank {first} of {len(ranks)} was stopped (SIGSTOP) for {stop_timeout:g} seconds and is ended, "
                "and the others with it"
            )
        _raise_failure(ranks, first, outputs)


def _wait(ranks: Sequence[subprocess.Popen[str]], meanwhile: Callable[[], None] | None, watch: StopWatch) -> int | None:
    """Wait until all ranks have succeeded (None), or return the first rank that has failed or was stopped too long."""
    while True:
        codes = [rank.poll() for rank in ranks]
        # A rank that only lost the others is not the cause.
        failed = [number for number, code in enumerate(codes) if code not in (None, 0, EXIT_LOST_RANK)]
        if failed:
            return failed[0]
        if None not in codes:
            return None
        overdue = watch.overdue([rank.pid for rank in ranks])
        if overdue is not None:
            return overdue
        if meanwhile is not None:
            meanwhile()
        time.sleep(0.05)


def _stop(ranks: Sequence[subprocess.Popen[str]]) -> None:
    """Give the ranks SHUTDOWN_SECONDS to end by themselves, as they do when interrupted together; then kill them."""
    for rank in ranks:
        if rank.poll() is None and is_stopped(rank.pid):
            rank.send_signal(signal.SIGCONT)
    until = time.monotonic() + SHUTDOWN_SECONDS
    while time.monotonic() < until and any(rank.poll() is None for rank in ranks):
        time.sleep(0.05)
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()
        rank.wait()


def _raise_failure(
    ranks: Sequence[subprocess.Popen[str]], first: int | None, outputs: Sequence[IO[str] | None]
) -> None:
    """Raise the error of a job whose ranks have all ended, if it failed."""
    for output in outputs:
        if output is not None:
            output.seek(0)
    texts = [output.read() if output is not None else "" for output in outputs]
    if first is None:
        if any(rank.returncode for rank in ranks):
            raise LostError("the ranks lost one another")
        return
    code = ranks[first].returncode
    which = f"rank {first} of {len(ranks)}"
    if texts[first].strip() and (code < 0 or ranks[0].returncode in (0, EXIT_LOST_RANK)):
        # What a library says as it aborts is all that tells why.
        sys.stderr.write(texts[first])
    if code < 0:
        raise LostError(f"{which} was ended by {signal.Signals(-code).name}, and the others with it")
    raise SystemExit(code)


@contextmanager
def _forwarded(ranks: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Forward to all ranks the signals that end them, saved, and those that make them save."""

    def forward(number: int) -> None:
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(number)

    with signals.handled([*signals.ending_signals(), *signals.saving_signals()], forward):
        yield


@contextmanager
def _suspended_together(ranks: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Let Ctrl-Z, which reaches this process only, stop all ranks, and let them go on when it does."""

    def send(number: int) -> None:
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(number)

    def suspend(_number: int) -> None:
        send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        # It goes on here, once somebody has continued this process.
        send(signal.SIGCONT)

    terminal = getattr(signal, "SIGTSTP", None)
    ignored = terminal is None or signal.getsignal(terminal) == signal.SIG_IGN
    with signals.handled([] if ignored or terminal is None else [terminal], suspend):
        yield
