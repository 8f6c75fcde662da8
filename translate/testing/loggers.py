"""The contract check of loggers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from translate import images
from translate.errors import TranslateError
from translate.logger import LoggedRun, Logger
from translate.loggers import METHODS
from translate.parts import build
from translate.plugins import Catalog, discover
from translate.run import Config

ROWS: Sequence[tuple[int, dict[str, float]]] = (
    (10, {"learning_rate/generator": 2e-4, "generator/adversarial": 0.7, "memory": 2.0**30}),
    (20, {"learning_rate/generator": 2e-4, "generator/adversarial": math.inf, "a name/with (odd) letters": math.nan}),
    (20, {"validation/psnr": 21.5, "validation/psnr_standard_error": 0.3}),
)
"""The rows of a run's log, those of one step together."""


def check_logger(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that a logger takes what a training logs, goes on after an interruption, and leaves the run's files alone.

    The logger's package must be installed. Four trainings of one run are logged: one that is interrupted, one that goes
    on, one that has gone back, and, in a folder of its own, one that fails before its first row.
    """
    catalog = discover(extra=plugins)
    with TemporaryDirectory() as place:
        run = Path(place, "run")
        (run / "samples").mkdir(parents=True)
        picture = run / "samples" / "step-00000020.png"
        images.write(picture, images.Image(np.full((8, 8, 3), 128, np.uint8)))
        (run / "metrics.jsonl").write_text('{"step": 10}\n')
        before = _contents(run)
        logger = _built(catalog, part)
        held = _started(part, logger, run, 0)
        assert held is None or held <= 0, f"{part}: the log of a new run holds nothing, and start says step {held}"
        _log(part, logger, picture)
        with _quiet_draws(part, "finish"):
            logger.finish("interrupted", {"generator/adversarial": math.inf})
        for step, most in ((20, 20), (10, 20)):
            logger = _built(catalog, part)
            held = _started(part, logger, run, step)
            assert held is None or held <= most, (
                f"{part}: its log ends at step {most}, and start says that it holds step {held}"
            )
            if held is None or held < 20:
                _log(part, logger, picture, since=-1 if held is None else held)
            with _quiet_draws(part, "finish"):
                logger.finish("finished", {"validation/psnr": 21.5})
        after = {path: each for path, each in _contents(run).items() if path.parts[0] != "logs"}
        assert after == before, f"{part}: it changes {next(iter(after.items() ^ before.items()))[0]} of the run"
        (Path(place, "other")).mkdir()
        logger = _built(catalog, part)
        _started(part, logger, Path(place, "other"), 0)
        with _quiet_draws(part, "finish"):
            logger.finish("failed", {})


def _built(catalog: Catalog, part: str) -> Logger:
    with _quiet_draws(part, "the factory"):
        try:
            logger: Logger = build(catalog, "loggers", part)
        except TranslateError as error:
            raise AssertionError(f"{part}: it cannot be built here: {error}") from error
    for name in METHODS:
        assert callable(getattr(logger, name, None)), f"{part}: it has no method {name}()"
    return logger


def _started(part: str, logger: Logger, run: Path, step: int) -> int | None:
    """The last step that the log holds, as the logger says."""
    options: dict[str, Any] = {**Config("pix2pix", "photos").to_json(), "generator": "unet(width=4)"}
    with _quiet_draws(part, "start"):
        held = logger.start(LoggedRun(run.name, run / "logs" / "checked", options, step, 40))
    assert held is None or type(held) is int, f"{part}: start must return a step or None, not {held!r:.60}"
    return held


def _log(part: str, logger: Logger, picture: Path, since: int = -1) -> None:
    for step, values in ROWS:
        if step > since:
            given = dict(values)
            with _quiet_draws(part, "log_scalars"):
                logger.log_scalars(step, given)
            assert given.keys() == values.keys(), f"{part}: log_scalars changes the values that it is given"
    if since < 20:
        with _quiet_draws(part, "log_image"):
            logger.log_image(20, "samples", picture)


@contextmanager
def _quiet_draws(part: str, what: str) -> Iterator[None]:
    """Check that the block leaves the global generators of Python and NumPy alone, from which a training draws."""
    python, numpy = random.getstate(), str(np.random.get_state(legacy=False))
    yield
    assert random.getstate() == python, f"{part}: {what} draws from Python's global generator"
    assert str(np.random.get_state(legacy=False)) == numpy, f"{part}: {what} draws from NumPy's global generator"


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
