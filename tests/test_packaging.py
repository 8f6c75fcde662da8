"""What surrounds the code: versions that the metadata allows, and the commands of the hosting services' files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {found[1].lower(): found[2] for line in lines if (found := re.fullmatch(r"([\w.-]+)==([\w.]+)", line))}


def test_the_lowest_versions_are_those_of_the_metadata() -> None:
    lowest = pinned("constraints-lowest.txt")
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+).*", each) for group in groups for each in group]
    bounds = dict(each.groups() for each in found if each is not None)
    assert {name.lower() for name in bounds} == lowest.keys()
    for name, bound in bounds.items():
        assert re.fullmatch(rf"{re.escape(bound)}(\.\d+)*", lowest[name.lower()]), f"{name} is not pinned at {bound}"


def test_every_dependency_has_a_tested_version() -> None:
    tested = pinned("constraints.txt")
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for each in [each for group in groups for each in group]:
        name = re.split(r"[<>=\[]", each)[0].lower()
        assert name in tested, f"constraints.txt has no version of {name}"


def test_the_lowest_versions_are_installed_with_the_torch_that_is_asked_for() -> None:
    """The recipe writes constraints of its own, in which only torch may differ from the file."""
    recipe = MAKEFILE.partition("$(LOWEST)/.installed-test:")[2].partition("\n\n")[0]
    assert "grep -v '^torch==' constraints-lowest.txt" in recipe
    assert 'echo "$(TORCH)"' in recipe
    assert re.search(r"^TORCH \?= \$\(shell grep '\^torch==' constraints-lowest.txt\)$", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("name", [".github/workflows/tests.yml", ".github/workflows/release.yml", ".gitlab-ci.yml"])
def test_hosting_services_run_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    targets = re.findall(r"\bmake (\S+)", text)
    assert targets
    for target in targets:
        rule = target.replace(".venv/", "$(VENV)/")
        assert re.search(rf"^{re.escape(rule)}:", MAKEFILE, re.MULTILINE), f"{name} makes {target}, which is no target"
    python = PROJECT["requires-python"].removeprefix(">=")
    assert f'"{python}"' in text, f"{name} does not test Python {python}"
    for file in re.findall(r"constraints[\w-]*\.txt", text):
        assert (ROOT / file).exists()
