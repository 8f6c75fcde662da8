"""Convolutions by other algorithms: which, where, and that they are the same convolutions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.compute import convolutions
from translate.compute.convolutions import convolutions_of, convolve_fast
from translate.run import Run
from translate.training import fit, resume

WIDE = "resnet(width=32, blocks=1)"


def fast(network: nn.Module) -> nn.Module:
    answer = copy.deepcopy(network)
    convolve_fast(answer)
    return answer


def chosen(module: nn.Module) -> bool:
    return "forward" in vars(fast(module))


def test_a_gpu_chooses_for_itself() -> None:
    assert convolutions_of("auto", torch.device("cpu")) == "fast"
    assert convolutions_of("auto", torch.device("cuda")) == "direct"
    assert convolutions_of("fast", torch.device("cuda")) == "fast"
    assert convolutions_of("direct", torch.device("cpu")) == "direct"


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Conv2d(128, 128, 3), True),
        (nn.Conv2d(128, 256, 3, padding=1), True),
        (nn.Conv2d(64, 128, 3), False),
        (nn.Conv2d(128, 128, 3, stride=2), False),
        (nn.Conv2d(128, 128, 3, dilation=2), False),
        (nn.Conv2d(256, 256, 3, groups=2), False),
        (nn.Conv2d(128, 128, 3, padding="same"), False),
        (nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(128, 128, 1), False),
        (nn.Conv2d(64, 3, 7), True),
        (nn.Conv2d(512, 1, 4), False),
        (nn.Conv2d(3, 3, 7), False),
        (nn.ConvTranspose2d(128, 128, 3), False),
    ],
)
def test_which_have_another_algorithm(module: nn.Module, expected: bool) -> None:
    assert chosen(module) == expected


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(128, 128, 3),
        nn.Conv2d(128, 130, 3, padding=1, bias=False),
        nn.Conv2d(128, 128, 3, padding=(0, 2)),
        nn.Conv2d(16, 3, 7),
        nn.Conv2d(16, 1, (5, 6), padding=(1, 0), bias=False),
    ],
)
@pytest.mark.parametrize("size", [(12, 12), (9, 14), (15, 8)])
@pytest.mark.parametrize("count", [1, 2])
def test_they_are_the_same_convolutions(module: nn.Module, size: tuple[int, int], count: int) -> None:
    module = copy.deepcopy(module).double()
    other = fast(module)
    x = torch.randn(count, module.in_channels, *size, dtype=torch.float64)  # type: ignore[arg-type]
    wanted, found = module(x), other(x)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    slope = torch.randn_like(wanted)
    wanted.backward(slope)
    found.backward(slope)
    for ours, theirs in zip(other.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-10)
    with torch.inference_mode():
        torch.testing.assert_close(other.requires_grad_(False)(x), wanted, rtol=1e-11, atol=1e-11)


def test_small_maps_stay_as_they_are() -> None:
    module = nn.Conv2d(128, 128, 3, padding=1)
    other, x = fast(module), torch.randn(1, 128, 16, 16)
    assert torch.equal(other(x), module(x))
    assert not torch.equal(other(large := torch.randn(1, 128, 48, 48)), module(large))


def test_autocast_gives_its_type_and_float32_gradients() -> None:
    module = fast(nn.Conv2d(128, 128, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer: Tensor = module(torch.randn(1, 128, 66, 66))
    assert answer.dtype == torch.bfloat16
    answer.float().square().sum().backward()
    assert all(each.grad is not None and each.grad.dtype == torch.float32 for each in module.parameters())


def test_inferring_under_autocast_rounds_no_more_than_training_does() -> None:
    module, x = fast(nn.Conv2d(128, 128, 3)), torch.randn(1, 128, 66, 66)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = module(x)
        with torch.inference_mode():
            assert torch.equal(module.requires_grad_(False)(x), wanted)


def test_weights_that_change_are_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by a step, nor by the averages' swapping, of which torch counts nothing."""
    monkeypatch.setattr(convolutions, "TILES", {torch.float32: ((4, 4), 0)})
    module, x = fast(nn.Conv2d(128, 128, 3)), torch.randn(1, 128, 6, 6)
    with torch.no_grad():
        before = module(x)
        for weight in module.parameters():
            weight.data = 2 * weight.data
        torch.testing.assert_close(module(x), 2 * before)


