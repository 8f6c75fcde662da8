"""Forks that run tests in copies of the tree, from a process that has imported the heavy libraries once.

Starting Python and importing torch take seconds, most mutants die within one: so each is a fork of a warm process. That
process never imports what is mutated, and starts no threads that a fork would lose.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

WARM = (
    "numpy", "torch", "cv2", "PIL.Image", "kornia", "albumentations", "hypothesis", "pytest", "safetensors.torch",
    "pluggy", "click", "rich.progress", "yaml", "coverage",
)  # fmt: skip
ROOTS = ("", "plugins", "datasets")
"""Folders of the tree from which packages are imported."""

UNCOPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "demo")

MOST_PROCESSES = 40
"""A job whose tests start more processes at a time than this is stopped: a mutant may start itself without end."""

Job = Callable[[Path], Any]
"""Runs in a fork, in the copy of the tree that it is given; answers with JSON values."""


def warm() -> None:
    """Import the heavy libraries, on one thread each."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1")
    for name in WARM:
        with suppress(ImportError):
            importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def copy_tree(root: Path, place: Path) -> Path:
    """A copy of the tree to mutate, without what is built or hidden."""
    shutil.copytree(root, place, ignore=UNCOPIED)
    return place


def run_all(
    jobs: Sequence[tuple[Job, float]], trees: Sequence[Path]
) -> Iterator[tuple[int, dict[str, Any] | None, str, float]]:
    """Run jobs, each with its limit in seconds, one at a time in each tree.

    Yields (number of the job, its answer, what it printed, seconds) as they end; the answer is None where the fork died
    and ``{"timeout": true}`` where it was stopped.
    """
    waiting = list(enumerate(jobs))[::-1]
    free = list(trees)
    running: dict[int, tuple[int, Path, float, float]] = {}
    counted = time.monotonic()
    try:
        while waiting or running:
            while waiting and free:
                number, (job, limit) = waiting.pop()
                tree = free.pop()
                running[_fork(job, tree)] = number, tree, time.monotonic(), limit
            time.sleep(0.02)
            count_now = time.monotonic() - counted > 1
            counted = time.monotonic() if count_now else counted
            for process, (number, tree, begun, limit) in list(running.items()):
                seconds = time.monotonic() - begun
                ended, _ = os.waitpid(process, os.WNOHANG)
                too_many = count_now and len(_started_in(tree)) > MOST_PROCESSES
                if not ended and seconds < limit and not too_many:
                    continue
                _stop(process, tree, wait=not ended)
                del running[process]
                free.append(tree)
                answer = _read(_answer_of(tree)) if ended else {"timeout": True}
                yield number, answer, _output_of(tree).read_text(errors="replace"), seconds
    finally:
        for process, (_, tree, _, _) in running.items():
            _stop(process, tree, wait=True)


def _answer_of(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}.json")


def _output_of(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}.txt")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _temporary_of(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}-temporary")


def _stop(process: int, tree: Path, *, wait: bool) -> None:
    """Kill a fork, if it has not ended, and all processes that its tests have started and left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    if wait:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    # Those in groups of their own too; repeated, since they may be starting others.
    while left := _started_in(tree):
        for each in left:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.01)


def _started_in(tree: Path) -> list[int]:
    """The processes started by tests in a tree, found by the folder of temporary files that they were given."""
    mark = f"TMPDIR={_temporary_of(tree)}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def _fork(job: Job, tree: Path) -> int:
    _answer_of(tree).unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        _settle(tree)
        answer = job(tree)
        _answer_of(tree).write_text(json.dumps(answer))
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _settle(tree: Path) -> None:
    """Make this fork at home in its copy: its packages come first, what it prints goes to a file."""
    os.setsid()
    # A shell's background jobs ignore it, and tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    output = os.open(_output_of(tree), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    temporary = _temporary_of(tree)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    os.chdir(tree)
    roots = [str(tree / name) for name in ROOTS if (tree / name).is_dir()]
    old_root = Path(__file__).parents[2]
    old_roots = {str(old_root / name).rstrip("/") for name in ROOTS} | {""}
    sys.path[:] = [*roots, *(place for place in sys.path if place not in old_roots)]
    os.environ["PYTHONPATH"] = os.pathsep.join(roots)
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def pytest_run(tree: Path, arguments: Sequence[str], plugin: object) -> int:
    """Run pytest in a fork, with few and always the same examples where a test leaves their number open."""
    import pytest

    if "hypothesis" in sys.modules:
        from hypothesis import settings

        settings.register_profile("mutation", derandomize=True, max_examples=10, database=None, deadline=None)
        settings.load_profile("mutation")
    temporary = _temporary_of(tree) / "pytest"
    fixed = (
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={temporary}",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    )
    return int(pytest.main([*fixed, *arguments], plugins=[plugin]))
