"""Training steps: the engine with its automatic settings, and in float32, against a hand-written loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import profile as cpu_profile
from torch.profiler import ProfilerActivity, profile

from translate.benchmark.elsewhere import elsewhere
from translate.benchmark.feeding import PillowImages, data_loader
from translate.benchmark.timing import Ratio, in_turn
from translate.compute import Compilation, flops_of_step
from translate.images import find
from translate.machine import cores, keep_memory
from translate.parts import build
from translate.run import Config
from translate.seeds import seed_step
from translate.setup import Setup


@dataclass(frozen=True, slots=True)
class Steps:
    """Measured steps: by rival the seconds, on a GPU the peak bytes, and the precision; FLOP of a step; time shares."""

    seconds: Mapping[str, list[float]]
    memory: Mapping[str, int]
    flops: int | None
    precision: Mapping[str, str]
    shares: Mapping[str, float]
    waiting: tuple[float, float, float]
    """The share of a step that is spent waiting for data, (median, low, high): compared with steps on a fixed batch."""


PLAIN = "by hand"


def measure_steps(config: Config, *, rounds: int, warm_up: int = 3) -> Steps:
    """Time the training steps of all rivals in turn, including data loading.

    The rival "by hand" is the plain loop of the method's plugin, eager in float32, fed by a ``DataLoader`` that decodes
    with Pillow. For a method without a plain loop, it is the engine in float32 without any optimization.
    """
    setups = {"translate": Setup.make(config)}
    chosen = setups["translate"].config
    eager = replace(
        config,
        precision="float32",
        memory_format="contiguous",
        convolutions="direct",
        compile="no",
        graphs=False,
        recompute=False,
    )
    if chosen.precision != "float32":
        setups["translate, float32"] = Setup.make(replace(config, precision="float32"))
    device = setups["translate"].engine.device
    rivals: dict[str, Callable[[], object]] = {}
    loaders = []
    catalog = setups["translate"].catalog
    with ExitStack() as stack:
        if device.type == "cpu":
            keep_memory()
        if config.method not in catalog.offers("plain_loops"):
            setups[PLAIN] = Setup.make(eager)
        elif device.type == "cpu":
            # A script would not have this process's memory allocator settings.
            rivals[PLAIN] = stack.enter_context(elsewhere(partial(_by_hand, eager)))
        else:
            rivals[PLAIN] = _by_hand(eager)
        for name, setup in setups.items():
            loader = stack.enter_context(setup.loader())
            loaders.append(loader)
            rivals[name] = _ours(setup, loader)
        memory: dict[str, int] = {}
        for name, rival in rivals.items():
            for _ in range(warm_up):
                rival()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                rival()
                memory[name] = torch.cuda.max_memory_allocated(device)
        batch = loaders[0].batch(0)
        fed = "on one batch"
        rivals[fed] = partial(setups["translate"].engine.step, [batch])
        seconds = in_turn(rivals, rounds, device)
        repeated = Ratio.of(seconds["translate"], seconds.pop(fed))
        waiting = (1 - 1 / repeated.median, 1 - 1 / repeated.low, 1 - 1 / repeated.high)
        shares = _shares(rivals["translate"], device)
    flops = flops_of_step(setups["translate"].method, batch)
    precision = {name: setup.config.precision for name, setup in setups.items()}
    return Steps(seconds, memory, flops, precision, shares, waiting)


def _ours(setup: Setup, loader: Any) -> Callable[[], object]:
    if setup.config.compile == "yes":
        # Only an explicit yes compiles: with auto, a run as short as a benchmark is not compiled.
        Compilation("yes", setup.parts.networks, left=0, group=setup.group, device=setup.engine.device)

    def step() -> None:
        setup.engine.step([loader.batch(setup.engine.step_count)])

    return step


def _by_hand(config: Config) -> Callable[[], object]:
    setup = Setup.make(config)
    loop = build(setup.catalog, "plain_loops", config.method, method=copy.deepcopy(setup.method))
    images = PillowImages(find(Path(config.data)), config.size[0])
    feed = data_loader(images, config.batch, cores(), setup.engine.device)
    numbers: Iterator[int] = iter(range(10**9))

    def step() -> object:
        batch = dict(zip(("source", "target"), feed(), strict=True))
        seed_step(0, next(numbers))
        return loop.step(batch)

    return step


KINDS: Mapping[str, tuple[str, ...]] = {
    "convolutions and products": ("conv", "mm", "linear", "gemm", "xmma", "cutlass", "wgrad", "dgrad", "matmul"),
    "normalization": ("norm",),
    "optimizer": ("adam", "sgd", "foreach"),
    "moving memory": ("copy", "cat", "pad", "index", "gather", "memset", "memcpy", "fill", "zero"),
}


def _shares(step: Callable[[], object], device: torch.device, steps: int = 2) -> dict[str, float]:
    """The share of the time of each kind of operation; on a GPU, of the time of its kernels."""
    cuda = device.type == "cuda"
    # On a CPU torch's older profiler gives the same times and writes nothing to the terminal.
    recording = profile(activities=[ProfilerActivity.CUDA]) if cuda else cpu_profile(use_kineto=False)
    with recording as profiled:
        for _ in range(steps):
            step()
    total: dict[str, float] = dict.fromkeys([*KINDS, "everything else"], 0.0)
    for event in profiled.key_averages():
        if cuda and event.self_device_time_total == 0:
            continue
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "everything else")
        total[kind] += event.self_device_time_total if cuda else event.self_cpu_time_total
    total_time = sum(total.values()) or 1.0
    return {kind: value / total_time for kind, value in total.items()}
