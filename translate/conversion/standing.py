"""Standing: which images of a plan are converted already, and which outputs are somebody else's."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from translate.conversion.manifest import Entry, Making, Manifest
from translate.conversion.partners import same_partners
from translate.conversion.plan import Task, same_name
from translate.conversion.stamps import Stamp
from translate.errors import TranslateError


@dataclass(slots=True)
class Standing:
    """What there is to do: ``todo``, what is ``kept``, and how many are done ``again``, by the reason."""

    todo: list[Task] = field(default_factory=list)
    kept: list[Task] = field(default_factory=list)
    again: Counter[str] = field(default_factory=Counter)


def refuse_twins(tasks: Iterable[Task]) -> None:
    """Raise ``TranslateError`` for two images whose names differ only in case or Unicode form.

    On some file systems their outputs would be one file, and which of them it shows would depend on chance.
    """
    seen: dict[str, Task] = {}
    for task in tasks:
        twin = seen.setdefault(same_name(task.name), task)
        if twin is not task:
            # Unicode forms look alike, so they are shown as escapes.
            same = unicodedata.normalize("NFC", twin.name) == unicodedata.normalize("NFC", task.name)
            one, other = (ascii(str(each.source)) if same else each.source for each in (twin, task))
            raise TranslateError(
                f"{one} and {other} have names that differ only in case or Unicode form, which some file "
                "systems do not tell apart; rename one of them, or convert them into different folders"
            )


def refuse_within(tasks: Sequence[Task], target: Path, folders: Sequence[Path]) -> None:
    """Raise ``TranslateError`` if outputs would lie within a folder of inputs, or replace an input."""
    destination = target.resolve()
    for folder in folders:
        origin = folder.resolve()
        if destination == origin or destination.is_relative_to(origin):
            where = "the folder to convert" if destination == origin else f"inside {folder}"
            raise TranslateError(f"{target} is {where}, so outputs would mix with inputs; name a folder outside of it")
    for link, real in _linked(tasks, folders).items():
        if destination == real or destination.is_relative_to(real):
            raise TranslateError(
                f"{target} is inside {link}, a link among the folders to convert, so outputs would mix with inputs; "
                "name another folder"
            )
    inner = [folder.resolve().relative_to(destination).as_posix() for folder in folders if _below(folder, destination)]
    outputs = [output for task in tasks for output in task.outputs]
    # Only a file that is there can be one of the images.
    existing = [output for output in outputs if os.path.lexists(output)]
    sources = {os.path.realpath(task.source) for task in tasks} if existing else set()
    for output in outputs if inner else ():
        place = output.relative_to(target).as_posix()
        if any(place.startswith(f"{each}/") for each in inner):
            raise TranslateError(f"{output} would be written among the inputs; name another folder")
    for output in existing:
        if os.path.realpath(output) in sources:
            raise TranslateError(
                f"{output} is an image to convert and would be overwritten; name another folder for the outputs"
            )


def _linked(tasks: Iterable[Task], folders: Sequence[Path]) -> dict[Path, Path]:
    """The folders of images that links lead to, below the folders of inputs, with where they really are."""
    found: dict[Path, Path] = {}
    seen: set[Path] = set(folders)
    for place in {task.source.parent for task in tasks}:
        while place not in seen and place != place.parent:
            seen.add(place)
            if place.is_symlink() and any(place.is_relative_to(folder) for folder in folders):
                found[place] = place.resolve()
            place = place.parent
    return found


def refuse_foreign(tasks: Sequence[Task], target: Path, *, moved_from: str | None) -> None:
    """Raise ``TranslateError`` if an output exists that no conversion into this folder has made of the same image.

    An output is ours if the manifest knows it and its bytes have not changed, or if it was begun and its line was lost.
    ``moved_from`` is the folder that earlier inputs came from, if it was another: then an image of the same name that
    is not the same file is somebody else's, too.
    """
    existing = [task for task in tasks if any(os.path.lexists(output) for output in task.outputs)]
    if not existing:
        return
    # Read after the files were seen: another writer tells what it begins before it writes it.
    manifest = Manifest.read(target)
    owners = manifest.owners()
    foreign: list[Path] = []
    for task in existing:
        if moved_from is not None and not any(
            entry.source.fits(task.source) for entry in manifest.entries.get(task.name, ())
        ):
            foreign += [output for output in task.outputs if os.path.lexists(output)]
            continue
        foreign += [output for output in task.outputs if not _is_ours(output, target, task.name, owners, manifest)]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        verb = "exist" if more else "exists"
        why = f"made of other images, those of {moved_from}" if moved_from else "not made by a conversion of this image"
        raise TranslateError(
            f"{foreign[0]}{more} {verb} already, {why}; name another folder, or replace it with --overwrite"
        )


def stand(
    tasks: Sequence[Task],
    target: Path,
    making: Making,
    *,
    verify: bool,
    again: bool,
    partners: Callable[[str], Mapping[str, Path | None]] = lambda _: {},
) -> Standing:
    """Sort a plan's images: an image is kept if its file, its outputs, and how they are made are all unchanged.

    ``partners(name)`` are the files that an image is given beside, which must be unchanged, too. ``verify`` compares
    all bytes instead of sizes and times; ``again`` keeps nothing.
    """
    standing = Standing()
    manifest = Manifest() if again else Manifest.read(target)
    for task in tasks:
        entries = manifest.entries.get(task.name, [])
        reason = _why_again(task, target, entries, making, manifest, partners, verify=verify)
        if reason is None:
            standing.kept.append(task)
        else:
            standing.todo.append(task)
            if reason:
                standing.again[reason] += 1
    return standing


def _why_again(
    task: Task,
    target: Path,
    entries: Sequence[Entry],
    making: Making,
    manifest: Manifest,
    partners: Callable[[str], Mapping[str, Path | None]],
    *,
    verify: bool,
) -> str | None:
    """Why an image is to be converted: None if it need not be, an empty text if it is the first time."""
    if not entries:
        return ""
    wanted = [path.relative_to(target).as_posix() for path in task.outputs]
    key = making.key
    reason = ""
    for entry in reversed(entries):
        if entry.made != key:
            found = _made_by(manifest.makings.get(entry.made), making)
        elif [path for path, _ in entry.outputs] != wanted:
            found = "another name"
        elif not entry.source.fits(task.source, verify=verify):
            found = "a changed file"
        elif not same_partners(dict(entry.partners), partners(task.name), verify=verify):
            found = "a changed partner"
        elif not all(stamp.fits(target / path, verify=verify) for path, stamp in entry.outputs):
            found = "an output that is gone or changed"
        else:
            return None
        reason = reason or found
    return reason


def _made_by(made: Making | None, making: Making) -> str:
    """What makes the difference between two ways of making."""
    if made is None or made.translator != making.translator:
        return "another translator"
    one, other = (replace(each, options={**each.options, "calibration": None}).key for each in (made, making))
    return "another calibration" if one == other else "other options"


def _is_ours(
    output: Path, target: Path, name: str, owners: Mapping[str, Sequence[tuple[str, Stamp]]], manifest: Manifest
) -> bool:
    if not os.path.lexists(output):
        return True
    path = output.relative_to(target).as_posix()
    if any(owner == name and stamp.fits(output) for owner, stamp in owners.get(path, ())):
        return True
    try:
        found = output.lstat()
    except OSError:
        return True
    # Begun, but its line was lost with the process that wrote it.
    return any(begun.fits(found) for begun in manifest.begun.get(path, ()))


def _below(folder: Path, destination: Path) -> bool:
    return folder.resolve().is_relative_to(destination)
