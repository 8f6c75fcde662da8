"""Step times of several methods, in turns within one process: how long does a step of one take against another's?

python -m benchmarks.turns cyclegan cut fastcut --size 128              each against the first
python -m benchmarks.turns "cyclegan(pool=0)" cut --size 32 --batch 16  options in brackets
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch

from translate.benchmark.hardware import machine
from translate.benchmark.timing import Ratio, in_turn
from translate.compute import flops_of_step
from translate.data import Domain
from translate.engine import Engine
from translate.errors import TranslateError
from translate.machine import keep_memory
from translate.method import Method
from translate.options import parse_call
from translate.parts import CatalogParts, build_method
from translate.plugins import discover


def built(call: str, size: int, channels: int) -> Method:
    """A method with its options, for images of both domains alike."""
    torch.manual_seed(0)
    asked, catalog, domain = parse_call(call), discover(), Domain(channels)
    parts = CatalogParts(catalog, source=domain, target=domain, size=(size, size))
    return build_method(catalog, asked.name, asked.options, parts).train()


def main(given: Sequence[str] | None = None) -> int:
    """Time the methods' steps on one batch of noise, in float32, and print them against the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    asked = parser.parse_args(given)
    torch.set_num_threads(asked.threads)
    keep_memory()
    generator = torch.Generator().manual_seed(0)
    draw = (asked.batch, asked.channels, asked.size, asked.size)
    batch = {name: torch.rand(draw, generator=generator) * 2 - 1 for name in ("source", "target")}
    try:
        methods = {call: built(call, asked.size, asked.channels) for call in asked.methods}
    except TranslateError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def stepping(method: Method) -> Callable[[], None]:
        def adam(weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999), fused=True)

        engine = Engine(method, dict.fromkeys(method.players, adam), steps=10**6)
        return lambda: engine.step([batch])

    rivals = {call: stepping(method) for call, method in methods.items()}
    for rival in rivals.values():
        rival()
        rival()
    seconds = in_turn(rivals, asked.rounds, torch.device("cpu"))
    print("{cpu}, {cores} cores, torch {torch}, {threads} threads".format(**machine()))
    first = asked.methods[0]
    for call, method in methods.items():
        flops = flops_of_step(method, batch)
        counted = "" if flops is None else f"{flops / 1e9:,.1f} GFLOP, "
        median = sorted(seconds[call])[len(seconds[call]) // 2]
        print(f"{call}: {median * 1e3:,.0f} ms, {counted}{Ratio.of(seconds[call], seconds[first])} the time of {first}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
