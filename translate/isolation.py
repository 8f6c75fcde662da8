"""Isolation: runs a plugin's code, and restores the global state of the process that it changes.

A plugin is imported into the process of its user. One that changes torch's default dtype, the working directory or the
warnings would change every command, so ``Held`` restores them and says what it has restored.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

from translate.signals import ending_signals
from translate.terminal import printable

MOST_SHOWN = 200
"""The characters of a text by a plugin that are shown in a message."""


def shown(text: str) -> str:
    """A text by a plugin in one safe line, cut to about ``MOST_SHOWN`` characters.

    >>> shown("one\\n  two\\x1b[31m")
    'one two\\\\x1b[31m'
    """
    return printable(" ".join(text[: 4 * MOST_SHOWN].split()), MOST_SHOWN)


LIBRARIES_SET = {"LD_LIBRARY_PATH"}
"""Environment variables that libraries set when a plugin imports them; this one has no effect on a running process."""


class Held:
    """A context that restores the global state which code inside it changes.

    Afterwards ``changed`` names what was restored, and ``printed`` is the text that the code has printed, which is
    kept from the terminal. ``interruption`` is the ``KeyboardInterrupt`` that a signal has raised inside: it leaves the
    context also where the code has caught it. Any other ``KeyboardInterrupt`` is the code's own. State of torch and
    numpy is restored without importing them.
    """

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.printed = ""
        self.interruption: KeyboardInterrupt | None = None

    def __enter__(self) -> Held:
        self._before = _state()
        self._torch = _WatchTorch()
        self._filters = list(warnings.filters)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._descriptors = {number: handle for number in (1, 2) if (handle := _duplicate(number)) is not None}
        self._captured = io.StringIO()
        sys.stdout = _Captured(self._captured, sys.stdout)
        sys.stderr = _Captured(self._captured, sys.stderr)
        self._replaced = sys.stdout, sys.stderr
        self._signals = _handlers()
        self._watch_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore_signals()
        self._restore_streams()
        self._torch.end()
        self._restore_filters()
        after = _state()
        before = {**self._before, **{name: each for name, each in self._torch.state.items() if name in after}}
        for name, (value, restore) in before.items():
            if name in after and after[name][0] != value:
                with contextlib.suppress(Exception):
                    restore()
                self.changed.append(name)
        self.printed = self._captured.getvalue()
        if self.interruption is not None and not isinstance(error, KeyboardInterrupt):
            raise self.interruption

    def _watch_signals(self) -> None:
        """Note what the handlers of signals that end the command do, which is not the code's doing."""
        self._watching: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ending_signals():
            handler = self._signals.get(number)
            if callable(handler):
                self._watching[number] = partial(self._handle, handler)
                signal.signal(number, self._watching[number])

    def _handle(self, handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        before = _handlers()
        try:
            handler(number, frame)
        except KeyboardInterrupt as error:
            self.interruption = error
            raise
        finally:
            # A handler may put back earlier ones, which stay then.
            for each, now in _handlers().items():
                if now is not before.get(each):
                    self._signals[each] = now
                    self._watching.pop(each, None)

    def _restore_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        after, changed = _handlers(), False
        for number, handler in self._signals.items():
            now = after.get(number)
            changed |= now != self._watching.get(number, handler)
            if now != handler:
                signal.signal(number, handler)
        if changed:
            self.changed.append("the signal handlers")

    def _restore_streams(self) -> None:
        replaced = (sys.stdout, sys.stderr) != self._replaced or sys.stdin is not self._streams[0]
        sys.stdin, sys.stdout, sys.stderr = self._streams
        for captured in self._replaced:
            captured.ended = True
        for number, handle in self._descriptors.items():
            now = _identity(number)
            if now != _identity(handle):
                os.dup2(handle, number)
                replaced = True
            os.close(handle)
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream, original = getattr(sys, name), getattr(sys, f"__{name}__")
            if stream is not None and stream is original and stream.closed:
                reopened = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", line_buffering=True)
                setattr(sys, name, reopened)
                setattr(sys, f"__{name}__", reopened)
                replaced = True
        if replaced or any(each.closed_by_plugin for each in self._replaced):
            self.changed.append("the standard streams")

    def _restore_filters(self) -> None:
        added = [each for each in warnings.filters if each not in self._filters]
        removed = [each for each in self._filters if each not in warnings.filters]
        # Libraries silence single messages and warnings of their own when they are imported, which harms nobody.
        harmful = [each for each in added if each[1] is None and each[3] is None and each[2].__module__ == "builtins"]
        if not harmful and not removed:
            return
        kept = [each for each in added if each not in harmful]
        warnings.filters[:] = [*kept, *self._filters]  # type: ignore[index]
        with warnings.catch_warnings():
            # Entering and leaving tells the interpreter that the filters have changed.
            pass
        self.changed.append("the filters of warnings")


class _Captured(io.TextIOBase):
    """A standard stream that keeps what this thread writes; other threads still reach the stream itself."""

    def __init__(self, kept: io.StringIO, stream: TextIO) -> None:
        self._kept = kept
        self._stream = stream
        self._owner = threading.get_ident()
        self.closed_by_plugin = False
        self.ended = False

    def write(self, text: str) -> int:
        if (self.ended or threading.get_ident() != self._owner) and self._stream is not None:
            # A plugin may keep this object, as a handler of logging does.
            return self._stream.write(text)
        return self._kept.write(text) if self._kept.tell() < 10_000 else len(text)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed_by_plugin = True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        if self.ended and self._stream is not None:
            self._stream.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __del__(self) -> None:
        """Do nothing: the base class would close it, which would look like the plugin's doing."""


class _WatchTorch(importlib.abc.MetaPathFinder):
    """Records torch's state at the end of its import, if it is imported while this object is on ``sys.meta_path``."""

    def __init__(self) -> None:
        self.state: dict[str, tuple[Any, Callable[[], Any]]] = {}
        if "torch" not in sys.modules:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "torch":
            return None
        self.end()
        spec = importlib.util.find_spec("torch")
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            with contextlib.suppress(Exception):
                self.state = dict(_torch_state())

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def end(self) -> None:
        """Stop watching."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)


def _state() -> dict[str, tuple[Any, Callable[[], Any]]]:
    """The global state, each part by its name: its value, and a function that restores it."""
    return dict([*_process_state(), *_logging_state(), *_numpy_state(), *_torch_state()])


def _process_state() -> Iterator[tuple[str, tuple[Any, Callable[[], Any]]]]:
    try:
        folder = Path.cwd()
    except OSError:
        pass
    else:
        yield "the working directory", (folder, lambda: os.chdir(folder))
    environment = {name: value for name, value in os.environ.items() if name not in LIBRARIES_SET}
    yield "the environment", (environment, lambda: _replace_environment(environment))
    # Compared by its entries: OpenCV replaces the list by an equal one.
    path = list(sys.path)
    yield "sys.path", (path, lambda: setattr(sys, "path", list(path)))
    limit = sys.getrecursionlimit()
    yield "the recursion limit", (limit, lambda: sys.setrecursionlimit(limit))
    hook = sys.excepthook
    yield "sys.excepthook", (hook, lambda: setattr(sys, "excepthook", hook))


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys() - LIBRARIES_SET:
        del os.environ[name]
    os.environ.update(environment)


def _logging_state() -> Iterator[tuple[str, tuple[Any, Callable[[], Any]]]]:
    loggers = [logging.getLogger(), logging.getLogger("translate")]
    values = [(each.level, list(each.handlers), list(each.filters), each.disabled, each.propagate) for each in loggers]
    disabled = logging.root.manager.disable

    def restore() -> None:
        logging.disable(disabled)
        for each, (level, handlers, filters, off, propagate) in zip(loggers, values, strict=True):
            each.setLevel(level)
            each.handlers[:], each.filters[:] = handlers, filters
            each.disabled, each.propagate = off, propagate

    yield "logging", ((values, disabled), restore)


def _numpy_state() -> Iterator[tuple[str, tuple[Any, Callable[[], Any]]]]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "geterr"):
        errors = numpy.geterr()
        yield "numpy's handling of errors", (errors, lambda: numpy.seterr(**errors))


def _torch_state() -> Iterator[tuple[str, tuple[Any, Callable[[], Any]]]]:
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_default_device"):
        return
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    grad, strict = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    anomaly = torch.is_anomaly_enabled()
    products = torch.get_float32_matmul_precision()
    yield "torch's default dtype", (dtype, lambda: torch.set_default_dtype(dtype))
    yield (
        "torch's default device",
        (device, lambda: torch.set_default_device(None if device.type == "cpu" else device)),
    )
    yield "torch's number of threads", (threads, lambda: torch.set_num_threads(threads))
    yield "torch's grad mode", (grad, lambda: torch.set_grad_enabled(grad))
    yield "torch's deterministic mode", (strict, lambda: torch.use_deterministic_algorithms(strict))
    yield "torch's anomaly detection", (anomaly, lambda: torch.autograd.set_detect_anomaly(anomaly))
    yield "torch's matmul precision", (products, lambda: torch.set_float32_matmul_precision(products))


def _handlers() -> dict[signal.Signals, Any]:
    """The handlers of all signals that Python code can restore."""
    found = {each: signal.getsignal(each) for each in signal.valid_signals() if isinstance(each, signal.Signals)}
    return {number: handler for number, handler in found.items() if handler is not None}


def _duplicate(number: int) -> int | None:
    try:
        return os.dup(number)
    except OSError:
        return None


def _identity(number: int) -> tuple[int, int] | None:
    """Which open file a descriptor stands for; None if it is closed."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def failures_of_a_plugin(held: Held | None = None) -> Iterator[None]:
    """Turn whatever a plugin's code raises, but for what a signal has raised, into an ``Exception``.

    ``SystemExit``, ``GeneratorExit`` and the like become ``PluginError``, which has the original as its cause.
    """
    try:
        yield
    except Exception:
        raise
    except KeyboardInterrupt as error:
        # Signals are handled in the main thread only.
        in_main = threading.current_thread() is threading.main_thread()
        if held.interruption is not None if held is not None else in_main:
            raise
        raise PluginError(error) from error
    except BaseException as error:
        raise PluginError(error) from error


class PluginError(Exception):
    """A plugin raised something that is no ``Exception``; ``error`` is what it raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error
