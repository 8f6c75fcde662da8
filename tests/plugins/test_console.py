"""The console: plain lines through pipes, bars through a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pluggy
import pytest

import translate_console
import translate_samples
from translate import hookspecs
from translate.run import Config, Run, Scalars
from translate_console import conversion, training
from translate_console.estimate import Estimate

HERE = Path(__file__).parents[2]


def a_run(step: int = 0, steps: int = 2000) -> Run:
    return Run(Path("runs/one"), Config(method="pix2pix", data="photos"), step=step, steps=steps)


def scalars(step: int) -> Scalars:
    return Scalars(step, {"generator/l1": 31.2, "discriminator/real": 0.69314}, 12.34, 190.0, 1_288_490_189)


def on_terminal(script: str, *, term: str = "xterm", width: int = 100) -> str:
    """Run a script in a process whose stderr is a terminal, and return what it wrote there."""
    parent, child = pty.openpty()
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if name not in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
        },
        "TERM": term,
        "COLUMNS": str(width),
        "PYTHONPATH": os.pathsep.join(
            [str(HERE), str(HERE / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", script], stderr=child, env=environment)
    os.close(child)
    written = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(parent)
    assert process.wait() == 0, written.decode()
    return written.decode()


def plain(written: str) -> str:
    """The text without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)


PRELUDE = """
import sys
from pathlib import Path
import translate_console as console
from translate.run import Config, Run, Scalars
run = Run(Path("runs/one"), Config(method="pix2pix", data="photos"), steps=2000)
def scalars(step):
    return Scalars(step, {"generator/l1": 31.2, "discriminator/real": 0.69314}, 12.34, 190.0, 1_288_490_189)
"""


def test_plain_lines_of_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    translate_console.images_decoded(1, 2)
    translate_console.run_started(run)
    run.step = 50
    translate_console.step_passed(run)
    translate_console.step_ended(run, scalars(50))
    translate_console.checkpoint_saved(run, Path("runs/one/checkpoints/step-00000050.safetensors"))
    translate_console.run_ended()
    translate_console.step_ended(run, scalars(51))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "step 50/2000  generator/l1 31.20  discriminator/real 0.6931  12.3 images/s  1.2 GiB  eta 0:03:10",
        "step 50/2000  saved runs/one/checkpoints/step-00000050.safetensors",
    ]


def test_a_conversion_through_a_pipe_tells_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    translate_console.conversion_started(3, "convert")
    translate_console.image_converted(Path("a/b.png"), None, "")
    translate_console.image_converted(Path("a/b.jpg"), "a/b.jpg is empty; convert it to PNG or remove it", "")
    translate_console.image_converted(Path("a/c.jpg"), "a/c.jpg: RuntimeError: no", "")
    translate_console.image_converted(Path("a/d.jpg"), "cannot write out/d.jpg: no space", "")
    translate_console.conversion_ended()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "cannot convert a/b.jpg: is empty; convert it to PNG or remove it",
        "cannot convert a/c.jpg: RuntimeError: no",
        "cannot convert a/d.jpg: cannot write out/d.jpg: no space",
    ]


def test_an_encoding_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    translate_console.conversion_started(2, "encode")
    translate_console.image_converted(Path("a/b.jpg"), "a/b.jpg is empty; convert it to PNG or remove it", "")
    translate_console.conversion_ended()
    assert capsys.readouterr().err == "cannot encode a/b.jpg: is empty; convert it to PNG or remove it\n"


