"""A plugin is code: one that only a file names is not run, unless the file is this user's own and nothing has changed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from translate import trust
from translate.errors import TranslateError
from translate.run import Config, Run
from translate.training import fit, resume

PLUGIN = """
from pathlib import Path
Path({mark!r}).touch()
from translate import hookimpl
@hookimpl
def losses(): return {{}}
"""
SMALL = {"generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)", "size": 32, "steps": 2}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(mark=str(tmp_path / "ran")))
    return path


def made(tmp_path: Path, plugin: Path) -> Path:
    run = fit(
        "pix2pix", "demo(size=32, count=4)", output=tmp_path / "run", save_every=1, plugins=[str(plugin)], **SMALL
    )
    run.checkpoints[-1].unlink()
    (tmp_path / "ran").unlink()
    return run.folder


def test_a_run_made_here_goes_on_and_tells_it(tmp_path: Path, plugin: Path, caplog: pytest.LogCaptureFixture) -> None:
    """``fit(plugins=...)`` has named the plugin; the run notes what it was."""
    folder = made(tmp_path, plugin)
    noted = json.loads((folder / "config.json").read_text())["origin"]
    assert list(noted["plugins"]) == [str(plugin)]
    assert resume(folder).step == 2
    assert (tmp_path / "ran").exists()
    told = [each.getMessage() for each in caplog.records if "loads the plugin" in each.getMessage()]
    assert told == [f"{folder} loads the plugin {plugin}, unchanged since you made the run here"]


@pytest.mark.parametrize(
    "change", ["the plugin", "the signature", "no origin", "the digest", "another machine", "another user"]
)
def test_a_run_of_a_stranger_runs_no_code(
    tmp_path: Path, plugin: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, plugin)
    path = folder / "config.json"
    values = json.loads(path.read_text())
    if change == "the plugin":
        plugin.write_text(plugin.read_text() + "# changed")
    elif change == "the signature":
        values["origin"]["signature"] = "0" * 64
    elif change == "no origin":
        del values["origin"]
    elif change == "the digest":
        plugin.write_text(plugin.read_text() + "# changed")
        values["origin"]["plugins"] = trust.origin_of([str(plugin)])["plugins"]
    elif change == "another machine":
        monkeypatch.setattr(trust.socket, "gethostname", lambda: "elsewhere")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4711)
    path.write_text(json.dumps(values))
    with pytest.raises(TranslateError) as caught:
        resume(folder)
    assert f"translate -p {plugin} fit --resume {folder}" in str(caught.value)
    assert not (tmp_path / "ran").exists()
    assert resume(folder, plugins=[str(plugin)]).step == 2
    assert (tmp_path / "ran").exists()


def test_a_config_runs_only_what_the_command_line_names(tmp_path: Path, plugin: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"method: pix2pix\ndata: demo(size=32, count=4)\nplugins: [{plugin}]\n"
        + "".join(f"{name}: {value}\n" for name, value in SMALL.items())
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "translate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    for arguments in (["fit", "--config", str(config)], ["fit", "pix2pix", "--config", str(config), "--dry-run"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert f"which is code; if you trust it, name it yourself: translate -p {plugin} fit" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "ran").exists()
    done = run("-p", "mine.py", "fit", "pix2pix", "--config", str(config), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").exists()


def test_a_module_is_noted_by_its_files_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that lies in the working directory, where another may lie tomorrow."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "package_of_mine" / "inner.py").write_text("")
    origin = trust.origin_of(["package_of_mine"])
    trust.check_run(tmp_path, ["package_of_mine"], origin)
    (tmp_path / "package_of_mine" / "inner.py").write_text("1")
    with pytest.raises(TranslateError, match="no longer what it was"):
        trust.check_run(tmp_path, ["package_of_mine"], origin)
    with pytest.raises(TranslateError, match="not made by you on this machine"):
        trust.check_run(tmp_path, ["package_of_mine"], {"plugins": {}, "signature": "x"})
    assert "package_of_mine" not in sys.modules


@pytest.mark.parametrize("plugin", ["~nobody-of-this-name/mine.py", "~nobody-of-this-name"])
def test_a_home_that_nobody_has_is_no_path(tmp_path: Path, plugin: str) -> None:
    with pytest.raises(TranslateError, match="the config names the plugin '~nobody"):
        trust.check_named([plugin], [], "the config")
    trust.check_named([plugin], [plugin], "the config")
    with pytest.raises(TranslateError, match="not made by you on this machine"):
        trust.check_run(tmp_path, [plugin], None)
    assert trust.origin_of([plugin])["plugins"] == {}


def test_a_run_without_plugins_notes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Run.create(tmp_path / "run", Config("pix2pix", "demo"), steps=1, metadata={})
    assert "origin" not in json.loads((run.folder / "config.json").read_text())
    with caplog.at_level(logging.WARNING):
        trust.check_run(tmp_path, (), None)
    assert not caplog.records