def trained(folder: Any, **options: Any) -> Run:
    asked: dict[str, Any] = {
        "size": 64, "steps": 2, "save_every": 1, "log_every": 1, "generator": WIDE, "precision": "float32",
        "discriminator": "patch(width=4, receptive_field=16)", **options,
    }  # fmt: skip
    return fit("gan", "demo(size=64)", output=folder, **asked)


def test_a_run_resumes_exactly_and_its_translator_agrees(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "TILES", {torch.float32: ((4, 4), 0)})
    whole = trained(tmp_path / "run")
    assert whole.config.convolutions == "fast"
    wanted = checkpoint.load(whole.checkpoints[-1])[0]
    whole.checkpoints[-1].unlink()
    again = checkpoint.load(resume(whole.folder).checkpoints[-1])[0]
    assert all(torch.equal(value, again[name]) for name, value in wanted.items())
    direct = trained(tmp_path / "direct", convolutions="direct")
    assert direct.config.convolutions == "direct"
    translator = translate.load(whole.folder)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    found = translator(image)
    for module in translator.network.modules():
        vars(module).pop("forward", None)
    torch.testing.assert_close(found, translator(image), rtol=0, atol=1e-4)
    assert not torch.equal(found, translator(image))


def test_weights_that_are_loaded_or_replaced_later_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "TILES", {torch.float64: ((4, 4), 0)})
    module = fast(nn.Conv2d(128, 128, 3).double()).requires_grad_(False)
    x = torch.randn(1, 128, 6, 6, dtype=torch.float64)

    def agrees() -> None:
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                found = module(x)
                assert torch.equal(module(x), found)
                torch.testing.assert_close(found, nn.Conv2d.forward(module, x), rtol=1e-11, atol=1e-10)  # type: ignore[arg-type]

    agrees()
    module.load_state_dict({name: torch.randn_like(value) for name, value in module.state_dict().items()})
    agrees()
    other = nn.Conv2d(128, 128, 3).double()
    module.load_state_dict(other.state_dict(), assign=True)
    agrees()
    for _ in range(4):
        # A new weight often lies where the last but one lay, and is as new as that.
        module.weight = nn.Parameter(torch.randn(128, 128, 3, 3, dtype=torch.float64), requires_grad=False)
        module.weight = nn.Parameter(torch.randn(128, 128, 3, 3, dtype=torch.float64), requires_grad=False)
        agrees()
    with torch.no_grad():
        module.weight.mul_(2)  # type: ignore[operator]
    agrees()
    with torch.inference_mode():
        module.weight = nn.Parameter(torch.randn(128, 128, 3, 3, dtype=torch.float64), requires_grad=False)
        agrees()
        module.weight.mul_(2)
        agrees()


def test_what_is_made_of_weights_that_stay_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "TILES", {torch.float32: ((4, 4), 0)})
    made: list[int] = []
    transform = convolutions.transform_weights
    monkeypatch.setattr(convolutions, "transform_weights", lambda *given: made.append(1) or transform(*given))
    module = fast(nn.Conv2d(128, 128, 3)).requires_grad_(False)
    with torch.inference_mode():
        for _ in range(3):
            module(torch.randn(1, 128, 6, 6))
    assert len(made) == 1


@pytest.mark.parametrize("module", [nn.Conv2d(128, 128, 3, padding=1), nn.Conv2d(16, 3, 7, padding=3)])
def test_a_single_image_is_taken_as_torch_takes_it(module: nn.Module) -> None:
    module = module.double()
    x = torch.randn(module.in_channels, 9, 10, dtype=torch.float64)  # type: ignore[arg-type]
    wanted = module(x)
    assert fast(module)(x).shape == wanted.shape
    torch.testing.assert_close(fast(module)(x), wanted, rtol=1e-11, atol=1e-11)
    with torch.inference_mode():
        torch.testing.assert_close(fast(module).requires_grad_(False)(x), wanted, rtol=1e-11, atol=1e-11)
