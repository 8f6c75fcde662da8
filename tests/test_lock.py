"""The lock of a run: one process trains it; who died without removing its lock is followed by one line."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from forking import Forked, ran

import translate
from translate import lock, processes
from translate.errors import StoppedError, TranslateError
from translate.lock import NAME, LockedError, is_locked, locked, refuse_locked, refuse_lost
from translate.processes import Process
from translate.run import Run

HOLDER = """
import sys
from pathlib import Path
from translate.lock import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a folder until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def forged(folder: Path, **changes: Any) -> None:
    """Write a lock as another process would have left it."""
    (folder / NAME).write_text(json.dumps({**asdict(Process.own()), **changes}))


def test_a_lock_is_held_by_one_process_and_removed_at_the_end(tmp_path: Path) -> None:
    process = holder(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(LockedError) as caught, locked(tmp_path):
        pass
    sentence = str(caught.value)
    assert f"{tmp_path} is being trained by process {process.pid} on {Process.own().host}; wait" in sentence
    assert "\n" not in sentence
    assert "remove" not in sentence
    assert caught.value.exit_code == 2
    with pytest.raises(LockedError, match=f"process {process.pid} on"):
        refuse_locked(tmp_path)
    process.communicate("\n")
    assert not list(tmp_path.iterdir())
    assert not is_locked(tmp_path)
    refuse_locked(tmp_path)


def test_one_process_does_not_hold_a_lock_twice(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(LockedError, match=f"process {os.getpid()} on"), locked(tmp_path):
            pass
        assert (tmp_path / NAME).exists()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_removes_the_lock(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with locked(tmp_path):
            raise error

    with pytest.raises(error):
        fail()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_taken_over_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / NAME).exists()
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    (line,) = caplog.messages
    assert f"process {process.pid} on" in line
    assert "taken over" in line
    assert not list(tmp_path.iterdir())


def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    for _ in range(200):
        if not is_locked(tmp_path):
            break
        time.sleep(0.01)
    assert not is_locked(tmp_path)
    process.communicate()


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"started": "1"}, False),  # its number has gone to this process since
        ({"pid": 2**22 + 1}, False),
        ({"boot": "another"}, False),
        ({"host": "elsewhere", "boot": "another"}, True),
        ({"host": "elsewhere", "boot": "another", "pid": 2**22 + 1}, True),
        ({"host": "elsewhere"}, True),  # the machine was renamed
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
        ({"namespace": "pid:[1]"}, False),  # a container of this machine, which does not hold the file's lock
    ],
)
@pytest.mark.skipif(not processes.boot_id(), reason="this system tells no boot id")
def test_who_counts_as_alive(tmp_path: Path, changes: dict[str, Any], alive: bool) -> None:
    forged(tmp_path, **changes)
    assert is_locked(tmp_path) is alive
    if alive:
        with pytest.raises(LockedError), locked(tmp_path):
            pass
        assert (tmp_path / NAME).exists()
    else:
        with locked(tmp_path):
            pass
        assert not (tmp_path / NAME).exists()


def test_of_another_machine_the_sentence_says_what_to_remove(tmp_path: Path) -> None:
    forged(tmp_path, host="elsewhere", boot="another", pid=12)
    os.utime(tmp_path / NAME, times=(now := time.time() - 90, now))
    with pytest.raises(LockedError) as caught:
        refuse_locked(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is being trained by process 12 on elsewhere, which renewed its lock 90 seconds ago; wait until it "
        f"has ended, or remove {tmp_path / NAME} if you know that it has ended"
    )
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_a_lock_of_another_machine_that_is_not_renewed_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forged(tmp_path, host="elsewhere", boot="another", pid=12)
    os.utime(tmp_path / NAME, times=(now := time.time() - 900, now))
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert caplog.messages == [
        f"{tmp_path}: process 12 on elsewhere has not renewed its lock for 15 minutes, which is taken over"
    ]


@pytest.mark.parametrize(
    ("age", "words"),
    [(0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (290, "5 minutes")],
)
def test_an_age_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, words: str) -> None:
    forged(tmp_path, host="elsewhere", boot="another", pid=12)
    monkeypatch.setattr(lock, "_age", lambda path: age)
    with pytest.raises(LockedError, match=f"on elsewhere, which renewed its lock {words} ago; wait"):
        refuse_locked(tmp_path)


