"""Conversion on Ray: actors with a translator each convert groups of files, on one machine or many.

Files are decoded and written inside of an actor, and nothing but names travels. An actor that dies takes the images
that it had with it: each of them is tried once more, alone, and one whose actor dies again has failed.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from translate.conversion.batch import Work
from translate.conversion.manifest import Ledger, Making
from translate.conversion.pipeline import convert_all
from translate.conversion.plan import Task
from translate.errors import FullDiskError, TranslateError
from translate.plugins import Catalog

GROUP = 16
"""How many images an actor gets at a time."""

PATIENCE = 10.0
"""Seconds to wait for a cluster's answer."""

TRIES = 2
"""How many actors an image may cost."""


class Ended(NamedTuple):
    """What became of an image, as an actor answers it."""

    source: str
    reason: str | None
    notices: tuple[str, ...]
    seconds: dict[str, float]


class Actor:
    """A translator in a process of its own, with a manifest's file of its own."""

    def __init__(self, prepare: Callable[[], Work], target: str, making: Making, batch: int, workers: int) -> None:
        self._stack = ExitStack()
        self._work = replace(prepare(), ledger=self._stack.enter_context(Ledger(Path(target), making)))
        self._batch, self._workers = batch, workers

    def ready(self) -> bool:
        """Return when the translator is loaded."""
        return True

    def convert(self, tasks: Sequence[Task]) -> list[Ended]:
        """Convert some images, and return when all that is known of them is on the disk."""
        ledger = self._work.ledger
        assert ledger is not None
        ledger.begin(path for task in tasks for path in task.outputs)
        ended = []
        for task, reason in convert_all(tasks, self._work, batch=self._batch, workers=self._workers):
            if reason is not None:
                ledger.fail(task.outputs)
            seconds = dict(self._work.stages.of(task.source))
            ended.append(Ended(str(task.source), reason, self._work.notices.of(task.source), seconds))
        ledger.flush()
        return ended


def convert_on_ray(
    tasks: Sequence[Task],
    prepare: Callable[[], Work],
    target: Path,
    making: Making,
    work: Work,
    *,
    count: int,
    batch: int,
    workers: int,
    catalog: Catalog,
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on ``count`` actors; yield each image with the reason why it failed, None on success.

    ``prepare()`` makes an actor's ``Work``. Where ``RAY_ADDRESS`` names a cluster its machines are used, which must see
    the same files under the same names; otherwise Ray is started here, without its dashboard and its usage reports.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise TranslateError("--engine ray needs the package ray: pip install 'image-translate[ray]'") from None
    remote: Any = ray.remote(Actor)
    gpus = 1 if work.translator.device.type == "cuda" else 0
    begun = not ray.is_initialized()
    if begun:
        _refuse_deaf()
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except Exception as error:  # a cluster that is not there, or of another version, in the ways that Ray has
            raise TranslateError(_not_reached(error)) from None
    absolute = [_absolute(task) for task in tasks]
    asked = dict(zip((str(task.source) for task in absolute), tasks, strict=True))
    waiting: deque[list[Task]] = deque(absolute[at : at + GROUP] for at in range(0, len(absolute), GROUP))
    tries: dict[str, int] = {}
    running: dict[Any, tuple[Any, list[Task]]] = {}
    actors: list[Any] = []

    def new() -> Any:
        actor = remote.options(num_cpus=1, num_gpus=gpus, max_restarts=0).remote(
            prepare, str(target.absolute()), making, batch, workers
        )
        try:
            ray.get(actor.ready.remote())
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, TranslateError):
                raise cause from None
            raise TranslateError(f"an actor of Ray could not begin: {str(error).strip().splitlines()[-1]}") from None
        return actor

    def outcome(ended: Ended) -> tuple[Path, str | None]:
        source = asked[ended.source].source
        work.notices.add(source, ended.notices)
        for stage, seconds in ended.seconds.items():
            work.stages.add(source, stage, seconds)
        if ended.reason is None:
            work.stages.done(source)
        catalog.tell("image_converted", source=source, error=ended.reason, bottleneck="")
        return source, ended.reason

    try:
        actors = [new() for _ in range(min(count, len(waiting)))]
        idle = deque(actors)
        while waiting or running:
            while waiting and idle:
                actor, group = idle.popleft(), waiting.popleft()
                running[actor.convert.remote(group)] = actor, group
            ((done,), _) = ray.wait(list(running), num_returns=1)
            actor, group = running.pop(done)
            try:
                for ended in ray.get(done):
                    yield outcome(ended)
                idle.append(actor)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise cause if isinstance(cause, (TranslateError, FullDiskError)) else error from None
            except ray.exceptions.RayActorError:
                for task in group:
                    name = str(task.source)
                    tries[name] = tries.get(name, 0) + 1
                    if tries[name] < TRIES:
                        waiting.append([task])
                    else:
                        reason = f"{asked[name].source}: the process that converted it died, {TRIES} times"
                        yield outcome(Ended(name, reason, (), {}))
                if waiting:
                    idle.append(new())
    finally:
        if begun:
            ray.shutdown()
        else:
            for actor in actors:
                ray.kill(actor)


def _refuse_deaf() -> None:
    """Raise ``TranslateError`` if nobody listens where ``RAY_ADDRESS`` points; Ray itself would wait for minutes."""
    address = os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.rpartition("://")[2].split("/")[0].rpartition(":")
    if not colon or not port.isdecimal():
        # A word such as "auto" or "local".
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise TranslateError(_not_reached(error)) from None


def _not_reached(error: Exception) -> str:
    """What to say where Ray does not start, in one sentence."""
    reason = next((" ".join(line.split()) for line in str(error).splitlines() if line.strip()), type(error).__name__)
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        return f"Ray does not start on this machine: {reason[:200]}"
    return f"Ray does not reach the cluster {address!r:.100}, which RAY_ADDRESS names: {reason[:200]}"


def _absolute(task: Task) -> Task:
    """A task whose files have the same names in every process."""
    outputs = tuple(path.absolute() for path in task.outputs)
    return Task(task.source.absolute(), task.name, outputs)
