"""What makes a release: versions by tag, the changelog, the archives, the container and the workflow that publishes."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import translate
from release import archives, changelog
from release.__main__ import main as check_release
from release.environment import CheckError, Environment, ran
from release.version import following, order_of, version_of
from translate import version as installed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHECKOUT = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a copy without git")


def git(folder: Path, *arguments: str) -> str:
    """A command of git without the settings of a user."""
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder)}
    names = {
        f"GIT_{who}_{what}": f"{what}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(
        command, env=os.environ | alone | names, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit, with what decides a version."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", encoding="utf-8")
    for name in (".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, folder / name)
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "one")
    return git(folder, "rev-parse", "--short=9", "HEAD")


def released(folder: Path, version: str) -> None:
    path = folder / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8")
    entry = f"## [Unreleased]\n\n## [{version}] - 2026-01-31\n\n### Added\n\n- One.\n"
    path.write_text(text.replace("## [Unreleased]\n", entry), encoding="utf-8")


# --- versions by tag --------------------------------------------------------------------------------------------------


def test_a_tag_is_the_version_of_its_commit_and_later_ones_precede_the_next(repository: Path) -> None:
    git(repository, "tag", "v0.2.0")
    assert version_of(repository) == "0.2.0"
    commit(repository)
    last = commit(repository)
    assert version_of(repository) == f"0.2.1.dev2+g{last}"
    git(repository, "tag", "-a", "v0.10.0rc1", "-m", "a preview")
    assert version_of(repository) == "0.10.0rc1"
    git(repository, "tag", "v0.10.0")
    assert version_of(repository) == "0.10.0", "of several tags the newest version counts, not the last made"
    git(repository, "tag", "v0.9.0")
    assert version_of(repository) == "0.10.0"


def test_changed_files_are_no_release_and_new_ones_do_not_matter(repository: Path) -> None:
    git(repository, "tag", "v1.0.0rc1")
    (repository / "new.txt").touch()
    assert version_of(repository) == "1.0.0rc1"
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n", encoding="utf-8")
    assert version_of(repository) == f"1.0.0rc2.dev0+g{git(repository, 'rev-parse', '--short=9', 'HEAD')}.dirty"


@pytest.mark.parametrize("tag", ["v1", "v1.0", "1.0.0", "v01.0.0", "v1.0.0-beta", "vision", "v1.0.0.post1"])
def test_other_tags_are_no_versions(repository: Path, tag: str) -> None:
    git(repository, "tag", tag)
    assert version_of(repository) == f"0.1.0.dev0+untagged.g{git(repository, 'rev-parse', '--short=9', 'HEAD')}"


def test_tags_of_other_branches_do_not_count(repository: Path) -> None:
    git(repository, "tag", "v0.2.0")
    git(repository, "checkout", "--quiet", "-b", "other")
    commit(repository)
    git(repository, "tag", "v0.3.0")
    git(repository, "checkout", "--quiet", "main")
    assert version_of(repository) == "0.2.0"


def test_a_clone_without_tags_takes_the_changelogs_newest_version_and_says_so(repository: Path, tmp_path: Path) -> None:
    released(repository, "0.2.0")
    released(repository, "0.3.0")
    last = commit(repository)
    git(repository, "tag", "v0.3.0")
    for name, options in {"shallow": ("--depth=1",), "whole": ()}.items():
        git(tmp_path, "clone", "--quiet", "--no-tags", *options, repository.as_uri(), name)
        assert version_of(tmp_path / name) == f"0.3.1.dev0+untagged.g{last}"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=v0.3.0", repository.as_uri(), "tagged")
    assert version_of(tmp_path / "tagged") == "0.3.0"


def test_a_copy_without_git_takes_the_changelogs_newest_version(repository: Path, tmp_path: Path) -> None:
    released(repository, "0.2.0")
    git(repository, "tag", "v0.7.0")
    shutil.copytree(repository, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    assert version_of(tmp_path / "copy") == "0.2.1.dev0+untagged"
    # Within another repository, whose tags say nothing of it.
    shutil.copytree(tmp_path / "copy", repository / "inner")
    assert version_of(repository / "inner") == "0.2.1.dev0+untagged"
    (tmp_path / "copy" / "CHANGELOG.md").unlink()
    assert version_of(tmp_path / "copy") == "0.1.0.dev0+untagged"


def test_without_git_a_checkout_is_a_copy(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repository, "tag", "v0.7.0")
    monkeypatch.setenv("PATH", str(repository))
    assert version_of(repository) == "0.1.0.dev0+untagged"


def test_an_archive_that_git_made_knows_its_tag(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v0.2.0")
    expected = {"v0.2.0": "0.2.0"}
    expected["HEAD"] = f"0.2.1.dev1+g{commit(repository)}"
    for name, version in expected.items():
        folder = tmp_path / name
        git(repository, "archive", "--output", str(tmp_path / "made.tar"), name)
        archives.unpack(tmp_path / "made.tar", folder)
        assert version_of(folder) == version
    (tmp_path / "HEAD" / ".git_archival.txt").write_text("commit: 0123456789abcdef\ndescribe: \n", encoding="utf-8")
    assert version_of(tmp_path / "HEAD") == "0.1.0.dev0+untagged.g012345678"


def test_a_hooks_variables_do_not_lead_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "tag", "v0.2.0")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert version_of(repository) == "0.2.0"


def test_every_version_is_one_that_pip_orders_as_it_is_meant() -> None:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    texts = [
        "0.1.0.dev0+untagged", "0.1.0.dev7+g012345678.dirty", "0.1.0rc1", f"{following('0.1.0rc1')}.dev1+g012345678",
        "0.1.0", f"{following('0.1.0')}.dev0+untagged.g012345678", "0.1.1", "0.2.0",
    ]  # fmt: skip
    versions = [Version(text) for text in texts]
    assert versions == sorted(versions)
    plain = [text for text in texts if order_of(text)]
    assert plain == sorted(plain, key=lambda each: order_of(each) or ()) == ["0.1.0rc1", "0.1.0", "0.1.1", "0.2.0"]
    # What the examples ask for is met by every checkout of that minor version.
    project = tomllib.loads((ROOT / "examples" / "translate-residual" / "pyproject.toml").read_text(encoding="utf-8"))
    (asked,) = project["project"]["dependencies"]
    allowed = SpecifierSet(asked.removeprefix("image-translate"))
    assert [text for text in texts if allowed.contains(text, prereleases=True)] == texts[:-1]


# --- the version as it is told ----------------------------------------------------------------------------------------


class Found(SimpleNamespace):
    """An installation, as ``importlib.metadata`` tells it."""

    def read_text(self, name: str) -> str | None:
        return self.note if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("version", "note", "told"),
    [
        ("0.2.0", None, "0.2.0"),
        ("0.2.1.dev5+g1a2b3c4d5", '{"url": "file:///x", "dir_info": {}}', "0.2.1.dev5+g1a2b3c4d5"),
        ("0.2.1.dev5+g1a2b3c4d5", '{"url": "file:///x", "dir_info": {"editable": true}}', "0.2.1.dev5+editable"),
        ("0.2.0", '{"dir_info": {"editable": true}}', "0.2.0+editable"),
        ("0.2.0", "no JSON", "0.2.0"),
        ("0.2.0", '["editable"]', "0.2.0"),
        (None, None, "0+unknown"),
    ],
)
def test_the_installed_version_is_told(
    monkeypatch: pytest.MonkeyPatch, version: str | None, note: str | None, told: str
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Found(version=version, note=note))
    assert installed.installed_version() == told


def test_the_version_is_asked_for_when_it_is_used_and_is_that_of_the_installation() -> None:
    assert translate.__version__ == installed.__version__ == installed.installed_version()
    assert translate.__version__.partition("+")[0] == metadata.version("image-translate").partition("+")[0]
    code = "import sys, translate; print('importlib.metadata' in sys.modules); translate.__version__; print('torch' in sys.modules)"
    seen = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, env=_bare())
    assert seen.stdout.split() == ["False", "False"], seen.stderr


def _bare() -> dict[str, str]:
    """The variables for a Python without site packages, in which whatever is imported was asked for."""
    needed = [str(ROOT), str(Path(sys.modules["pluggy"].__file__ or "").parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(needed)}


# --- the changelog ----------------------------------------------------------------------------------------------------

GOOD = """# Changelog