def test_a_lock_of_a_clock_that_is_ahead_is_as_good_as_new(tmp_path: Path) -> None:
    forged(tmp_path, host="elsewhere", boot="another", pid=12)
    os.utime(tmp_path / NAME, times=(ahead := time.time() + 50, ahead))
    with pytest.raises(LockedError, match="which renewed its lock 0 seconds ago"):
        refuse_locked(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files in /proc")
def test_a_lock_that_was_released_leaves_no_file_open(tmp_path: Path) -> None:
    def opened() -> int:
        # Each is asked after the listing, whose own file is closed by then.
        return sum((tmp_path / NAME).samefile(each) for each in list(Path("/proc/self/fd").iterdir()) if each.exists())

    with locked(tmp_path):
        assert opened() == 1
        os.link(tmp_path / NAME, tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / NAME)
    assert opened() == 0


def test_the_age_of_a_lock_is_told_by_the_clock_of_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged(tmp_path, host="elsewhere", boot="another")
    real = time.time
    monkeypatch.setattr(lock.time, "time", lambda: real() + 86400)
    assert is_locked(tmp_path)


def test_the_holder_renews_its_lock_without_being_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEWED_SECONDS", 0.01)
    with locked(tmp_path):
        (thread,) = (each for each in threading.enumerate() if each.name == "translate-lock")
        assert thread.daemon
        os.utime(tmp_path / NAME, times=(1.0, 1.0))
        for _ in range(500):
            if (tmp_path / NAME).stat().st_mtime > 1:
                break
            time.sleep(0.01)
        assert time.time() - (tmp_path / NAME).stat().st_mtime < 60
        blocked = Path(f"/proc/self/task/{thread.native_id}/status")
        if blocked.exists():
            (line,) = (each for each in blocked.read_text().splitlines() if each.startswith("SigBlk"))
            assert int(line.split()[1], 16) & (1 << (signal.SIGINT - 1))
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("seen", [True, False], ids=["its advisory lock is seen", "is not seen"])
def test_a_holder_that_was_taken_over_stops_before_it_writes(tmp_path: Path, seen: bool) -> None:
    code = (
        "import sys; from pathlib import Path; from translate.lock import locked, refuse_lost\n"
        "folder = Path(sys.argv[1])\n"
        "with locked(folder):\n"
        "    refuse_lost(folder); print('ready', flush=True); sys.stdin.readline()\n"
        "    try:\n"
        "        refuse_lost(folder)\n"
        "        (folder / 'written').touch()\n"
        "    except Exception as error:\n"
        "        print(error, flush=True)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    # What another machine sees of it, which has slept for an hour.
    found = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**found, "host": "elsewhere", "boot": "another"}))
    os.utime(tmp_path / NAME, times=(now := time.time() - 3600, now))
    if not seen:  # as on most network file systems
        (tmp_path / "copy").write_bytes((tmp_path / NAME).read_bytes())
        os.utime(tmp_path / "copy", times=(now, now))
        (tmp_path / "copy").replace(tmp_path / NAME)
    with locked(tmp_path):
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate("\n")
        assert f"has been taken over by process {os.getpid()} on {Process.own().host}" in said
        assert "without writing" in said
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_removed_lock_is_made_again_before_the_holder_writes(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / NAME).unlink()
        refuse_lost(tmp_path)
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        (tmp_path / NAME).unlink()
        forged(tmp_path, host="elsewhere", boot="another", pid=12)
        with pytest.raises(LockedError, match="taken over by process 12 on elsewhere"):
            refuse_lost(tmp_path)
    refuse_lost(tmp_path)  # this process holds none
    assert (tmp_path / NAME).exists()


def test_a_living_container_holds_its_lock(tmp_path: Path) -> None:
    """Its number means nothing here, but the lock on the open file is seen."""
    process = holder(tmp_path)
    path = tmp_path / NAME
    other = replace(Process(**json.loads(path.read_text())), namespace="pid:[1]", pid=1, host="container")
    path.write_text(json.dumps(asdict(other)))  # in place, so that the holder's handle stays that of this file
    assert is_locked(tmp_path) is True
    process.kill()
    process.communicate()
    assert is_locked(tmp_path) is False


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"host": 1}', "null"])
def test_a_damaged_lock_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_where_nothing_is_told_of_processes_their_number_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "boot_id", lambda: "")
    monkeypatch.setattr(processes, "_namespace", lambda: "")
    monkeypatch.setattr(processes, "_status", lambda pid: "")
    monkeypatch.setattr(lock, "fcntl", None)
    forged(tmp_path)
    assert is_locked(tmp_path)
    forged(tmp_path, pid=2**22 + 1)
    with locked(tmp_path):
        assert is_locked(tmp_path)
    assert not list(tmp_path.iterdir())


