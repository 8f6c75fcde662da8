"""Check a release as a whole: its changelog, its archives, and what they do in a fresh environment.

python -m release [--output FOLDER] [--torch REQUIREMENT]

The archives are built from the checkout, and the wheel from the source archive. What is measured is printed and not
judged. It needs the package index, as every installation does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from release.archives import ROOT, faults, tracked, unpack
from release.changelog import ChangelogError, section_of_tag, sections_of
from release.environment import CheckError, Environment, ran, told, use

OUTPUT = ROOT / ".release"
LARGEST = 20 << 20
"""Bytes of an archive above which something lies in it that should not."""
TOOLS = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
"""The environment of commands that lie beside this Python."""
# Tests of the source archive that need no training: it builds the archives anew, and its pages and house are whole.
OF_THE_ARCHIVE = ("tests/test_release.py", "tests/test_packaging.py", "tests/test_house.py")


def tags_here() -> list[str]:
    """The version tags of the checked-out commit."""
    command = ["git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def check_changelog() -> None:
    """The changelog is well-formed and has a section for each tag of this commit."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    tags = tags_here()
    told(f"  {len(sections_of(text))} sections; tags of this commit: {', '.join(tags) or 'none'}")
    for tag in tags:
        section_of_tag(text, tag)


def build(folder: Path) -> tuple[Path, Path]:
    """The source archive, and the wheel built from it."""
    ran([sys.executable, "-m", "build", "--outdir", folder, ROOT], ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def version_of(wheel: Path) -> str:
    """The version in the name of a wheel."""
    return wheel.name.split("-")[1]


def check_archives(sdist: Path, wheel: Path) -> None:
    """The archives hold what they should, and their descriptions can be shown."""
    for archive in (sdist, wheel):
        told(f"  {archive.name}: {archive.stat().st_size / 2**20:.2f} MiB")
        if archive.stat().st_size > LARGEST:
            raise CheckError(f"{archive.name} is larger than {LARGEST >> 20} MiB; what lies in it?")
    names = tracked()
    found = [sentence for archive in (sdist, wheel) for sentence in faults(archive, names)]
    if found:
        raise CheckError("; ".join(found[:10]))
    tags = [tag.removeprefix("v") for tag in tags_here()]
    if tags and version_of(wheel) not in tags:
        raise CheckError(
            f"the tag says {', '.join(tags)}, but the wheel {version_of(wheel)}; are there uncommitted changes?"
        )
    ran([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], ROOT)
    ran(["check-wheel-contents", wheel], ROOT, TOOLS)


def check_citation() -> None:
    """``CITATION.cff`` is valid."""
    ran(["cffconvert", "--validate", "--infile", "CITATION.cff"], ROOT, TOOLS)


def check_source(sdist: Path, folder: Path) -> None:
    """The unpacked source archive can be tested: all its tests are collected, and some are run."""
    unpack(sdist, folder)
    (root,) = folder.iterdir()
    seen = os.environ | {"PYTHONPATH": os.pathsep.join(str(root / each) for each in ("", "plugins", "datasets"))}
    ran([sys.executable, "-m", "pytest", "--collect-only", "-qq"], root, seen)
    ran([sys.executable, "-m", "pytest", *OF_THE_ARCHIVE], root, seen)


def check_image(wheel: Path) -> None:
    """The container is built and used without a network, where a Docker engine runs."""
    engine = shutil.which("docker")
    if engine is None or subprocess.run([engine, "info"], capture_output=True, check=False).returncode:
        told("  not built: no Docker engine runs here; tests/test_release.py checks the Dockerfile's text")
        return
    tag = "translate-release-check"
    ran([engine, "build", "--tag", tag, "."], ROOT)
    found = ran([engine, "run", "--rm", "--network", "none", "--read-only", tag, "--version"], ROOT)
    if version_of(wheel) not in found.split():
        raise CheckError(f"the image is of another version than {version_of(wheel)}: {found.strip()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks in turn; 1 and one sentence at the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m release", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the archives; it is made anew")
    parser.add_argument("--torch", default="torch", help="the torch that is installed, such as torch==2.13.0")
    given = parser.parse_args(arguments)
    if given.output.exists() and not (given.output / ".release-check").exists():
        print(f"release: {given.output} is there and was not made by this command; name another", file=sys.stderr)
        return 2
    shutil.rmtree(given.output, ignore_errors=True)
    given.output.mkdir(parents=True)
    (given.output / ".release-check").touch()
    try:
        _check(given.output.resolve(), given.torch)
    except (CheckError, ChangelogError, OSError, subprocess.CalledProcessError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    told(f"\nAll is well. The archives lie in {given.output / 'dist'}.")
    return 0


def _check(output: Path, torch: str) -> None:
    with _step("Changelog"):
        check_changelog()
    with _step("Citation"):
        check_citation()
    with _step("Archives"):
        sdist, wheel = build(output / "dist")
        check_archives(sdist, wheel)
    with _step("Source archive"), tempfile.TemporaryDirectory() as folder:
        check_source(sdist, Path(folder))
    with _step("Installation"), tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        environment.install(torch, constraints=ROOT / "constraints.txt")
        environment.install(wheel, constraints=ROOT / "constraints.txt")
        use(environment, version_of(wheel))
    with _step("Container"):
        check_image(wheel)


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Head what is printed, and say how long it took."""
    started = time.perf_counter()
    told(f"\n{name}")
    yield
    told(f"  {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    raise SystemExit(main())
