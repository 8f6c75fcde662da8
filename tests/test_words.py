"""The same words mean the same on the command line, in a config file, in Python and in a part's options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import yaml
from test_cli import run as run_process

import translate
from translate.cli import main
from translate.cli.training import _path_among
from translate.errors import TranslateError
from translate.initial import Init
from translate.options import Option, Parameter, check, parse_call
from translate.paths import expanded, quoted
from translate.plugins import discover
from translate.run import Config, Run
from translate.training import directions_of

TINY: dict[str, Any] = {
    "size": 16,
    "load_size": 16,
    "steps": 1,
    "generator": "small_unet(width=2)",
    "discriminator": "mlp",
}
PLUGIN = """
from translate import hookimpl

@hookimpl
def methods():
    return {"mine": "translate_gan.method:DirectGAN"}
"""


Command = Callable[..., SimpleNamespace]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command within this process, which takes a tenth of the time of another one."""

    def call(*arguments: str | Path, code: int = 0) -> SimpleNamespace:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        told = capsys.readouterr()
        assert end.value.code == code, told.out + told.err
        return SimpleNamespace(stdout=told.out, stderr=told.err)

    return call


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, which is not the working directory."""
    folder = tmp_path / "home of one"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


@pytest.fixture
def tiny(home: Path) -> Path:
    """A small run in the home folder, whose name holds a space."""
    translate.fit("gan", "demo(size=16, count=4)", output="~/a run", **TINY)
    return home / "a run"


def written(folder: Path, **values: Any) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"method": "gan", "data": "demo(size=16, count=4)", **TINY, **values}))
    return file


# --- ~ ----------------------------------------------------------------------------------------------------------------


def test_a_home_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    assert expanded("~/runs") == Path("~/runs")


def test_every_option_that_is_a_path_knows_the_home(home: Path) -> None:
    assert check("~/table.csv", Parameter("labels", Path | None, None, Option("")), "folders") == home / "table.csv"
    config = Config.from_values({"method": "gan", "data": "x", "cache_folder": "~/cache", "init": "~/one"})
    assert (config.cache_folder, Init.parse(config.init[0]).path) == (home / "cache", home / "one")


def test_paths_in_python(home: Path, tiny: Path, run: Command) -> None:
    assert Run.open(Path("~/a run")).folder == tiny
    assert directions_of(translate.resume("~/a run", steps=2)) == ["forward"]
    run("data", "demo(size=16, count=2)", "--export", home / "pairs")
    assert translate.convert("~/a run", "~/pairs/test/source", "~/made").target == home / "made"
    assert any((home / "made").iterdir())
    found = translate.evaluate("~/a run", "~/pairs", metrics=["l1"], limit=1)
    assert found.counts
    assert translate.load("~/a run/translator.safetensors").direction == "forward"
    assert not list(Path().iterdir())


def test_paths_on_the_command_line(home: Path, tiny: Path, run: Command) -> None:
    run("data", "demo(size=16, count=2)", "--export", home / "pairs")
    (home / "plugin.py").write_text(PLUGIN)
    written(home, data="~/pairs", method="mine", output="~/third run")
    run_process("-p", "~/plugin.py", "fit", "--config", "~/config.yaml")
    assert Run.open(home / "third run").config.data == str(home / "pairs")
    small = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    run("fit", "gan", "~/pairs", "-o", "~/two", "--init", "~/a run", *small)
    run("convert", "~/two", "~/pairs/test/source", "~/converted")
    assert any((home / "converted").iterdir())
    assert run("fit", "--resume", "~/two", "--steps", "2").stdout.startswith("trained 2 steps")
    assert not list(Path().iterdir())


def test_a_plugin_s_file_in_python(home: Path) -> None:
    (home / "plugin.py").write_text(PLUGIN)
    assert "mine" in discover(extra=["~/plugin.py"]).offers("methods")


# --- configs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [["fit", "--config"], ["fit", "mine", "--config"]], ids=["file", "method and file"])
def test_output_and_plugins_of_a_config_in_both_forms(form: list[str], home: Path, run: Command) -> None:
    (home / "plugin.py").write_text(PLUGIN)
    file = written(home, method="mine", output=str(home / "made"), plugins=[str(home / "plugin.py")])
    trusted = ("-p", home / "plugin.py")
    run(*trusted, *form, file)
    assert Run.open(home / "made").config.plugins == (str(home / "plugin.py"),)
    run(*trusted, *form, file, "-o", home / "other")
    assert (home / "other" / "config.json").exists()
    run(*trusted, *form, file, "-o", home / "nothing", "--dry-run")
    assert not (home / "nothing").exists()


def test_plugins_of_the_command_line_and_of_a_config_are_all_loaded(home: Path, run: Command) -> None:
    (home / "plugin.py").write_text(PLUGIN)
    (home / "second.py").write_text(PLUGIN.replace('"mine"', '"other"'))
    file = written(home, method="mine", output=str(home / "made"), plugins=str(home / "plugin.py"))
    run("-p", home / "second.py", "-p", home / "plugin.py", "fit", "--config", file)
    assert Run.open(home / "made").config.plugins == (str(home / "second.py"), str(home / "plugin.py"))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["data", "--config", "a.yaml"], "a.yaml"),
        (["--config=b.yaml", "--size", "16"], "b.yaml"),
        (["data", "--config"], None),
        (["data"], None),
    ],
)
def test_the_config_is_seen_before_the_options_are_known(arguments: list[str], found: str | None) -> None:
    assert _path_among(arguments, "--config") == (None if found is None else Path(found))


@pytest.mark.parametrize("form", [["fit"], ["fit", "gan"]], ids=["file", "method and file"])
def test_a_run_s_own_config_is_a_config(form: list[str], home: Path, tiny: Path, run: Command) -> None:
    run(*form, "--config", tiny / "config.json", "-o", home / "again")
    first, again = Run.open(tiny), Run.open(home / "again")
    assert again.config == first.config
    assert again.config.options["generator"] == "small_unet(width=2)"
    assert again.metrics[-1]["generator/adversarial"] == first.metrics[-1]["generator/adversarial"]


def test_an_option_of_the_method_overrides_that_of_a_run(home: Path, tiny: Path, run: Command) -> None:
    run("fit", "gan", "--config", tiny / "config.json", "-o", home / "again", "--generator", "small_unet(width=3)")
    assert Run.open(home / "again").config.options["generator"] == "small_unet(width=3)"


def test_steps_override_the_epochs_of_a_config(home: Path, run: Command) -> None:
    file = written(home, epochs=3, output=str(home / "made"))
    run("fit", "--config", file, "--steps", "2")
    assert Run.open(home / "made").steps == 2


def test_a_resumed_run_takes_no_other_folder_and_no_dry_run(tiny: Path, run: Command) -> None:
    for more in (["-o", "x"], ["--dry-run"]):
        assert "leave out -o and --dry-run" in run("fit", "--resume", tiny, *more, code=2).stderr


@pytest.mark.parametrize(
    ("value", "meant"), [(False, "no"), (True, "yes"), ("no", "no"), ("yes", "yes"), ("auto", "auto")]
)
def test_yes_and_no_are_words_where_they_are_choices(value: object, meant: str, home: Path) -> None:
    assert Config.from_values({"method": "gan", "data": "x", "compile": value}).compile == meant
    from translate.config_file import read_config

    assert Config.from_values(read_config(written(home, compile=value))).compile == meant


def test_yes_is_no_choice_where_it_is_none() -> None:
    with pytest.raises(TranslateError, match="cache must be 'auto' or 'device'"):
        Config.from_values({"method": "gan", "data": "x", "cache": True})
    parameter = Parameter("on", Literal["yes", "no"], "no", Option(""))
    assert check(parse_call("part(on=yes)").options["on"], parameter, "part") == "yes"


# --- hints ------------------------------------------------------------------------------------------------------------


def test_hints_can_be_pasted(tiny: Path, home: Path, run: Command) -> None:
    told = run("fit", "gan", "demo(size=16, count=4)", "-o", tiny, code=2).stderr
    assert shlex.split(told.partition("`")[2].partition("`")[0]) == ["translate", "fit", "--resume", str(tiny)]
    file = written(home).rename(home / "my config.yaml")
    told = run("fit", "cyclegan", "--config", file, code=2).stderr
    assert shlex.split(told.partition("`")[2].partition("`")[0]) == ["translate", "fit", "--config", str(file)]
    told = run("fit", "--resume", tiny, "--steps", "2").stdout
    line = told.strip().splitlines()[-1].partition(":")[2]
    assert shlex.split(line) == ["translate", "convert", str(tiny), "IN", "OUT"]
    assert quoted("plain") == "plain"


def test_features_of_a_run_that_is_no_classifier(tiny: Path, run: Command) -> None:
    told = run("fit", "dtn", "demo(size=16, count=4)", "--features", tiny, "--size", "16", code=2).stderr
    assert f"{tiny} was trained by gan and keeps no classifier" in told


def test_a_config_that_is_no_run_s_keeps_its_words(home: Path, run: Command) -> None:
    file = home / "odd.json"
    file.write_text(json.dumps({"config": 3, "method": "gan", "data": "demo(size=16, count=4)"}))
    assert "config" in run("fit", "--config", file, code=2).stderr
