"""The form of the changelog, and its section for a tag, which becomes the notes of a release.

python -m release.changelog            # is the form right?
python -m release.changelog v0.2.0     # also: has this tag its section? It is printed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from release.version import order_of

ROOT = Path(__file__).resolve().parents[1]
UNRELEASED = "Unreleased"
GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(r"## \[(?P<name>[^\]]+)\](?: - (?P<date>\S+))?(?P<yanked> \[YANKED\])?")
_ADDRESS = re.compile(r"\[[^\]]+\]: \S")
"""The address that a heading links to, at the end of the file."""


class ChangelogError(ValueError):
    """One sentence on what is wrong in the changelog, and where."""


@dataclass
class Section:
    """One version's section, or that of what is not released yet."""

    name: str
    line: int
    date: datetime.date | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it has no entry."""
        return not any(line.startswith("- ") for lines in self.groups.values() for line in lines)

    def __str__(self) -> str:
        parts = [f"### {name}\n\n" + "\n".join(lines).strip("\n") for name, lines in self.groups.items()]
        return "\n\n".join(parts) + "\n"


def sections_of(text: str) -> dict[str, Section]:
    """All sections by version, newest first; raises ``ChangelogError`` where the form is another."""
    lines = text.splitlines()
    if not lines or lines[0] != "# Changelog":
        raise ChangelogError("line 1: the changelog begins with '# Changelog'")
    found: dict[str, Section] = {}
    group: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith("## "):
            section = _section(line, number, list(found.values()))
            if section.name in found:
                raise ChangelogError(f"line {number}: {section.name} has a section already, in line "
                                     f"{found[section.name].line}; put them together")  # fmt: skip
            found[section.name], group = section, None
        elif line.startswith("### "):
            name = line.removeprefix("### ")
            if not found:
                raise ChangelogError(f"line {number}: {line!r} stands before the first section")
            groups = found[next(reversed(found))].groups
            if name not in GROUPS:
                raise ChangelogError(f"line {number}: {name!r} is no group of changes; take one of {', '.join(GROUPS)}")
            if name in groups:
                raise ChangelogError(f"line {number}: the section has {name!r} already; put them together")
            group = groups.setdefault(name, [])
        elif found and line.strip() and not _ADDRESS.match(line):
            if group is None:
                raise ChangelogError(f"line {number}: an entry stands in a group, such as '### Added'")
            if not line.startswith(("- ", "  ")):
                raise ChangelogError(f"line {number}: an entry begins with '- ', and goes on behind two blanks")
            group.append(line)
        elif group is not None and not line.strip():
            group.append("")
    for section in found.values():
        for name, entries in section.groups.items():
            if not any(each.startswith("- ") for each in entries):
                raise ChangelogError(f"section {section.name}: the group {name!r} is empty; leave it out")
    return found


def _section(line: str, number: int, above: Sequence[Section]) -> Section:
    """The section that a heading opens below others, which are newer."""
    heading = _HEADING.fullmatch(line)
    if heading is None:
        raise ChangelogError(f"line {number}: {line!r} is not '## [{UNRELEASED}]' or '## [X.Y.Z] - YYYY-MM-DD'")
    name, told = heading["name"], heading["date"]
    if name == UNRELEASED:
        if above:
            raise ChangelogError(f"line {number}: {UNRELEASED} is the first section")
        if told or heading["yanked"]:
            raise ChangelogError(f"line {number}: {UNRELEASED} has no date")
        return Section(name, number)
    order = order_of(name)
    if order is None:
        raise ChangelogError(f"line {number}: {name!r} is no version, such as 0.2.0 or 0.2.0rc1")
    date = _date(told)
    if date is None:
        raise ChangelogError(f"line {number}: {name} has no date, such as '## [{name}] - 2026-01-31'")
    released = [each for each in above if each.date is not None]
    if released:
        newer = released[-1]
        if (order_of(newer.name) or order) < order:
            raise ChangelogError(
                f"line {number}: {name} stands below {newer.name}, which is older; the newest is first"
            )
        if newer.date is not None and newer.date < date:
            raise ChangelogError(f"line {number}: {name} is dated after {newer.name}, which stands above it")
    return Section(name, number, date)


def _date(text: str | None) -> datetime.date | None:
    if text is None or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def section_of_tag(text: str, tag: str) -> Section:
    """The section of a tag ``vX.Y.Z``; raises ``ChangelogError`` unless a release may be made with it."""
    version = tag.removeprefix("v")
    if version == tag or order_of(version) is None:
        raise ChangelogError(f"the tag {tag!r} is not 'v' and a version, such as v0.2.0 or v0.2.0rc1")
    found = sections_of(text)
    section = found.get(version)
    if section is None:
        raise ChangelogError(f"there is no section '## [{version}] - YYYY-MM-DD' for the tag {tag}")
    if section.is_empty:
        raise ChangelogError(f"line {section.line}: the section of {version} has no entry")
    unreleased = found.get(UNRELEASED)
    if unreleased is not None and not unreleased.is_empty:
        raise ChangelogError(f"line {unreleased.line}: {UNRELEASED} has entries, which are in {tag}; move them there")
    newest = next(name for name in found if name != UNRELEASED)
    if newest != version:
        raise ChangelogError(f"line {found[newest].line}: {newest} is newer than the tag {tag}")
    return section


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the section of a tag, or how many sections there are; 2 and one sentence where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m release.changelog", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tag", nargs="?", help="the tag of the release, such as v0.2.0")
    parser.add_argument("--file", type=Path, default=ROOT / "CHANGELOG.md", help="another changelog")
    given = parser.parse_args(arguments)
    try:
        text = given.file.read_text(encoding="utf-8")
        if given.tag is None:
            print(f"{given.file.name}: {len(sections_of(text))} sections")
        else:
            print(section_of_tag(text, given.tag), end="")
    except (OSError, UnicodeDecodeError, ChangelogError) as error:
        print(f"{given.file}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
