"""Conversion on several devices: one process per device converts its share and logs each image's outcome to a file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.assignments import as_flags
from translate.conversion.batch import Work
from translate.conversion.plan import Shard
from translate.launching import LostError, launch
from translate.plugins import Catalog

OUTCOMES = "TRANSLATE_OUTCOMES"
"""The environment variable with the folder to which each process writes its outcomes."""

_OWN = ("devices", "report", "dry_run", "engine")
"""The options that are the parent's alone."""


def convert_together(
    run: Path,
    sources: Sequence[Path],
    target: Path,
    options: Mapping[str, Any],
    *,
    catalog: Catalog,
    plugins: Sequence[str],
    no_plugins: Sequence[str],
    work: Work,
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on several devices; yield each image with the reason why it failed, None on success.

    Observers are called while the devices work. Raises ``LostError`` if a process dies; images converted so far stay.
    """
    devices: int = options["devices"]
    flags = [f"--plugin={name}" for name in plugins] + [f"--no-plugin={name}" for name in no_plugins]
    passed = {name: value for name, value in options.items() if name not in _OWN and value not in (None, "")}
    given = as_flags(passed.pop("given", {}), work.given.taken.options)
    options_typed = [*(_flag(name, value) for name, value in passed.items()), *given]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"rank-{rank}.jsonl" for rank in range(devices)]
        outcomes: list[tuple[Path, str | None]] = []
        offsets = [0] * devices

        def collect() -> None:
            for number, file in enumerate(files):
                for line in _new_lines(file, offsets, number):
                    found = json.loads(line)
                    file_converted, error = Path(found["file"]), found["error"]
                    outcomes.append((file_converted, error))
                    work.notices.add(file_converted, found["notices"])
                    for stage, seconds in found["seconds"].items():
                        work.stages.add(file_converted, stage, seconds)
                    if error is None:
                        work.stages.done(file_converted)
                    catalog.tell("image_converted", source=file_converted, error=error, bottleneck="")

        # Behind "--" a name that begins with a dash is a name.
        arguments = [*flags, "convert", *options_typed, "--", str(run), *map(str, sources), str(target)]
        try:
            launch(arguments, devices, {OUTCOMES: folder}, collect)
        except LostError as error:
            raise LostError(
                f"{error}; {len(outcomes)} images were converted or named, run the same command again to go on"
            ) from None
        collect()
        yield from outcomes


def is_a_share() -> bool:
    """Whether this process converts a share for a parent, which tells what all have in common."""
    return OUTCOMES in os.environ


def log_outcome(rank: int, source: Path, error: str | None, work: Work) -> bool:
    """Append an image's outcome to this rank's file and return True; False if no parent process asked for it."""
    if (folder := os.environ.get(OUTCOMES)) is None:
        return False
    with (Path(folder) / f"rank-{rank}.jsonl").open("a", encoding="utf-8") as file:
        facts = {"notices": list(work.notices.of(source)), "seconds": dict(work.stages.of(source))}
        file.write(json.dumps({"file": str(source), "error": error, **facts}) + "\n")
    return True


def _new_lines(file: Path, offsets: list[int], number: int) -> list[str]:
    """The complete lines that were appended since the last call; ``offsets[number]`` is moved behind them."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as opened:
        opened.seek(offsets[number])
        text = opened.read()
    whole = text.rpartition("\n")[0]
    if whole:
        offsets[number] += len((whole + "\n").encode())
    return whole.splitlines()


def _flag(name: str, value: Any) -> str:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Shard):
        return str(value)
    return "x".join(str(side) for side in value) if isinstance(value, tuple) else str(value)
