"""Sample grids: which examples a training shows, and what its translators and samplers make of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import copy
from functools import partial

import torch
from torch import Tensor

from translate import images
from translate.background import Background
from translate.data import Domain
from translate.given import of_images
from translate.loader import preview_batch
from translate.lock import refuse_lost
from translate.method import role_of
from translate.run import Run
from translate.seeds import noise_of
from translate.setup import Setup
from translate.taken import named_by, taken_by

SHOWN = 4
"""Rows of a sample grid."""

DRAWN = 8
"""Columns of a sample grid for a sampler."""

log = logging.getLogger("translate")


def preview(setup: Setup) -> dict[str, Tensor]:
    """The examples of the sample grids: the first of the validation split, or of the training split if it is empty."""
    splits = setup.dataset.splits
    held_out = {name: examples for name, examples in splits.get("val", {}).items() if examples}

    def tell(_name: str, reason: str) -> None:
        if setup.group.is_main:
            log.warning("not shown in the sample grids: %s", reason.rstrip("."))

    rows = setup.left_out.by_home
    missing = {
        name: {row for each in rows.values() for row in each} if setup.dataset.paired else rows.get(name, ())
        for name in splits["train"]
    }
    usable = {
        name: [example for row, example in enumerate(examples) if row not in missing[name]]
        for name, examples in splits["train"].items()
    }
    return preview_batch(
        held_out or usable,
        setup.dataset.domains,
        count=SHOWN,
        size=setup.config.size,
        resize=setup.config.resize,
        device=setup.engine.device,
        memory=setup.config.memory,
        max_pixels=setup.config.max_pixels,
        paired=setup.dataset.paired,
        on_broken=tell if setup.config.broken == "skip" else None,
    )


@torch.no_grad()
def draw_samples(setup: Setup, run: Run, shown: Mapping[str, Tensor], background: Background) -> None:
    """Draw the sample grids of a run's step; the observers get them from the background thread."""
    refuse_lost(run.folder)
    columns: dict[str, Tensor] = {}
    domains = {name: setup.dataset.domains[name] for name in shown}
    named, lengths = named_by(setup.parts)

    def column(name: str, batch: Tensor, domain: Domain) -> None:
        columns[name] = images.to_rgb(batch, domain)

    # A compilation for a few images of another batch size would not pay.
    with setup.engine.averaged(), torch.compiler.set_stance("force_eager"):
        for direction, network in setup.method.translators.items():
            taken = taken_by(network, domains=named, vectors=lengths)
            translate = of_images(network, taken)
            if translate is None:
                # It needs more than what a grid can give.
                continue
            if role_of(direction) == "sampler":
                network.eval()
                for number in range(DRAWN):
                    noise = noise_of(network, range(number * SHOWN, (number + 1) * SHOWN), seed=0)
                    column(
                        f"{direction} {number + 1}", network(noise.to(setup.engine.device)).float(), setup.parts.target
                    )
                network.train()
            if role_of(direction) != "translator":
                continue
            inputs, outputs = ("target", "source") if direction == "backward" else ("source", "target")
            if inputs not in shown:
                continue
            network.eval()
            with torch.autocast(
                setup.engine.device.type, dtype=torch.bfloat16, enabled=setup.config.precision == "bf16"
            ):
                fakes = torch.cat([translate(image[None]) for image in shown[inputs]]).float()
            network.train()
            column(inputs, shown[inputs], domains[inputs])
            column(
                "fake" if direction == "forward" else f"fake {direction}",
                fakes,
                setup.dataset.domains.get(outputs, domains[inputs]),
            )
            if outputs in shown:
                column(outputs, shown[outputs], domains[outputs])
    if columns:
        background.begin(partial(setup.tell, "samples_drawn", run=copy(run), images=columns))
