"""The contract check of runtimes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from translate.errors import TranslateError
from translate.parts import build
from translate.plugins import discover

TOLERANCES = {"float32": 1e-4, "bf16": 0.05, "int8": 0.05}
"""The largest mean absolute difference from torch's outputs, which are in [-1, 1], by precision."""


def check_runtime(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check the outputs against torch's for several sizes, and that an unsupported precision raises."""
    catalog = discover(extra=plugins)
    torch.manual_seed(0)
    device = torch.device("cpu")
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 2, 4, stride=2, padding=1), nn.Tanh()
    )
    network.eval().requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    try:
        build(catalog, "runtimes", part, network=network, precision="float8", device=device)
    except TranslateError:
        pass
    else:
        raise AssertionError(f"{part}: it takes a precision that does not exist, float8")
    batches = [torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(2, 3, 12, 20) * 2 - 1]
    known = 0
    for precision, tolerance in TOLERANCES.items():
        try:
            runtime = build(catalog, "runtimes", part, network=network, precision=precision, device=device)
        except TranslateError:
            continue
        known += 1
        runtime.calibrate(batches)
        assert not runtime.needs_calibration, f"{part}: it still needs calibration after calibrate was called"
        for batch in batches:
            answer = runtime(batch)
            assert answer.shape == (len(batch), 2, *batch.shape[-2:]), f"{part}: the answer has another shape"
            distance = (answer.float() - network(batch)).abs().mean().item()
            assert distance < tolerance, f"{part}: in {precision} answers are {distance:g} off"
            assert torch.equal(answer, runtime(batch)), f"{part}: the same image has another answer"
    assert known, f"{part}: it knows no precision"
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), f"{part}: it changes the network's weights"