The format follows [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).

## [Unreleased]

## [0.2.0] - 2026-02-28

### Added

- A thing, which takes
  two lines.

### Fixed

- Another.

## [0.1.1] - 2026-02-01 [YANKED]

### Security

- One.

## [0.1.0] - 2026-02-01

### Added

- All.

[0.2.0]: https://example.org/0.2.0
"""


def test_the_projects_changelog_is_well_formed(capsys: pytest.CaptureFixture[str]) -> None:
    assert changelog.main([]) == 0, capsys.readouterr().err
    assert next(iter(changelog.sections_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))) == "Unreleased"


@CHECKOUT
def test_each_tag_of_this_commit_has_its_section() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for tag in git(ROOT, "tag", "--points-at", "HEAD", "--list", "v[0-9]*").split():
        assert not changelog.section_of_tag(text, tag).is_empty


def test_the_section_of_a_tag_is_printed_as_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text(GOOD, encoding="utf-8")
    assert changelog.main(["v0.2.0", "--file", str(path)]) == 0
    assert capsys.readouterr().out == ("### Added\n\n- A thing, which takes\n  two lines.\n\n### Fixed\n\n- Another.\n")
    assert list(changelog.sections_of(GOOD)) == ["Unreleased", "0.2.0", "0.1.1", "0.1.0"]


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("v0.3.0", r"there is no section '## \[0.3.0\] - YYYY-MM-DD' for the tag v0.3.0"),
        ("0.2.0", "the tag '0.2.0' is not 'v' and a version"),
        ("v0.2", "the tag 'v0.2' is not 'v' and a version"),
        ("v0.1.0", "line 7: 0.2.0 is newer than the tag v0.1.0"),
    ],
)
def test_a_tag_without_its_section_is_refused(tag: str, sentence: str) -> None:
    with pytest.raises(changelog.ChangelogError, match=sentence):
        changelog.section_of_tag(GOOD, tag)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- More.\n", "line 5: Unreleased has entries"),
        ("- Another.\n", "", "section 0.2.0: the group 'Fixed' is empty"),
        ("- A thing, which takes\n  two lines.\n\n### Fixed\n\n- Another.\n", "", "the group 'Added' is empty"),
        ("### Added\n\n- A thing, which takes\n  two lines.\n\n### Fixed\n\n- Another.\n", "", "0.2.0 has no entry"),
        ("### Fixed", "### Bugs", "line 14: 'Bugs' is no group of changes"),
        ("### Fixed", "### Added", "line 14: the section has 'Added' already"),
        ("### Added\n\n- A thing", "- A thing", "line 9: an entry stands in a group"),
        ("  two lines", "two lines", "line 12: an entry begins with '- '"),
        (" - 2026-02-28", "", "line 7: 0.2.0 has no date"),
        (" - 2026-02-28", " - unreleased", "line 7: 0.2.0 has no date"),
        (" - 2026-02-28", " - 2026-02-30", "line 7: 0.2.0 has no date"),
        (" - 2026-02-28", " - 28.2.2026", "line 7: 0.2.0 has no date"),
        (" - 2026-02-28", " - 2026-01-28", "line 18: 0.1.1 is dated after 0.2.0"),
        ("## [0.2.0]", "## 0.2.0", "line 7: '## 0.2.0 - 2026-02-28' is not"),
        ("## [0.2.0]", "## [0.2]", "line 7: '0.2' is no version"),
        ("## [0.2.0]", "## [0.1.0]", "line 18: 0.1.1 stands below 0.1.0, which is older"),
        ("## [0.1.1]", "## [0.2.0]", "line 18: 0.2.0 has a section already, in line 7"),
        ("## [0.1.1] - 2026-02-01 [YANKED]", "## [Unreleased]", "line 18: Unreleased is the first section"),
        ("# Changelog", "Changes", "line 1: the changelog begins with"),
    ],
)  # fmt: skip
def test_a_changelog_of_another_form_is_refused(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(changelog.ChangelogError, match=re.escape(sentence)):
        changelog.section_of_tag(GOOD.replace(old, new, 1), "v0.2.0")


def test_the_command_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "CHANGELOG.md"
    assert changelog.main(["--file", str(path)]) == 2
    path.write_bytes(b"# Changelog\n\xff")
    assert changelog.main(["--file", str(path)]) == 2
    path.write_text(GOOD, encoding="utf-8")
    assert changelog.main(["v9.9.9", "--file", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


# --- the archives -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, built by the backend itself."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@CHECKOUT
def test_the_source_archive_holds_what_git_knows_and_no_results(sdist: Path) -> None:
    assert list(archives.faults(sdist, archives.tracked(new=True))) == []
    held = archives.packed(sdist)
    for name in (
        "Makefile",
        "constraints-lowest.txt",
        "tests/test_release.py",
        "translate/serving/page.js",
        "Dockerfile",
    ):
        assert name in held
    assert not [name for name in held if name.endswith(".json") or "__pycache__" in name or name.startswith("runs/")]


def test_the_source_archive_knows_its_version_without_git(sdist: Path, tmp_path: Path) -> None:
    archives.unpack(sdist, tmp_path)
    (unpacked,) = tmp_path.iterdir()
    # Not that of the changelog: the backend does not ask for it.
    (unpacked / "release" / "version.py").write_text("raise SystemError", encoding="utf-8")
    found = ProjectMetadata(str(unpacked), PluginManager())
    assert found.version == sdist.name.removeprefix("image_translate-").removesuffix(".tar.gz")
    assert found.version.partition(".dev")[0] == version_of(ROOT).partition(".dev")[0] or not (ROOT / ".git").exists()


@CHECKOUT
def test_what_an_archive_lacks_or_has_too_much_is_named(sdist: Path, tmp_path: Path) -> None:
    changed = tmp_path / sdist.name
    with tarfile.open(sdist) as source, tarfile.open(changed, "w:gz") as target:
        for member in source.getmembers():
            if not member.name.endswith("/translate/run.py"):
                if member.name.endswith("/translate/pool.py"):
                    member.name = member.name.replace("translate/pool.py", "runs/one/config.json")
                target.addfile(member, source.extractfile(member))
    told = [
        sentence.removeprefix(f"{sdist.name} ") for sentence in archives.faults(changed, archives.tracked(new=True))
    ]
    assert told == [
        "lacks translate/pool.py",
        "lacks translate/run.py",
        "has runs/one/config.json, which git does not know or is left out",
    ]


def test_code_of_others_in_pages_would_need_its_licence() -> None:
    """No page holds any: its licence would have to be one of ``license-files``."""
    for path in (ROOT / "translate").rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"@licen[cs]e|copyright|\bMIT\b|/\*!", text, re.IGNORECASE), f"{path} names a licence"
            assert max(map(len, text.splitlines())) < 500, f"{path} looks like a library that was made small"


# --- the check as a whole ---------------------------------------------------------------------------------------------


def test_a_failing_command_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckError, match=r"ended with 3$"):
        ran([sys.executable, "-c", "print('told'); raise SystemExit(3)"], tmp_path)
    assert "told" in capsys.readouterr().out


def test_a_folder_of_others_is_not_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    assert check_release(["--output", str(tmp_path)]) == 2
    assert "was not made by this command" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()


def test_a_fresh_environment_does_not_see_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    calls: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        "release.environment.ran", lambda command, cwd, environment=None: calls.append((cwd, environment))
    )
    Environment(tmp_path / "fresh").run("translate", "--version")
    assert [cwd for cwd, _ in calls] == [tmp_path / "fresh" / "work"] * 2
    assert all("PYTHONPATH" not in environment for _, environment in calls)


def test_the_build_needs_python_alone() -> None:
    """An isolated build has hatchling, and nothing of this environment."""
    tree = ast.parse((ROOT / "release" / "version.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names)
    assert PROJECT["build-system"]["requires"] == ["hatchling>=1.27"]


# --- files that others read -------------------------------------------------------------------------------------------


def test_the_citation_names_the_project() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["license"] == PROJECT["project"]["license"]
    assert "version" not in cited, "the tag tells it"


WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(WORKFLOW)["jobs"]


def test_only_a_tag_publishes_and_only_what_was_checked() -> None:
    told = yaml.safe_load(WORKFLOW)
    assert told[True] == {"push": {"tags": ["v[0-9]*"]}}  # YAML reads `on` as a truth
    assert JOBS["publish"]["needs"] == "check"
    commands = [step["run"] for step in JOBS["check"]["steps"] if "run" in step]
    assert "make test" in commands
    assert "make release-check" in commands
    assert any('python -m release.changelog "$TAG"' in command for command in commands)


def test_permissions_are_the_least() -> None:
    assert yaml.safe_load(WORKFLOW)["permissions"] == {}
    asked = {name: job["permissions"] for name, job in JOBS.items()}
    assert asked == {"check": {"contents": "read"}, "publish": {"id-token": "write"}, "describe": {"contents": "write"}}
    # What may publish or write runs no code of the checkout.
    for name in ("publish", "describe"):
        used = [step.get("uses", "") for step in JOBS[name]["steps"]]
        assert not [each for each in used if each.startswith("actions/checkout")]
    assert "secrets." not in WORKFLOW


def test_actions_have_full_versions_and_texts_of_others_are_no_code() -> None:
    steps = [step for job in JOBS.values() for step in job["steps"]]
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})", step["uses"]), step["uses"]
        assert "${{" not in step.get("run", ""), "an expression in a command is code of whoever chose its text"
    (checkout,) = (step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}


# --- the container ----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its text on one line."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, text in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, text))
    return found


def test_the_container_runs_one_command_without_rights() -> None:
    assert {name for name, _ in instructions()} <= {
        "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "SHELL", "USER", "WORKDIR",
    }  # fmt: skip
    last = stages()[-1]
    assert [text for name, text in last if name == "USER"] == ["translate"]
    assert [text for name, text in last if name == "ENTRYPOINT"] == ['["translate"]']
    assert [json.loads(text) for name, text in last if name == "CMD"] == [["--help"]]
    after = [name for name, _ in last[[name for name, _ in last].index("USER") :]]
    assert "RUN" not in after
    assert "COPY" not in after


def test_the_image_has_a_pinned_slim_python_and_what_was_built_alone() -> None:
    (python,) = (text.removeprefix("PYTHON=") for name, text in instructions() if name == "ARG" and "PYTHON=" in text)
    assert re.fullmatch(r"3\.\d+-slim-\w+", python)
    assert all(text.startswith("python:${PYTHON}") for name, text in instructions() if name == "FROM")
    first, last = stages()
    assert [text for name, text in last if name == "COPY"] == ["--from=build /opt/translate /opt/translate"]
    for name, text in first:
        if name == "RUN" and "apt-get install" in text:
            assert "apt-get update" in text
            assert "--no-install-recommends" in text
            assert "rm -rf /var/lib/apt/lists/*" in text
        if name == "RUN" and "pip install" in text:
            assert "--constraint /source/constraints.txt" in text
    assert "ADD" not in [name for name, _ in instructions()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_commands_of_the_dockerfile_are_commands_of_its_shell() -> None:
    for name, text in instructions():
        if name == "RUN":
            done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


@CHECKOUT
def test_the_image_is_built_from_every_file_that_git_knows() -> None:
    """One that is missing would count as removed, and the version as that of changed files."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert not [pattern for pattern in patterns if pattern.startswith("!")]

    def ignored(name: str) -> bool:
        parts = name.split("/")
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(
            fnmatch(head.rpartition("/")[2], pattern[3:]) if pattern.startswith("**/") else fnmatch(head, pattern)
            for pattern in patterns
            for head in heads
        )

    assert [name for name in archives.tracked() if ignored(name)] == []
    assert not ignored(".git/HEAD")
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines():
        assert ignored(line.strip("/").replace("*", "x")), f".dockerignore lacks {line}"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_tells_of_every_extra() -> None:
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([a-z]+)`", row.split("|")[1])}
    assert told >= set(PROJECT["project"]["optional-dependencies"])


def test_the_pages_commands_name_the_distribution() -> None:
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    for line in re.findall(r"^(?:uvx|pipx) .*$", page, re.MULTILINE):
        assert PROJECT["project"]["name"] in line
