"""Conversion on several devices: the command again for each, which converts its share and writes down what became."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.launching import LostError, launch
from translate.plugins import Catalog

OUTCOMES = "TRANSLATE_OUTCOMES"
"""The environment variable that names the folder of a share's outcomes."""


def convert_together(
    run: Path,
    source: Path,
    target: Path,
    options: Mapping[str, Any],
    *,
    catalog: Catalog,
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on several devices and yield each image with the reason why it failed, None where it did not.

    Observers are outcomes while the devices work. Raises ``LostError`` if one of them dies; what was converted stays.
    """
    devices: int = options["devices"]
    flags = [f"--plugin={name}" for name in plugins] + [f"--no-plugin={name}" for name in no_plugins]
    own = {name: value for name, value in options.items() if name != "devices" and value not in (None, "")}
    asked = [f"--{name.replace('_', '-')}={_text(value)}" for name, value in own.items()]
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place) / f"rank-{rank}.jsonl" for rank in range(devices)]
        outcomes: list[tuple[Path, str | None]] = []
        places = [0] * devices

        def follow() -> None:
            for number, file in enumerate(files):
                for line in _new_lines(file, places, number):
                    found = json.loads(line)
                    outcomes.append((Path(found["file"]), found["error"]))
                    catalog.tell("image_converted", source=outcomes[-1][0], error=outcomes[-1][1])

        arguments = [*flags, "convert", str(run), str(source), str(target), *asked]
        try:
            launch(arguments, devices, {OUTCOMES: place}, follow)
        except LostError as error:
            raise LostError(
                f"{error}; {len(outcomes)} images were converted or named, convert the rest again"
            ) from None
        follow()
        yield from outcomes


def write_down(rank: int, source: Path, error: str | None) -> bool:
    """Write down what became of an image of this rank's share, if somebody started it who reads that."""
    if (place := os.environ.get(OUTCOMES)) is None:
        return False
    with (Path(place) / f"rank-{rank}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"file": str(source), "error": error}) + "\n")
    return True


def _new_lines(file: Path, places: list[int], number: int) -> list[str]:
    """The whole lines that have come since the last look."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as opened:
        opened.seek(places[number])
        text = opened.read()
    whole = text.rpartition("\n")[0]
    if whole:
        places[number] += len((whole + "\n").encode())
    return whole.splitlines()


def _text(value: Any) -> str:
    return "x".join(str(side) for side in value) if isinstance(value, tuple) else str(value)
