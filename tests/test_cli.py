"""The command line: what it prints, what it leaves, and its exit codes, through processes where these matter."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forking import Forked, ran

from translate import images
from translate.cli import cli, main
from translate.run import Config, Run

SMALL = [
    "--size",
    "32",
    "--batch",
    "2",
    "--generator",
    "unet(width=4)",
    "--discriminator",
    "patch(width=4, receptive_field=16)",
]


def run(
    *arguments: str | Path, cwd: Path | None = None, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = ran(*arguments, cwd=cwd, env={**os.environ, **environment})
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def called(*arguments: str | Path, code: int = 0) -> None:
    """Run a command in this process, which has imported what it needs."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    assert ended.value.code == code


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exported demonstration pairs and a small run, made by commands as they are typed."""
    folder = tmp_path_factory.mktemp("place")
    for command in (
        ["data", "demo(size=32, count=6)", "--export", "pairs"],
        ["fit", "pix2pix", "pairs", "-o", "run", "--steps", "4", "--log-every", "2", *SMALL],
    ):
        subprocess.run([sys.executable, "-m", "translate", *command], cwd=folder, capture_output=True, check=True)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plugins"],
        ["fit", "--help"],
        ["convert", "--help"],
        ["data", "--help"],
        ["--version"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_help_and_listings_import_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from translate.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    sys.exit(end.code or ('torch' in sys.modules) * 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_process_ends_without_looking_through_what_it_imported() -> None:
    code = (
        "import atexit, gc\n"
        "from translate.cli import main\n"
        "atexit.register(lambda: print(f'frozen: {gc.get_freeze_count() > 10_000}'))\n"
        "main(['--version'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("frozen: True\n")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("translate ", "convert"),
        ("translate fit ", "pix2pix"),
        ("translate fit pix2pix --matching", "--matching-aware"),
        ("translate fit pix2pix --sched", "--schedule"),
        ("translate fit pix2pix --schedule ", "cosine"),
        ("translate fit pix2pix --precision ", "bf16"),
    ],
)
def test_completion_suggests_without_torch(words: str, wanted: str) -> None:
    code = "import sys\nfrom translate.cli import cli\ntry:\n    cli(prog_name='translate')\nfinally:\n    assert 'torch' not in sys.modules"
    environment = {
        "_TRANSLATE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert "AssertionError" not in done.stderr
    assert wanted in done.stdout


def test_help_teaches() -> None:
    text = run("fit", "pix2pix", "--help").stdout
    assert "Options of pix2pix:" in text
    assert "Options of the training:" in text
    assert "weight of the L1 term" in text
    assert text.index("--matching-aware") < text.index("--steps")
    for name in Config.parameters():
        assert f"--{name.replace('_', '-')}" in text
    assert "pix2pix" in run("fit", "--help").stdout
    assert "Usage: translate fit" in run("fit").stdout


def test_plugins_are_listed() -> None:
    text = run("plugins").stdout
    assert "pix2pix  (image-translate" in text
    told = {each["name"]: each for each in json.loads(run("plugins", "--json").stdout)}
    assert told["losses"]["offers"]["adversarial_losses"][:2] == ["fgan", "hinge"]
    assert "pix2pix  (" not in run("--no-plugin", "pix2pix", "plugins").stdout
    assert "pix2pix  (" not in run("plugins", TRANSLATE_NO_PLUGIN="pix2pix").stdout
    text = run("plugins", "unet").stdout
    assert "unet, one of the generators of networks (image-translate" in text
    assert "dropout: a number >= 0 and < 1 [default: 0.5]" in text
    assert "did you mean unet" in run("plugins", "unett", code=2).stderr


def test_fit_leaves_a_run_and_plain_lines(place: Path) -> None:
    opened = Run.open(place / "run")
    assert [line["step"] for line in opened.metrics] == [2, 4]
    again = run("fit", "pix2pix", place / "pairs", "-o", place / "run", *SMALL, code=2)
    assert again.stderr.startswith("error: ")
    assert "already holds a run; go on with `translate fit --resume" in again.stderr


def test_piped_output_has_no_control_characters(place: Path, tmp_path: Path) -> None:
    done = run("fit", "pix2pix", place / "pairs", "-o", tmp_path / "run", "--steps", "2", "--log-every", "1", *SMALL)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert "step 1/2  discriminator/adversarial" in done.stderr
    assert f"trained 2 steps: {tmp_path / 'run'}" in done.stdout


def test_runs_are_named_after_method_and_data(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/pix2pix-pairs", "runs/pix2pix-pairs-2"):
        called("fit", "pix2pix", place / "pairs", "--steps", "1", *SMALL)
        assert (tmp_path / folder / "translator.safetensors").exists()


def test_a_config_file_and_the_command_line_over_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "asked.yaml"
    config.write_text(
        f"method: pix2pix\ndata: {place / 'pairs'}\nsize: 32\nsteps: 3\nlog-every: 1\nl1: 7\n"
        "generator: unet(width=4)\ndiscriminator: patch(width=4, receptive_field=16)\n"
    )
    called("fit", "--config", config, "-o", tmp_path / "one")
    called("fit", "pix2pix", "--config", config, "--steps", "2", "--l1", "9", "-o", tmp_path / "two")
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    assert (one.steps, one.config.options["l1"], one.config.log_every) == (3, 7, 1)
    assert (two.steps, two.config.options["l1"], two.config.log_every) == (2, 9.0, 1)
    config.write_text("method: pix2pix\ndata: demo(size=32)\nstps: 3\n")
    called("fit", "--config", config, code=2)
    assert "has no option 'stps'" in capsys.readouterr().err


def test_dry_run_writes_nothing(place: Path, tmp_path: Path) -> None:
    done = run("fit", "pix2pix", place / "pairs", "--dry-run", "--epochs", "2", *SMALL, cwd=tmp_path)
    assert "6 steps of 2 at 32x32" in done.stdout
    assert not list(tmp_path.iterdir())


def test_ctrl_c_saves_and_resume_goes_on(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ["--steps", "100000", "--compile", "no", "--log-every", "1", "--sample-every", "100000"]
    process = Forked("fit", "pix2pix", place / "pairs", "-o", folder, *flags, *SMALL)
    for _ in range(1200):
        if (folder / "metrics.jsonl").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.strip().endswith(f"go on with `translate fit --resume {folder}`")
    step = int(Run.open(folder).checkpoints[-1].stem[5:])
    done = run("fit", "--resume", folder, "--steps", str(step + 2))
    assert f"trained {step + 2} steps" in done.stdout
    assert "the learning-rate schedule is recomputed" in done.stderr


def test_convert_a_folder_with_a_broken_image(place: Path, tmp_path: Path) -> None:
    given = tmp_path / "in"
    images.write(_folder(given / "deep") / "a.png", images.Image(np.zeros((40, 50, 3), np.uint8), None))
    images.write(given / "b.jpg", images.Image(np.zeros((33, 20, 3), np.uint8), None))
    (given / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot an image")
    (given / "notes.txt").write_text("no image")
    done = run("convert", place / "run", given, tmp_path / "out", code=1)
    assert "broken.png" in done.stderr
    assert "converted 2 to" in done.stdout
    assert "1 could not be converted" in done.stdout
    assert sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("[!.]*.[jp][pn]g")
    ) == [
        "b.jpg",
        "deep/a.png",
    ]
    assert images.read(tmp_path / "out" / "deep" / "a.png").pixels.shape == (40, 50, 3)
    (given / "broken.png").unlink()
    called(
        "convert",
        place / "run" / "translator.safetensors",
        given,
        tmp_path / "small",
        "--at",
        "32x64",
        "--format",
        "png",
    )
    assert images.read(tmp_path / "small" / "b.png").pixels.shape == (32, 64, 3)
    called("convert", place / "run", given / "b.jpg", tmp_path / "many" / "b.png", "--samples", "2")
    assert len(list((tmp_path / "many").iterdir())) == 2


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_data_shows_what_is_there(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("data", place / "pairs", "--picture", tmp_path / "look.png")
    assert "folders" in done.stdout
    assert "paired" in done.stdout
    assert images.read(tmp_path / "look.png").pixels.ndim == 3
    called("data", place / "pairs", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["paired"] is True


def test_an_unpackaged_plugin(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from translate import hookimpl\nimport click\n"
        "@click.command()\ndef hello():\n    'Say hello.'\n    click.echo('hello')\n"
        "@hookimpl\ndef commands(): return [hello]\n"
    )
    assert run("-p", tmp_path / "mine.py", "hello").stdout == "hello\n"
    assert "Say hello." in run("-p", tmp_path / "mine.py", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fitt"], "there is no command 'fitt'; did you mean fit?"),
        (["fit", "cycle", "x"], "there is no method 'cycle'; did you mean cyclegan?"),
        (["fit", "pix2pix", "nowhere"], "there is no folder 'nowhere'"),
        (["fit", "pix2pix"], "data is missing"),
        (["fit", "pix2pix", "demo", "--stepz", "3"], "No such option '--stepz'"),
        (["fit", "pix2pix", "demo", "--steps", "-3"], "steps must be a whole number >= 1"),
        (
            ["fit", "pix2pix", "demo", "--precision", "fp8"],
            "precision must be 'auto' or 'float32' or 'bf16', not 'fp8'",
        ),
        (["fit", "pix2pix", "demo", "--size", "300"], "too few to see the whole image"),
        (
            ["fit", "pix2pix", "demo", "--generator", "unet(norm=btch)"],
            "unet: norm must be 'batch' or 'instance' or 'none', not 'btch'",
        ),
        (["fit", "--resume", "nowhere"], "nowhere is not a run"),
        (["convert", "nowhere", "a", "b"], "there is no file nowhere"),
        (["-p", "nowhere.py", "plugins"], "cannot load the plugin nowhere.py"),
        (["--no-plugin", "consol", "plugins"], "did you mean console"),
        (["data", "demo(sise=3)"], "demo has no option 'sise'; did you mean size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    called(*arguments, code=2)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


TOO_LONG = "a" * 300
FAILING = """
import click, errno
from translate import hookimpl
@click.command()
@click.argument("kind")
def failing(kind):
    if kind == "the disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    raise OSError(errno.EBADF, "Bad file descriptor")
@hookimpl
def commands(): return [failing]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", TOO_LONG], ["data", "demo", "--picture", f"{TOO_LONG}.png"], ["convert", TOO_LONG, "in", "out"],
        ["evaluate", TOO_LONG, "demo", "--metric", "psnr"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_path_that_the_system_refuses_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert TOO_LONG in told


def test_a_full_disk_and_a_plugins_fault_are_one_sentence_and_a_fault_of_ours_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    command = ["-p", str(tmp_path / "failing.py"), "failing"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "the disk"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: No space left on device; check the path, its permissions, and the space on its disk\n"
    )
    with pytest.raises(SystemExit) as ended:
        main([*command, "theirs"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: the plugin failing (unpackaged sha256:")
    assert told.count("\n") == 1

    def fail(**_: Any) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["plugins"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m translate plugins | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
