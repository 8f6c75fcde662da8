"""What is chosen for speed and memory, and that it changes nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from translate import checkpoint
from translate.compute.settings import lay_out, memory_format_of, precision_of, recompute
from translate.errors import TranslateError
from translate.run import Run
from translate.training import fit, resume

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "size", "expected"),
    [
        ({"avx512_bf16": True}, (256, 256), "bf16"),
        ({"avx512_bf16": True}, (96, 256), "float32"),
        ({"amx_bf16": True}, (128, 128), "bf16"),
        ({"avx512_bf16": False, "avx2": True}, (256, 256), "float32"),
    ],
)
def test_a_cpu_takes_bf16_where_it_is_native_and_images_are_large(
    capabilities: dict[str, Any], size: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precision_of("auto", CPU, size) == expected
    assert precision_of("bf16", CPU, (8, 8)) == "bf16"
    assert precision_of("float32", CPU, size) == "float32"


def test_a_gpu_takes_bf16_from_capability_8_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert precision_of("auto", GPU, (256, 256)) == "float32"
    assert memory_format_of("auto", GPU, (256, 256), "float32") == "contiguous"
    with pytest.raises(TranslateError, match="does not compute in bf16; use --precision float32"):
        precision_of("bf16", GPU, (256, 256))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert precision_of("auto", GPU, (16, 16)) == "bf16"
    assert memory_format_of("auto", GPU, (16, 16), "bf16") == "channels_last"


def test_layouts() -> None:
    class Wide(nn.Conv2d):
        prefers_channels_last = True

    def laid(memory_format: str) -> list[bool]:
        method = nn.Sequential(Wide(3, 4, 3), nn.Conv2d(4, 3, 3))
        lay_out(method, memory_format)
        return [each.weight.is_contiguous(memory_format=torch.channels_last) for each in method]  # type: ignore[union-attr]

    assert laid("contiguous") == [False, False]
    assert laid("mixed") == [True, False]
    assert laid("channels_last") == [True, True]
    assert memory_format_of("auto", CPU, (64, 256), "bf16") == "contiguous"
    assert memory_format_of("auto", CPU, (256, 256), "bf16") == "mixed"
    assert memory_format_of("auto", CPU, (256, 256), "float32") == "mixed"
    assert memory_format_of("auto", CPU, (127, 256), "float32") == "contiguous"
    assert memory_format_of("channels_last", CPU, (8, 8), "float32") == "channels_last"


def trained(folder: Path, **options: Any) -> Run:
    asked: dict[str, Any] = {
        "size": 32, "batch": 2, "steps": 4, "save_every": 2, "log_every": 1, "sample_every": 9, "ema": 0.5,
        "generator": "unet(width=4, depth=3)", "discriminator": "patch(width=4, receptive_field=16)",
    }  # fmt: skip
    return fit("cyclegan", "demo(size=32)", output=folder, **{**asked, **options})


def state(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def test_what_was_chosen_stands_in_the_config(tmp_path: Path) -> None:
    run = Run.open(trained(tmp_path / "run").folder)
    assert (run.config.precision, run.config.memory_format) == ("float32", "contiguous")


def test_a_run_in_channels_last_resumes_exactly(tmp_path: Path) -> None:
    """The moments of a loaded optimizer must lie as the weights do: fused kernels walk through memory."""
    whole = trained(tmp_path / "run", memory_format="channels_last")
    wanted = state(whole)
    whole.checkpoints[-1].unlink()
    again = state(resume(whole.folder))
    assert all(torch.equal(value, again[name]) for name, value in wanted.items())


def test_computing_twice_changes_nothing_but_the_memory(tmp_path: Path) -> None:
    wanted, found = state(trained(tmp_path / "kept")), state(trained(tmp_path / "again", recompute=True))
    assert wanted.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())


def test_what_is_computed_twice_is_not_kept() -> None:
    held: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.numel())
        return tensor

    network = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(6)))
    image = torch.randn(4, 8)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(image).sum().backward()
        kept, expected = sum(held), [weight.grad for weight in network.parameters()]
        network.zero_grad()
        recompute([network])
        held.clear()
        answer = network(image)
        assert sum(held) < kept / 4
        answer.sum().backward()
    assert all(torch.equal(one, weight.grad) for one, weight in zip(expected, network.parameters(), strict=True))  # type: ignore[arg-type]
    with torch.no_grad():
        assert not network(image).requires_grad


def test_freed_memory_stays_with_the_process() -> None:
    """Page faults of a second round over large blocks, in a process that keeps memory and in one that does not."""
    script = (
        "import resource, torch\n"
        "from translate.machine import keep_memory\n"
        "{}\n"
        "def rounds(count):\n"
        "    for _ in range(count): torch.empty(10 * 2**20).fill_(1)\n"
        "rounds(12)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "rounds(3)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    kept, plain = (
        int(subprocess.run([sys.executable, "-c", script.format(line)], capture_output=True, text=True).stdout)
        for line in ("keep_memory()", "")
    )
    assert plain > 10000
    assert kept < plain / 10