def test_a_file_name_that_is_no_text_is_told_all_the_same() -> None:
    script = PRELUDE + 'console.image_converted(Path("a\\udcff.png"), "broken", "")'
    path = os.pathsep.join([str(HERE), str(HERE / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path, "LC_ALL": "C", "PYTHONIOENCODING": ""}
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, env=environment, check=True)
    assert done.stderr.startswith(b"cannot convert a\\udcff.png: broken")


def test_a_training_on_a_terminal_shows_a_bar() -> None:
    written = on_terminal(
        PRELUDE
        + """
console.images_decoded(1, 7)
console.images_decoded(7, 7)
for _ in range(2):
    run.step = 0
    console.run_started(run)
    run.step = 50
    console.step_passed(run)
    console.step_ended(run, scalars(50))
    console.checkpoint_saved(run, Path("checkpoint"))
    console.run_ended()
print("after", file=sys.stderr)
""",
        width=80,
    )
    text = plain(written)
    assert "decoding images 1/7" in text
    assert "50/2000" in text
    assert "12.3 images/s  1.2 GiB  eta 0:03:10" in text
    assert "generator/l1 31.20  discriminator/real 0.6931" in text
    assert "saved" not in text
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 2
    assert text.rstrip().endswith("after")
    assert "━" in text


def test_a_run_that_is_started_again_takes_the_old_bar_down() -> None:
    written = on_terminal(
        PRELUDE
        + """
import threading, time
console.run_started(run)
console.run_started(run)
console.run_ended()
console.run_ended()
for _ in range(200):
    if threading.active_count() == 1:
        break
    time.sleep(0.05)  # a refreshing thread that was told to stop ends after its nap
assert threading.active_count() == 1
"""
    )
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 2


@pytest.mark.parametrize(("verb", "doing"), [("encode", "encoding"), ("sample", "sampling")])
def test_the_bar_says_what_is_done(verb: str, doing: str) -> None:
    script = f"""
console.conversion_started(2, {verb!r})
console.image_converted(Path("a.png"), "broken", "")
console.image_converted(Path("b.png"), None, "")
console.conversion_ended()
"""
    text = plain(on_terminal(PRELUDE + script, width=80))
    assert f"{doing} ━" in text
    assert f"cannot {verb} a.png: broken" in text
    assert "convert" not in text


def test_a_conversion_on_a_terminal_shows_a_bar_and_failures_above_it() -> None:
    written = on_terminal(
        PRELUDE
        + """
console.conversion_started(3, "convert")
console.image_converted(Path("a/[b].png"), None, "")
console.image_converted(Path("a/[/b].jpg"), "broken " + "very " * 40, "")
console.image_converted(Path("a/c.png"), None, "")
console.conversion_ended()
console.conversion_started(1, "convert")
console.image_converted(Path("single.png"), "single.png is empty", "")
console.conversion_ended()
""",
        width=80,
    )
    text = plain(written)
    assert "cannot convert a/[/b].jpg: broken " + "very " * 39 in text
    assert "3/3" in text
    assert text.rindex("3/3") > text.index("cannot convert a/[/b].jpg")
    assert text.rstrip().endswith("cannot convert single.png: is empty")
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


def test_a_dumb_terminal_gets_lines() -> None:
    written = on_terminal(
        PRELUDE
        + """
console.run_started(run)
console.step_ended(run, scalars(50))
console.run_ended()
assert "rich" not in sys.modules
""",
        term="dumb",
    )
    assert "\x1b" not in written
    assert written.startswith("step 50/2000  generator/l1 31.20")


def test_every_hook_fits_its_extension_point() -> None:
    manager = pluggy.PluginManager("translate")
    manager.add_hookspecs(hookspecs)
    manager.register(translate_console)
    manager.register(translate_samples)
    manager.check_pending()
    told = {caller.name for caller in manager.get_hookcallers(translate_console) or ()}
    assert {"run_started", "step_passed", "step_ended", "run_ended", "image_converted", "conversion_ended"} <= told


def test_the_package_is_light() -> None:
    script = "import sys, translate_console; assert not {'torch', 'rich', 'numpy'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "plugins")])}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_nothing_is_shown_before_a_start_or_after_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (training, conversion):
        module.end()
    translate_console.step_passed(a_run())
    translate_console.step_ended(a_run(), scalars(1))
    assert capsys.readouterr() == ("", "")


def test_the_end_is_estimated_once_from_steps_after_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(training, "Estimate", lambda: Estimate(lambda: now[0]))
    run = a_run()
    translate_console.run_started(run)
    for step, second in ((1, 60.0), (3, 70.0), (5, 74.0), (6, 75.0), (7, 76.0)):
        run.step, now[0] = step, second
        translate_console.step_passed(run)
    translate_console.run_ended()
    (line,) = capsys.readouterr().err.splitlines()
    # Five steps have taken fifteen seconds.
    assert re.fullmatch(r"step 6/2000  about 1 h 40 min to go, ends at (\d{4}-\d\d-\d\d )?\d\d:\d\d", line)