def _try(folder: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        with locked(folder):
            results.put("held")
            time.sleep(0.5)
    except LockedError:
        results.put("refused")


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_come_at_once_one_holds_it(tmp_path: Path, stale: bool) -> None:
    if stale:
        forged(tmp_path, pid=2**22 + 1)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    started = [context.Process(target=_try, args=(tmp_path, barrier, results)) for _ in range(4)]
    for each in started:
        each.start()
    found = sorted(results.get(timeout=60) for _ in started)
    for each in started:
        each.join()
    assert found == ["held", "refused", "refused", "refused"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_threads_one_holds_it(tmp_path: Path, stale: bool) -> None:
    barrier, held = threading.Barrier(8), threading.Lock()

    def work(_: int) -> bool:
        barrier.wait()
        try:
            with locked(tmp_path):
                assert held.acquire(blocking=False)
                time.sleep(0.2)
                held.release()
                return True
        except LockedError:
            return False

    for _ in range(3):
        if stale:
            forged(tmp_path, pid=2**22 + 1)
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 1
        assert not list(tmp_path.iterdir())


def test_a_removed_lock_is_not_removed_again_from_whoever_made_the_next(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / NAME).unlink()
        forged(tmp_path, host="elsewhere", boot="another")
    assert json.loads((tmp_path / NAME).read_text())["host"] == "elsewhere"


@pytest.mark.parametrize("stale", [False, True])
def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: bool) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.os, "link", refuse)
    if stale:
        forged(tmp_path, pid=2**22 + 1)
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        with pytest.raises(LockedError), locked(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(lock.os, "open", refuse)
    with pytest.raises(TranslateError, match=r"cannot write .*lock\.json: Read-only file system"), locked(tmp_path):
        pass


# --- runs -------------------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "size": 32,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "log_every": 1,
    "sample_every": 100_000,
}


def flags(**options: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, **options}.items()]


def training(folder: Path) -> Forked:
    given = flags(steps=100_000, save_every=2, compile="no")
    process = Forked("fit", "pix2pix", "demo(size=32, count=4)", "-o", folder, *given)
    for _ in range(1200):
        if (folder / "config.json").exists() and Run.open(folder).checkpoints:
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def test_a_run_that_trains_is_not_resumed_a_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = training(folder)
    try:
        done = ran("fit", "--resume", folder)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {folder} is being trained by process {process.pid} on ")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 143
    assert not (folder / NAME).exists()


def test_a_run_that_trains_on_another_machine_is_not_resumed(tmp_path: Path) -> None:
    run = translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path / "run", **{**SMALL, "steps": 1})
    forged(run.folder, host="elsewhere", boot="another", pid=12)
    with pytest.raises(LockedError, match="is being trained by process 12 on elsewhere"):
        translate.resume(run.folder, steps=2)


def test_a_killed_run_is_resumed_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    process = training(folder)
    process.kill()
    process.communicate()
    assert (folder / NAME).exists()
    step = int(Run.open(folder).checkpoints[-1].stem[5:])
    assert translate.resume(folder, steps=step + 1).step == step + 1
    assert sum("taken over" in message for message in caplog.messages) == 1
    assert not (folder / NAME).exists()
    assert not list(folder.rglob("*.part"))


def test_a_run_that_ends_by_an_error_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        assert is_locked(tmp_path / "run")
        raise ZeroDivisionError

    monkeypatch.setattr("translate.engine.step.Engine.step", fail)
    with pytest.raises(StoppedError, match="ZeroDivisionError"):
        translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path / "run", steps=2, **SMALL)
    assert not (tmp_path / "run" / NAME).exists()


def test_the_ranks_of_one_run_share_its_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = flags(devices=2, device="cpu", steps=2)
    assert ran("fit", "pix2pix", "demo(size=32, count=4)", "-o", folder, *given).returncode == 0
    assert not (folder / NAME).exists()
    forged(folder)
    done = ran("fit", "--resume", folder, "--steps", "3")
    assert done.returncode == 2
    assert f"is being trained by process {os.getpid()} on" in done.stderr


def test_who_has_lost_the_lock_writes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(folder: Path) -> None:
        raise LockedError(f"{folder} has been taken over")

    monkeypatch.setattr("translate.saving.refuse_lost", lost)
    networks = {"generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)"}
    with pytest.raises(TranslateError, match="has been taken over"):
        translate.fit("pix2pix", "demo(size=32, count=2)", output=tmp_path / "run", size=32, steps=2, **networks)
    assert not list((tmp_path / "run").rglob("*.safetensors"))
