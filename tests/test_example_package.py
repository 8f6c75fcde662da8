"""The example plugins as strangers would publish them: built, installed beside ours, used, tested and removed.

Everything happens in an environment of its own and in real processes. Its third-party libraries are those of the
environment that runs the tests, seen through a .pth file, so that nothing is downloaded.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

from translate.inspection import export
from translate.layouts import open_dataset
from translate.plugins import discover

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "translate-residual"
FURTHER = sorted(path for path in (ROOT / "examples").glob("translate-*") if path != EXAMPLE)
OURS = sorted(
    path.parent.relative_to(ROOT)
    for base in (".", "plugins", "datasets")
    for path in (ROOT / base).glob("translate*/__init__.py")
)
SMALL = ["--generator", "resnet(blocks=1, width=4)", "--size", "32", "--batch", "2", "--log-every", "2"]


def process(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command without what would show it the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # Networks this small gain nothing from threads, which would wait for one another on a busy machine.
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def _built(project: Path, place: Path) -> Path:
    options = ["--wheel", "--no-isolation", "--outdir"]
    process(sys.executable, "-m", "build", *options, place, project, cwd=place)
    (wheel,) = place.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(ROOT, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(EXAMPLE, tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of all other examples."""
    return [_built(project, tmp_path_factory.mktemp(project.name)) for project in FURTHER]


