"""Stored plan: which outputs each image below a folder gets, kept with the outputs.

Names that collide are resolved once, over the whole listing, and images that come later are added at the end. So shards
and later conversions agree on every name and on every image's number, whatever was added or has gone since.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from translate import atomic, images
from translate.conversion.lines import line_of, read_lines, refuse_newer
from translate.conversion.manifest import FOLDER, unwritable
from translate.conversion.plan import format_of, name_outputs

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("translate")

VERSION = 1


@dataclass(frozen=True, slots=True)
class Naming:
    """How outputs are named: the ``rule`` for suffixes, the number of samples, and the text before the suffix."""

    rule: Callable[[str], str]
    samples: int | None = None
    added: str = ""

    @property
    def key(self) -> str:
        """A short name of it, the same for the same names."""
        suffixes = [self.rule(suffix) for suffix in (*sorted(images.READABLE), ".other")]
        facts = json.dumps([suffixes, self.samples, self.added]).encode()
        return hashlib.blake2b(facts, digest_size=6).hexdigest()


@dataclass(slots=True)
class StoredPlan:
    """The outputs of each image, by its name in the order of the plan; ``root`` is the inputs' folder at first."""

    root: str
    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a plan; None if there is none, or none that is whole.

        Raises ``TranslateError`` for one of a newer version.
        """
        lines = read_lines(path)
        first = next(lines, None)
        if first is not None:
            refuse_newer(path, first, VERSION)
        if first is None or first.get("version") != VERSION or not isinstance(first.get("root"), str):
            return None
        outputs: dict[str, tuple[str, ...]] = {}
        for line in lines:
            name, paths = line.get("name"), line.get("outputs")
            # What leads out of the folder, or cannot be written, is none of ours.
            if isinstance(name, str) and isinstance(paths, list) and paths and all(map(_is_output, paths)):
                outputs[name] = tuple(paths)
        made = [path for paths in outputs.values() for path in paths]
        if len(outputs) != first.get("count") or len(set(made)) < len(made):
            return None
        return cls(first["root"], outputs)

    def extend(self, names: Sequence[str], naming: Naming) -> bool:
        """Add the images that are new; return whether there are any."""
        new = [name for name in names if name not in self.outputs]
        if new:
            others = (path for paths in self.outputs.values() for path in paths)
            named = name_outputs(new, naming.rule, naming.samples, naming.added, others=others)
            self.outputs |= zip(new, named, strict=True)
        return bool(new)

    def to_bytes(self) -> bytes:
        """The plan as lines with checksums."""
        first = line_of({"version": VERSION, "root": self.root, "count": len(self.outputs)})
        return first + b"".join(line_of({"name": name, "outputs": list(paths)}) for name, paths in self.outputs.items())


def planned(target: Path, root: Path, names: Sequence[str], naming: Naming, *, store: bool = True) -> StoredPlan:
    """The plan of the outputs' folder for this naming, extended by new names; raises ``TranslateError`` on a bad disk.

    With ``store`` it is kept in ``.translate/`` of the folder, which is made.
    """
    path = target / FOLDER / f"plan-{naming.key}.jsonl"
    if not store:
        plan = StoredPlan.read(path) or StoredPlan(os.path.realpath(root))
        plan.extend(names, naming)
        return plan
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.parent):
            atomic.sweep(path.parent)
            known = StoredPlan.read(path)
            if known is None and path.exists():
                log.warning("%s is damaged and made anew: outputs whose names collided may have others now", path)
            plan = known or StoredPlan(os.path.realpath(root))
            if plan.extend(names, naming):
                atomic.write(path, plan.to_bytes())
    except OSError as error:
        raise unwritable(target, error) from None
    return plan


def _is_output(path: object) -> bool:
    if not isinstance(path, str) or os.path.isabs(path) or ".." in path.split("/"):  # noqa: PTH117
        return False
    return format_of(posixpath.splitext(path)[1]) is not None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other writers of a folder's plan out, where the file system has locks; elsewhere the last one wins."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder / "plan.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
