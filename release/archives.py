"""What the archives of a release hold, against the files that git knows: nothing is missing, nothing is added."""

from __future__ import annotations

import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
"""What a wheel says of itself."""


def tracked(root: Path = ROOT, *, new: bool = False) -> list[str]:
    """The files of a checkout that git knows, with slashes, but for removed ones; ``new`` ones may be added soon."""
    options = ["--cached", "--others", "--exclude-standard"] if new else []
    done = subprocess.run(["git", "ls-files", "-z", *options], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (root / name).is_file()]


def targets() -> Mapping[str, Any]:
    """The settings of the archives in ``pyproject.toml``."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]
    return found


def of_wheel(names: Iterable[str], packages: Iterable[str]) -> set[str]:
    """What of the files a wheel holds: all of its packages, each under its own name.

    >>> of_wheel(["plugins/translate_cut/py.typed", "plugins/other.py"], ["plugins/translate_cut"])
    {'translate_cut/py.typed'}
    """
    return {
        name.removeprefix(package.rpartition("/")[0]).removeprefix("/")
        for package in packages
        for name in names
        if name.startswith(f"{package}/")
    }


def of_sdist(names: Iterable[str], left_out: Iterable[str]) -> set[str]:
    """What of the files a source archive holds: all but the folders that are left out, and what is made for it.

    >>> sorted(of_sdist(["README.md", "results/1.json"], ["/results"]))
    ['PKG-INFO', 'README.md']
    """
    folders = tuple(f"{each.strip('/')}/" for each in left_out)
    return {name for name in names if not name.startswith(folders)} | {"PKG-INFO"}


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a source archive into a folder."""
    # Early releases of Python 3.11 know no filters, and later ones want to be told which.
    filters: Mapping[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as opened:
        opened.extractall(folder, **filters)


def packed(archive: Path) -> set[str]:
    """The files of a wheel, or those of a source archive without the folder that all lie in."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {name for name in opened.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as opened:
        return {member.name.partition("/")[2] for member in opened.getmembers() if not member.isdir()}


def faults(archive: Path, names: Iterable[str]) -> Iterator[str]:
    """What an archive lacks of the checkout's files, and what it has and should not, a sentence each."""
    settings, names, found = targets(), list(names), packed(archive)
    if archive.suffix == ".whl":
        own = {name for name in found if name.partition("/")[0].endswith(".dist-info")}
        inner = {name.partition("/")[2] for name in own}
        yield from (f"{archive.name} lacks {name} of its description" for name in sorted(METADATA - inner))
        yield from (f"{archive.name} has {name} in its description, too" for name in sorted(inner - METADATA))
        wanted, found = of_wheel(names, settings["wheel"]["packages"]), found - own
    else:
        wanted = of_sdist(names, settings["sdist"]["exclude"])
    yield from (f"{archive.name} lacks {name}" for name in sorted(wanted - found))
    yield from (f"{archive.name} has {name}, which git does not know or is left out" for name in sorted(found - wanted))
