"""Step time: our engine playing pix2pix against the same game written out by hand, in pairs within one process.

Both have the same networks, tensors, losses and fused Adam, in float32 without compilation. By hand means what a
paper's script does: toggle ``requires_grad``, forward, backward, step; it keeps no log, no schedule and no seeds. In a
pair each takes one step and they take turns to go first, so a busy machine slows both alike; the answer is the median
of the pairs' ratios. Both end at the same weights to the last bit, so the same mathematics is compared.

    python -m benchmarks.step [--pairs 300] [--size 64] [--width 16] [--batch 1] [--device cpu] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from translate.benchmark.hardware import described, machine
from translate.benchmark.timing import median_interval
from translate.data import Domain
from translate.engine.step import Engine
from translate.machine import keep_memory
from translate.method import Batch, Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.seeds import seed_step

adam = partial(Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)


class ByHand:
    """pix2pix's step as a script has it: discriminator on real and detached fake, then generator (arXiv:1611.07004)."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, l1: float) -> None:
        self.generator, self.discriminator, self.l1 = generator, discriminator, l1
        self.of_generator = adam(list(generator.parameters()))
        self.of_discriminator = adam(list(discriminator.parameters()))

    def step(self, source: Tensor, target: Tensor) -> None:
        """One step of both."""
        fake = self.generator(source)
        for weight in self.discriminator.parameters():
            weight.requires_grad_(True)
        self.of_discriminator.zero_grad(set_to_none=True)
        real_logits = self.discriminator(target, source).logits[0]
        fake_logits = self.discriminator(fake.detach(), source).logits[0]
        (0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())).backward()
        self.of_discriminator.step()

        for weight in self.discriminator.parameters():
            weight.requires_grad_(False)
        self.of_generator.zero_grad(set_to_none=True)
        adversarial = F.softplus(-self.discriminator(fake, source).logits[0]).mean()
        (adversarial + self.l1 * F.l1_loss(fake, target)).backward()
        self.of_generator.step()


def build(arguments: argparse.Namespace, device: torch.device) -> tuple[Engine, ByHand]:
    """The two rivals, with equal weights."""
    size = (arguments.size, arguments.size)
    catalog = discover()
    parts = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=size)
    options = {
        "generator": f"unet(width={arguments.width})",
        "discriminator": f"patch(receptive_field={arguments.receptive_field}, width={arguments.width})",
    }
    torch.manual_seed(0)
    method: Method = build_method(catalog, "pix2pix", options, parts).to(device).train()
    ours = copy.deepcopy(method)
    generator, discriminator = method.players["generator"], method.players["discriminator"]
    return (
        Engine(ours, dict.fromkeys(ours.players, adam), steps=10**9, device=device),
        ByHand(generator, discriminator, l1=100.0),
    )


Cost = tuple[float, int]
"""Seconds, and pages of memory that the system had to hand out meanwhile."""


def compare(engine: Engine, plain: ByHand, batches: Sequence[Batch], pairs: int, warm_up: int) -> list[list[Cost]]:
    """The costs of each pair: ours, by hand."""
    device = batches[0]["source"].device
    costs: list[list[Cost]] = []

    def ours(batch: Batch) -> None:
        engine.step([batch])

    def by_hand(batch: Batch) -> None:
        plain.step(batch["source"], batch["target"])

    for number in range(warm_up + pairs):
        batch = batches[number % len(batches)]
        spent: list[Cost] = [(0.0, 0), (0.0, 0)]
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            # The engine seeds each step; the dropout drawn by hand must be the same, and that seeding is not its cost.
            seed_step(0, number)
            spent[which] = cost(partial((ours, by_hand)[which], batch), device)
        if number >= warm_up:
            costs.append(spent)
    return costs


def cost(action: Callable[[], None], device: torch.device) -> Cost:
    """What an action costs, on the device to its end."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    started = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    spent = time.perf_counter() - started
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


def differing(engine: Engine, plain: ByHand) -> list[str]:
    """Weights and buffers in which the two differ, in whichever bit."""
    rivals = {"generator": plain.generator, "discriminator": plain.discriminator}
    return [
        f"{player}/{name}"
        for player, module in engine.method.players.items()
        for name, value in module.state_dict().items()
        if not torch.equal(value, rivals[player].state_dict()[name])
    ]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Build, warm up, compare."""
    device = torch.device(arguments.device)
    if device.type == "cpu":
        keep_memory()
    engine, plain = build(arguments, device)
    generator = torch.Generator().manual_seed(1)
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    batches = [
        {name: torch.rand(shape, generator=generator).mul(2).sub(1).to(device) for name in ("source", "target")}
        for _ in range(8)
    ]
    # A collection falls on whoever happens to run.
    gc.collect()
    gc.disable()
    costs = compare(engine, plain, batches, arguments.pairs, arguments.warm_up)
    gc.enable()
    ratios = [ours / by_hand for (ours, _), (by_hand, _) in costs]
    low, high = median_interval(ratios)
    return {
        "machine": machine(device),
        "size": arguments.size,
        "width": arguments.width,
        "receptive_field": arguments.receptive_field,
        "batch": arguments.batch,
        "pairs": len(ratios),
        "warm_up": arguments.warm_up,
        "ratio": statistics.median(ratios),
        "ratio_low": low,
        "ratio_high": high,
        "ours_ms": 1000 * statistics.median(ours[0] for ours, _ in costs),
        "by_hand_ms": 1000 * statistics.median(by_hand[0] for _, by_hand in costs),
        "ours_faults": statistics.median(ours[1] for ours, _ in costs),
        "by_hand_faults": statistics.median(by_hand[1] for _, by_hand in costs),
        "differing": differing(engine, plain),
    }


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    print(described(found["machine"]))
    print("pix2pix, {size} px, width {width}, batch {batch}, float32, eager, {pairs} pairs of steps".format(**found))
    print("ours {ours_ms:.3f} ms, {ours_faults:.0f} page faults (medians)".format(**found))
    print("by hand {by_hand_ms:.3f} ms, {by_hand_faults:.0f} page faults".format(**found))
    print("ours / by hand {ratio:.4f}, 95 % interval of the median {ratio_low:.4f} to {ratio_high:.4f}".format(**found))
    same = "the same weights to the last bit" if not found["differing"] else f"other weights: {found['differing'][:3]}"
    print(f"after {found['pairs'] + found['warm_up']} steps both have {same}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="pairs of steps that count")
    parser.add_argument("--warm-up", type=int, default=30, help="pairs before them")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels of the networks' first maps")
    parser.add_argument("--receptive-field", type=int, default=16, help="of the discriminator, in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, help="of torch (default: its own)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Parse, measure, show; 1 if the two did not end at the same weights."""
    arguments = parser().parse_args(given)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    found = measure(arguments)
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if found["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
