"""The version of a checkout, by the tags of git; the build backend asks for it, and nothing but Python is needed.

- A commit with the tag ``vX.Y.Z`` is X.Y.Z. A later one, or one with changes, precedes the next version and names its
  commit: ``X.Y.(Z+1).dev5+g1a2b3c4d5``, and ``.dirty`` behind it with changes.
- Where the tags are not there (a shallow clone, one without tags, a copy without git), the newest version in the
  changelog stands for them, and the result says so: ``X.Y.(Z+1).dev0+untagged.g1a2b3c4d5``.
- An archive that git has made (``git archive``, or a hosting service by it) knows its tag by ``.git_archival.txt``.
- A source archive holds its version in ``PKG-INFO``, and the build backend takes that without asking here.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

FIRST = "0.1.0"
"""The version that comes when none has been released."""

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:(a|b|rc)(0|[1-9]\d*))?")
_FINAL = "zz"
"""Sorts behind ``a``, ``b`` and ``rc``: a version is newer than its own previews."""
_RELEASED = re.compile(r"^## \[([^\]]+)\] - ", re.MULTILINE)
_DESCRIBED = re.compile(r"v(?P<version>.+?)(?:-(?P<distance>\d+)-g[0-9a-f]+)?")
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


def order_of(version: str) -> tuple[int, int, int, str, int] | None:
    """What a version is sorted by, or None where it is no version ``X.Y.Z``, ``X.Y.Za1``, ``b1`` or ``rc1``.

    >>> order_of("0.10.0") > order_of("0.10.0rc2") > order_of("0.9.1")
    True
    >>> order_of("1.0"), order_of("v1.0.0"), order_of("01.0.0")
    (None, None, None)
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3]), found[4] or _FINAL, int(found[5] or 0)


def following(version: str) -> str:
    """The version whose development a later commit belongs to.

    >>> following("0.1.9"), following("1.0.0rc1")
    ('0.1.10', '1.0.0rc2')
    """
    head, number = re.fullmatch(r"(.*\D)(\d+)", version).groups()  # type: ignore[union-attr]
    return f"{head}{int(number) + 1}"


def version_of(root: Path) -> str:
    """The version of the checkout or the copy in a folder, as the module's text says."""
    commit = _git(root, "rev-parse", "--short=9", "HEAD") if (root / ".git").exists() else None
    if commit is None:
        return _of_archive(root)
    tags = _git(root, "tag", "--merged", "HEAD", "--list", "v[0-9]*") or ""
    known = [tag.removeprefix("v") for tag in tags.split() if order_of(tag.removeprefix("v"))]
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    local = f"g{commit}" + (".dirty" if changed else "")
    if not known:
        return _untagged(root, local)
    newest = max(known, key=lambda each: order_of(each) or ())
    distance = int(_git(root, "rev-list", "--count", f"v{newest}..HEAD") or 0)
    return f"{following(newest)}.dev{distance}+{local}" if distance or changed else newest


def _of_archive(root: Path) -> str:
    """The version of files without git, which an archive's commit tells, or else the changelog alone."""
    path = root / ".git_archival.txt"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if "$Format" in text:
        text = ""
    told = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    commit = told.get("commit", "")[:9]
    described = _DESCRIBED.fullmatch(told.get("describe", ""))
    if described is None or order_of(described["version"]) is None:
        return _untagged(root, f"g{commit}" if commit else "")
    if described["distance"] is None:
        return described["version"]
    return f"{following(described['version'])}.dev{described['distance']}+g{commit}"


def _untagged(root: Path, local: str) -> str:
    """The version that the changelog tells, where no tag does."""
    path = root / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    released = next((name for name in _RELEASED.findall(text) if order_of(name)), None)
    coming = following(released) if released else FIRST
    return ".".join(filter(None, (f"{coming}.dev0+untagged", local)))


def _git(root: Path, *arguments: str) -> str | None:
    """What a command of git prints about the checkout in a folder, or None without git or where it refuses."""
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], env=environment, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version() -> str:
    """The version of this checkout."""
    return version_of(Path(__file__).resolve().parents[1])
