"""Training on several devices, with real processes: two ranks on the CPU, connected by gloo."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import Forked, ran
from PIL import Image as Pillow
from torch import nn

import translate
from translate import checkpoint
from translate.errors import TranslateError
from translate.job import EXIT_LOST_RANK, is_distributed, is_launcher_or_main
from translate.launching import LostError, launch
from translate.ranks import ProcessGroup, device_of_rank, join
from translate.run import Run
from translate.stopped import is_stopped
from translate.training import fit, resume

SMALL: dict[str, Any] = {
    "size": 32,
    "load_size": 36,
    "log_every": 1,
    "save_every": 2,
    "sample_every": 100,
    "steps": 4,
    "generator": "unet(depth=2, width=4, norm=instance, dropout=0)",
    "discriminator": "patch(width=4, receptive_field=16, norm=none)",
    "optimizer": ("sgd(lr=0.02)",),
    # A long training would begin to compile its networks for most of a minute.
    "compile": "no",
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def trained(folder: Path, method: str = "pix2pix", **options: Any) -> Run:
    return fit(method, "demo(size=32)", output=folder, **{**SMALL, **options})


def flags(**options: Any) -> list[str]:
    """The options as the command line takes them."""
    given = {**SMALL, **options}
    return [
        f"--{name.replace('_', '-')}={value[0] if isinstance(value, tuple) else value}" for name, value in given.items()
    ]


def shared(folder: Path, method: str = "pix2pix", **options: Any) -> Run:
    """A run on two devices."""
    done = ran("fit", method, "demo(size=32)", "-o", folder, *flags(devices=2, **options))
    assert done.returncode == 0, done.stderr
    return Run.open(folder)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on two devices, whose ranks are commands as a user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return trained(tmp_path_factory.mktemp("together") / "run", devices=2)


def test_two_ranks_of_one_train_as_one_of_two(together: Run, tmp_path: Path) -> None:
    alone = trained(tmp_path / "alone", batch=2)
    assert [run.step for run in (alone, together)] == [4, 4]
    first, second = weights(alone), weights(together)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if name.startswith("method/"):  # moments of biases before a normalization are rounding and nothing else
            assert torch.allclose(value, second[name], atol=2e-6), name
    # Log and files are those of one run, whose throughput is that of both.
    assert [line["step"] for line in together.metrics] == [1, 2, 3, 4]
    for ours, theirs in zip(alone.metrics, together.metrics, strict=True):
        assert ours["generator/l1"] == pytest.approx(theirs["generator/l1"], rel=1e-5)
    config = json.loads((together.folder / "config.json").read_text(encoding="utf-8"))
    assert (config["ranks"], config["config"]["devices"], config["threads"]) == (2, 2, 1)


def test_two_ranks_of_two_batches_train_as_one_of_four(tmp_path: Path) -> None:
    alone = trained(tmp_path / "alone", accumulate=4)
    together = shared(tmp_path / "together", accumulate=2)
    large = trained(tmp_path / "large", batch=4)
    first, second, third = weights(alone), weights(together), weights(large)
    for name, value in first.items():
        if name.startswith("method/"):
            assert torch.allclose(value, second[name], atol=2e-6), name
            assert torch.allclose(value, third[name], atol=2e-6), name


def test_a_job_goes_on_exactly_with_a_pool_for_each_rank(tmp_path: Path) -> None:
    whole = shared(tmp_path / "whole", "gan", pool=3, optimizer="adam(lr=0.001)", save_every=3, steps=6)
    tensors = weights(whole)
    pools = [tensors[name] for name in ("method/adversary.pool.images", "rank-1/adversary.pool.images")]
    assert pools[0].shape == pools[1].shape == (3, 3, 32, 32)
    assert not torch.equal(pools[0], pools[1])
    # As if it had been stopped after its first half.
    whole.checkpoints[-1].unlink()
    assert [each.stem for each in whole.checkpoints] == ["step-00000003"]
    assert ran("fit", "--resume", whole.folder).returncode == 0
    again = weights(whole)
    assert again.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(value, again[name]), name


def test_a_run_goes_on_upon_two_devices_with_another_rate(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", optimizer=("adam(lr=0.001)",))
    done = run.step
    changed = [f"--steps={done + 2}", "--devices=2", "--optimizer=adam(lr=0.01)", "--schedule=none"]
    assert ran("fit", "--resume", run.folder, *changed).returncode == 0
    resumed = Run.open(run.folder)
    assert [str(each) for each in resumed.changes] == [
        f"schedule linear -> none from step {done} on",
        f"devices 1 -> 2 from step {done} on",
        f"learning rate 0.001 -> 0.01 from step {done} on",
        f"steps {done} -> {done + 2} from step {done} on",
    ]
    tensors, metadata = checkpoint.load(resumed.checkpoints[-1])
    assert metadata["ranks"] == 2
    assert float(tensors["optimizer/generator/0/step"]) == done + 2


def begun(folder: Path, *arguments: str) -> Forked:
    """A long training on two devices by the command line, that has done a few steps."""
    given = flags(steps=100_000, optimizer="sgd(lr=0.001)", devices=2)
    process = Forked("fit", "pix2pix", "demo(size=32)", "-o", folder, *given, *arguments, start_new_session=True)
    until = time.monotonic() + 120
    while not list(folder.glob("checkpoints/step-*.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def children(process: Forked) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return sorted(int(number) for number in found.split())


def ended(numbers: list[int]) -> bool:
    return not any(Path(f"/proc/{number}").exists() for number in numbers)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_a_rank_that_dies_ends_the_job_with_one_sentence_and_a_checkpoint(tmp_path: Path) -> None:
    process = begun(tmp_path / "run")
    ranks = children(process)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == EXIT_LOST_RANK
    last = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(last) == 1
    assert "rank 1 of 2 was ended by SIGKILL, and the others with it; go on from step-" in last[0]
    assert f"`translate fit --resume {tmp_path / 'run'}`" in last[0]
    assert "Traceback" not in said
    assert ended(ranks)
    run = Run.open(tmp_path / "run")
    tensors, metadata = checkpoint.load(run.checkpoints[-1])
    # The first rank has saved what it had, unless that step was saved already.
    assert f"go on from {run.checkpoints[-1].stem} with" in last[0]
    assert run.metrics[-1]["step"] - metadata["engine"]["step"] <= 1
    assert tensors


def one_sentence(process: Forked) -> str:
    """The only error of a job that has lost a rank."""
    _, said = process.communicate(timeout=60)
    assert process.returncode == EXIT_LOST_RANK, said
    assert "Traceback" not in said
    (last,) = [line for line in said.splitlines() if line.startswith("error:")]
    return last


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_rank_that_is_stopped_ends_the_job_like_one_that_dies(stopped: int, tmp_path: Path) -> None:
    process = begun(tmp_path / "run", "--stop-timeout", "0.5")
    ranks = children(process)
    os.kill(ranks[stopped], signal.SIGSTOP)
    told = one_sentence(process)
    assert f"rank {stopped} of 2 was stopped (SIGSTOP) for 0.5 seconds and is ended, and the others with it" in told
    assert "go on from step-" in told
    assert f"`translate fit --resume {tmp_path / 'run'}`" in told
    assert ended(ranks)
    run = Run.open(tmp_path / "run")
    step = int(run.checkpoints[-1].stem[5:])
    assert run.config.stop_timeout == 0.5
    assert resume(run.folder, steps=step + 2, devices=1).step == step + 2


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_a_job_that_is_suspended_goes_on(tmp_path: Path) -> None:
    """Ctrl-Z reaches the launcher alone, which stops its ranks with it for longer than one of them may be stopped."""
    process = begun(tmp_path / "run", "--stop-timeout", "0.5")
    ranks = children(process)
    process.send_signal(signal.SIGTSTP)
    until = time.monotonic() + 30
    while not all(is_stopped(each) for each in [process.pid, *ranks]):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(1.2)
    size = (tmp_path / "run" / "metrics.jsonl").stat().st_size
    process.send_signal(signal.SIGCONT)
    while (tmp_path / "run" / "metrics.jsonl").stat().st_size == size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not any(is_stopped(each) for each in ranks)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_a_job_whose_processes_are_all_stopped_goes_on_until_an_interrupt_stops_all_ranks_at_the_same_step(
    tmp_path: Path,
) -> None:
    process = begun(tmp_path / "run", "--stop-timeout", "1.2")
    ranks = children(process)
    for number in (*ranks, process.pid):
        os.kill(number, signal.SIGSTOP)
    time.sleep(2)
    for number in (process.pid, *ranks):
        os.kill(number, signal.SIGCONT)
    time.sleep(1)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.count("interrupted at step") == 1
    assert "Traceback" not in said
    assert ended(ranks)
    run = Run.open(tmp_path / "run")
    assert f"interrupted at step {checkpoint.load(run.checkpoints[-1])[1]['engine']['step']} of" in said


FAILING = """
import os, pathlib, sys
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Mean(Method):
    def __init__(self, parts):
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
    @property
    def players(self): return {"network": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        if step == 5 and os.environ.get("RANK", "alone") == os.environ.get("FAILING_RANK"):
            raise ValueError("a loss of a stranger")
        yield Update("network", {"l": (self.network(batch["source"]) - batch["target"]).square().mean()})

@hookimpl
def methods(): return {"mean": Mean}
"""


def fit_failing(folder: Path, failing: int) -> subprocess.CompletedProcess[str]:
    plugin = folder.parent / "failing.py"
    plugin.write_text(FAILING, encoding="utf-8")
    given = ["--size=16", "--steps=12", "--save-every=100", "--log-every=1", "--devices=2", "-o", folder]
    told = {**os.environ, "FAILING_RANK": str(failing)}
    return ran("-p", plugin, "fit", "mean", "demo(size=16)", *given, env=told)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_rank_that_fails_ends_the_job_with_its_sentence_and_what_was_done_is_saved(
    failing: int, tmp_path: Path
) -> None:
    done = fit_failing(tmp_path / "run", failing)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    (last,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"rank {failing} of 2: the training failed in step 6: ValueError: a loss of a stranger (failing.py" in last
    assert last.endswith(f"go on with `translate fit --resume {tmp_path / 'run'}`")
    assert Run.open(tmp_path / "run").checkpoints[-1].stem == "step-00000005"
    assert resume(tmp_path / "run", steps=7, devices=1, plugins=[str(tmp_path / "failing.py")]).step == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_log_that_cannot_be_written_ends_all_ranks_at_the_same_step_exactly_saved(
    together: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    hook = tmp_path / "hook.py"
    hook.write_text(
        "from translate import hookimpl\n"
        "@hookimpl\n"
        "def run_started(run):\n"
        "    (run.folder / 'metrics.jsonl').symlink_to('/dev/full')\n",
        encoding="utf-8",
    )
    given = flags(save_every=100, devices=2)
    done = ran("-p", hook, "fit", "pix2pix", "demo(size=32)", "-o", folder, *given)
    assert done.returncode == 5, done.stderr
    (last,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "metrics.jsonl: No space left on device; step " in last
    assert re.search("step [1-3] of 4 is saved; go on with", last)
    assert "Traceback" not in done.stderr
    (folder / "metrics.jsonl").unlink()
    hook.write_text("", encoding="utf-8")
    assert ran("-p", hook, "fit", "--resume", folder).returncode == 0
    again = weights(Run.open(folder))
    assert all(torch.equal(value, again[name]) for name, value in weights(together).items())


def machines(folder: Path, port: int, **options: Any) -> list[subprocess.Popen[str]]:
    """A job of two machines with a rank each, as torchrun starts it on either; here both are this one."""
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    agent += ["--master-addr=127.0.0.1", f"--master-port={port}"]
    fitting = ["-m", "translate", "fit", "pix2pix", "demo(size=32)", "-o", str(folder), *flags(**options)]
    return [
        subprocess.Popen(
            [*agent, f"--node-rank={number}", *fitting], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in (0, 1)
    ]


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
    return port


def test_torchrun_on_two_machines_trains_as_one_on_two_devices(together: Run, tmp_path: Path) -> None:
    jobs = machines(tmp_path / "machines", free_port())
    for job in jobs:
        _, said = job.communicate(timeout=120)
        assert job.returncode == 0, said
    first, second = weights(Run.open(tmp_path / "machines")), weights(together)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_a_machine_that_goes_dark_ends_the_job_with_a_sentence(tmp_path: Path) -> None:
    jobs = machines(tmp_path / "run", free_port(), optimizer="sgd(lr=0.001)", steps=100_000)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("run/checkpoints/step-*.safetensors")):
        assert all(job.poll() is None for job in jobs)
        assert time.monotonic() < until
        time.sleep(0.05)
    for number in [*children(jobs[1]), jobs[1].pid]:
        os.kill(number, signal.SIGKILL)
    _, said = jobs[0].communicate(timeout=120)
    assert jobs[0].returncode != 0
    assert "error: rank 0 has lost the others; start the job again, with --resume and the run's folder" in said
    jobs[1].communicate()
    checkpoint.load(Run.open(tmp_path / "run").checkpoints[-1])


def test_devices_share_a_conversion(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "run", steps=1)
    generator = np.random.default_rng(0)
    for number in range(5):
        path = tmp_path / "in" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(generator.integers(0, 255, (20, 24, 3), np.uint8)).save(path)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    alone = translate.convert(run.folder, tmp_path / "in", tmp_path / "alone")
    capfd.readouterr()
    together = translate.convert(run.folder, tmp_path / "in", tmp_path / "together", devices=2)
    assert (together.converted, together.failed, together.target) == (5, alone.failed, tmp_path / "together")
    assert capfd.readouterr().err.count("broken.png") == 1
    files = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.png"))
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "together" / file).read_bytes()
    with pytest.raises(TranslateError, match="lies on one device; give its run or file"):
        translate.convert(translate.load(run.folder), tmp_path / "in", tmp_path / "x", devices=2)


def test_what_a_rank_says_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        trained(tmp_path / "run", devices=2, discriminator="unte")
    assert stopped.value.code == 2
    assert capfd.readouterr().err.count("error:") == 1
    assert not (tmp_path / "run").exists()


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(Exception, match="there are 2 GPUs here, not 4; use --devices 2"):
        launch(["fit"], 4)
    assert issubclass(LostError, Exception)


def test_alone_nothing_is_told() -> None:
    group = ProcessGroup()
    value = torch.ones(2)
    group.all_reduce_mean([value])()
    group.broadcast([value])
    group.close()
    assert group.is_main
    assert not is_distributed()
    assert is_launcher_or_main()
    assert torch.equal(group.mean(value), torch.ones(2))
    assert group.all_gather(value) == [value]
    assert [group.highest_delayed(level) for level in (2, 0, 1)] == [2, 0, 1]
    assert join(torch.device("cpu")).size == 1
    assert device_of_rank("cpu") == "cpu"


STATISTICS = """
import sys, torch
from translate.ranks import join, share_statistics
from translate_networks.normalization import BatchNorm
group = join(torch.device("cpu"))
x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
goal = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
norm = BatchNorm(3).double()
share_statistics(norm)
own = x[group.rank :: group.size].clone().requires_grad_()
(norm(own) * goal[group.rank :: group.size]).mean().backward()
group.all_reduce_mean([norm.weight.grad, norm.bias.grad])()
torch.save({"x": own.grad / group.size, "weight": norm.weight.grad}, f"{sys.argv[1]}-{group.rank}")
group.close()
"""


def test_batch_statistics_over_all_ranks(tmp_path: Path) -> None:
    """Two ranks with half of a batch each normalize, and learn, as one with the whole."""
    common = {**os.environ, "WORLD_SIZE": "2", "TRANSLATE_STORE": str(tmp_path / "store")}
    ranks = [
        subprocess.Popen([sys.executable, "-c", STATISTICS, str(tmp_path / "found")], env={**common, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [rank.wait(60) for rank in ranks] == [0, 0]
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    goal = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    norm = nn.BatchNorm2d(3).double()
    (norm(x) * goal).mean().backward()
    assert x.grad is not None
    for rank in range(2):
        found = torch.load(tmp_path / f"found-{rank}", weights_only=True)
        assert torch.allclose(found["x"], x.grad[rank::2], atol=1e-12)
        assert torch.allclose(found["weight"], norm.weight.grad, atol=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", ["", "2"])
def test_a_rank_leaves_without_taking_the_interpreter_down(count: str) -> None:
    # Threads of gloo that release tensors meanwhile would abort the process.
    # An interpreter on its way down waits for its threads first.
    code = """if True:
        import atexit, os, threading, time
        from translate.cli import main
        threading.Thread(target=lambda: (time.sleep(1), os.write(1, b"taken down"))).start()
        atexit.register(print, "at exit")
        main(["--version"])
    """
    ranks = {"WORLD_SIZE": count, "RANK": "1"} if count else {}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ranks}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("translate, version")
    assert "at exit" in done.stdout
    assert ("taken down" in done.stdout) == (not count)