class Environment:
    """A virtual environment, and a working directory for what is run in it."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        process(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        (self.packages,) = (folder / "venv").rglob("site-packages")
        shared = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        lines = [f"import site; site.addsitedir({path!r})" for path in shared]
        (self.packages / "shared.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def pip(self, *arguments: str | Path) -> None:
        process(sys.executable, "-m", "pip", "--python", self.bin / "python", *arguments, cwd=self.work)

    def install(self, *wheels: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--force-reinstall", *wheels)

    def translate(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = process(self.bin / "translate", *arguments, cwd=self.work, code=code)
        assert "Traceback" not in done.stdout + done.stderr
        assert "warning" not in done.stderr
        return done

    def python(self, *arguments: str | Path) -> str:
        return process(self.bin / "python", *arguments, cwd=self.work).stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, ours: Path, theirs: Path, further: list[Path]) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("stranger"))
    environment.install(ours, theirs, *further)
    return environment


@pytest.fixture(scope="module")
def pairs(stranger: Environment) -> Path:
    folder = stranger.work / "pairs"
    export(open_dataset(discover(), "demo(size=32, count=6)"), folder)
    return folder


@pytest.fixture(scope="module")
def trained(stranger: Environment, pairs: Path) -> Path:
    run = stranger.work / "run"
    stranger.translate("fit", "residual", pairs, "-o", run, "--steps", "4", *SMALL)
    return run


# --- the wheels -------------------------------------------------------------------------------------------------------


def _metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))
        return archive.read(member).decode()


def _entry_points(wheel: Path) -> dict[str, str]:
    parser = ConfigParser(delimiters=("=",))
    parser.read_string(_metadata(wheel, "entry_points.txt"))
    return dict(parser["translate"])


def test_our_wheel_holds_every_module_and_nothing_else(ours: Path) -> None:
    with zipfile.ZipFile(ours) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        (Path(folder.name) / path.relative_to(ROOT / folder)).as_posix()
        for folder in OURS
        for path in (ROOT / folder).rglob("*")
        if path.name == "py.typed" or path.suffix in (".py", ".css", ".html", ".js")
    }
    assert len(OURS) > 5
    assert packed == wanted
    assert {f"{folder.name}/py.typed" for folder in OURS} <= packed


def test_our_wheel_says_what_it_is(ours: Path) -> None:
    told = Parser().parsestr(_metadata(ours, "METADATA"))
    assert told["Name"] == "image-translate"
    assert ours.name.startswith(f"image_translate-{told['Version']}-")
    assert told["License-Expression"] == "MIT"
    assert told["Description"].startswith("# translate") if told["Description"] else told.get_payload()
    assert "MIT" in _metadata(ours, "licenses/LICENSE").splitlines()[0]
    # The wheel offers every plugin folder, each under the end of its package's name.
    packages = {folder.name for folder in OURS} - {"translate"}
    assert _entry_points(ours) == {package.removeprefix("translate_"): package for package in packages}
    assert "translate = translate.cli:main" in _metadata(ours, "entry_points.txt")


def test_their_wheel_is_a_plugin_and_holds_no_tests(theirs: Path) -> None:
    with zipfile.ZipFile(theirs) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {f"translate_residual/{name}" for name in ("__init__.py", "method.py", "loss.py", "py.typed")}
    assert _entry_points(theirs) == {"residual": "translate_residual"}
    told = Parser().parsestr(_metadata(theirs, "METADATA"))
    assert told["Requires-Dist"].startswith("image-translate")


# --- in use -----------------------------------------------------------------------------------------------------------


def test_the_installed_packages_are_used_and_not_the_checkout(stranger: Environment) -> None:
    names = ["translate", "translate_pix2pix", "translate_datasets", "translate_residual"]
    told = stranger.python("-c", f"import {', '.join(names)}\nfor each in ({', '.join(names)}): print(each.__file__)")
    assert [Path(line).parents[1] for line in told.splitlines()] == [stranger.packages] * len(names)


def test_the_version_is_that_of_the_installed_wheel_everywhere(
    stranger: Environment, ours: Path, trained: Path
) -> None:
    (_, version, *_) = ours.name.split("-")
    assert stranger.translate("--version").stdout == f"translate, version {version}\n"
    assert stranger.python("-c", "import translate; print(translate.__version__)") == f"{version}\n"
    assert f"pix2pix  (image-translate {version})" in stranger.translate("plugins").stdout
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert config["versions"]["image-translate"] == version


def test_it_is_seen_without_being_imported(stranger: Environment) -> None:
    done = stranger.translate("fit", "--help")
    assert re.search(r"residual +Learn what to add to the source", done.stdout)
    listed = json.loads(stranger.translate("plugins", "--json").stdout)
    assert {
        "name": "residual",
        "distribution": "translate-residual",
        "version": "0.1.0",
        "offers": {"methods": ["residual"], "losses": ["charbonnier"]},
    } in listed
    assert "residual  (translate-residual 0.1.0)" in stranger.translate("plugins").stdout
    assert "residual" not in stranger.translate("--no-plugin", "translate-residual", "fit", "--help").stdout


def test_its_options_are_options_of_the_command_line(stranger: Environment) -> None:
    shown = " ".join(stranger.translate("fit", "residual", "--help").stdout.split())
    assert "loss between result and target: charbonnier, l1" in shown
    assert "[default: resnet(blocks=6)]" in shown
    refused = stranger.translate("fit", "residual", "demo", "--distance", "charbonier", code=2)
    assert "did you mean charbonnier?" in refused.stderr


def test_it_trains_and_converts_a_folder(stranger: Environment, pairs: Path, trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert config["plugin"] == "residual (translate-residual 0.1.0)"
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert all(line["generator/distance"] > 0 for line in lines)
    out = stranger.work / "out"
    stranger.translate("convert", trained, pairs / "test" / "source", out)
    assert {path.name for path in out.glob("[!.]*")} == {path.name for path in (pairs / "test" / "source").iterdir()}


def test_their_own_tests_pass(stranger: Environment) -> None:
    tests: list[str] = []
    for project in (EXAMPLE, *FURTHER):
        shutil.copytree(project / "tests", stranger.work / "tests", dirs_exist_ok=True)
        for path in (project / "tests").glob("test_*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            tests += [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and "test_" in node.name]
    assert {path.name for path in FURTHER} == {"translate-perceptual", "translate-selfsame", "translate-shards"}
    told = stranger.python("-m", "pytest", "-q", "-p", "no:cacheprovider", stranger.work / "tests")
    assert f"{len(tests)} passed" in told


def test_the_examples_commands_do_what_their_pages_say(stranger: Environment, pairs: Path) -> None:
    """A loss with weights, and images in shards, by the commands alone."""
    stranger.python("-m", "translate_perceptual.make", "weights.safetensors")
    (stranger.work / "packed").mkdir()
    with tarfile.open(stranger.work / "packed" / "0.tar", "w") as archive:
        for path in sorted((pairs / "train").glob("*/*.png")):
            archive.add(path, f"{path.stem}.{path.parent.name}.png")
    assert "shards" in stranger.translate("data", "packed").stdout
    loss = ["--distance", "perceptual(weights='weights.safetensors')", "--cache-folder", "decoded"]
    stranger.translate("fit", "regression", "packed", "-o", "seen", "--steps", "2", *SMALL, *loss)
    assert list((stranger.work / "decoded").glob("*.npy"))
    (stranger.work / "weights.safetensors").unlink()
    stranger.translate("convert", "seen", pairs / "test" / "source", "seen-out")


def test_it_is_published_by_the_commands_of_its_page(stranger: Environment, tmp_path: Path) -> None:
    package = shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.name, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    page = (ROOT / "docs" / "publish-a-plugin.md").read_text(encoding="utf-8").partition("## Build it")[2]
    commands = page.partition("```console\n")[2].partition("```")[0].splitlines()
    assert len(commands) == 5
    for program, *words in map(shlex.split, commands):
        if words[:2] == ["-m", "build"]:
            # The builder's own environment would be downloaded.
            process(sys.executable, *words, "--no-isolation", cwd=package)
        elif words[:3] == ["-m", "pip", "install"]:
            stranger.pip("install", "--no-index", "--no-deps", "--force-reinstall", package / words[3])
        elif program == "translate":
            assert "residual" in stranger.translate(*words).stdout
        else:
            assert program == "python"
            # The contracts, which take their time, are kept above.
            words += ["-k", "by_hand", "-p", "no:cacheprovider"]
            assert "1 passed" in process(stranger.bin / "python", *words, cwd=package).stdout
    built = {path.name for path in (package / "dist").iterdir()}
    assert built == {"translate_residual-0.1.0-py3-none-any.whl", "translate_residual-0.1.0.tar.gz"}


def test_removed_it_is_gone_and_its_runs_name_it(
    stranger: Environment, pairs: Path, trained: Path, theirs: Path
) -> None:
    stranger.pip("uninstall", "--yes", "translate-residual")
    try:
        listed = stranger.translate("fit", "--help").stdout
        assert "residual" not in listed
        assert "pix2pix" in listed
        refused = stranger.translate("convert", trained, pairs / "test" / "source", stranger.work / "again", code=2)
        (sentence,) = refused.stderr.splitlines()
        assert "made by the method 'residual', which is not here; install translate-residual 0.1.0" in sentence
        assert not (stranger.work / "again").exists()
        refused = stranger.translate("fit", "--resume", trained, code=2)
        assert "there is no method 'residual'" in refused.stderr
    finally:
        stranger.install(theirs)
