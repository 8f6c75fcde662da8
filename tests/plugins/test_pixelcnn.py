"""PixelCNN: who sees whom, exact likelihood on toys that can be counted, drawing against the likelihood, its contract."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translate
from translate import testing
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.saved import load_sampler
from translate_pixelcnn.drawing import Condition, Pixels, PixelSampler, PixelTranslator
from translate_pixelcnn.gated import GatedPixelCNN

SMALL: dict[str, Any] = {"levels": 4, "width": 4, "layers": 2, "kernel": 3}


def drawn(network: nn.Module, deviation: float = 0.5, seed: int = 0) -> Any:
    """Every weight drawn, also those that start at zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, deviation)
    return network.eval()


def network(colours: int = 1, levels: int = 2, context: int = 0, **options: Any) -> GatedPixelCNN:
    return GatedPixelCNN(
        colours, levels, **{"width": 4 * colours, "layers": 2, "kernel": 3, "context": context, **options}
    )


def make(source: int = 1, target: int = 1, side: int = 8, **options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(source), target=Domain(target), size=(side, side))
    return build_method(discover(), "pixelcnn", {**SMALL, **options}, parts).train()


def play(method: Any, batches: list[dict[str, Tensor]], rate: float = 3e-3) -> list[float]:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate)

    machine = Engine(method, dict.fromkeys(method.players, adam), steps=len(batches))
    found = []
    for each in batches:
        machine.step([each])
        found.append(machine.fetch()["generator/bits_per_dim"])
    return found


def every_image(levels: int, colours: int, height: int, width: int) -> Tensor:
    values = [2 * level / (levels - 1) - 1 for level in range(levels)]
    rows = list(itertools.product(values, repeat=colours * height * width))
    return torch.tensor(rows).reshape(-1, colours, height, width)


# --- who sees whom --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("colours", "layers", "kernel"), [(1, 2, 3), (3, 2, 3), (2, 1, 3), (1, 3, 5)])
def test_a_value_sees_all_values_before_it_and_none_after(colours: int, layers: int, kernel: int) -> None:
    """All colours of all pixels: no leak, and no blind spot within the reach."""
    side = 6
    net = drawn(network(colours, 3, layers=layers, kernel=kernel, width=8 * colours)).double()
    image = (torch.rand(4, colours, side, side, dtype=torch.float64) * 2 - 1).requires_grad_()
    logits = net(image)
    weighting = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for colour, row, column in itertools.product(range(colours), range(side), range(side)):
        (slope,) = torch.autograd.grad((logits[:, colour, :, row, column] * weighting).sum(), image, retain_graph=True)
        for other, above, left in itertools.product(range(colours), range(side), range(side)):
            before = (above, left, other) < (row, column, colour)
            near = row - above <= net.reach and abs(column - left) <= net.reach
            seen = bool((slope[:, other, above, left] != 0).any())
            assert seen == (before and near), (colour, row, column, other, above, left)


def test_the_condition_reaches_every_pixel_from_all_around() -> None:
    model = drawn(PixelTranslator(network(1, 2, context=4), Condition(1, 4)), 0.3)
    source = torch.rand(1, 1, 9, 9).requires_grad_()
    logits = model.network(torch.zeros(1, 1, 9, 9), model.condition(source))
    (slope,) = torch.autograd.grad(logits[0, 0, 0, 0, 0], source)
    assert bool((slope != 0).all())


# --- likelihood that can be counted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "colours", "height", "width"), [(2, 1, 2, 2), (2, 2, 2, 2), (3, 1, 2, 3), (4, 3, 1, 1)]
)
def test_the_likelihoods_of_all_images_sum_to_one(levels: int, colours: int, height: int, width: int) -> None:
    model = drawn(Pixels(network(colours, levels)))
    images = every_image(levels, colours, height, width)
    with torch.no_grad():
        bits = model.bits_per_dimension(images).double() * colours * height * width
    assert float((-bits * math.log(2)).exp().sum()) == pytest.approx(1, abs=1e-4)
    assert float(bits.std()) > 0.1


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_at_first_all_images_are_equally_likely(levels: int) -> None:
    model = make(3, 2, levels=levels).pixels
    image = torch.rand(2, 2, 8, 8) * 2 - 1
    bits = model.bits_per_dimension(image, torch.rand(2, 3, 8, 8))
    assert torch.allclose(bits, torch.full((2,), math.log2(levels)), atol=1e-5)


def test_levels_and_values_are_inverse() -> None:
    for levels in (2, 7, 256):
        model = Pixels(network(1, levels))
        level = torch.arange(levels)
        assert torch.equal(model.quantize(model.value(level)), level)
        assert model.value(level[[0, -1]]).tolist() == [-1, 1]
    stored = torch.arange(256) / 127.5 - 1
    assert torch.equal(Pixels(network(1, 256)).quantize(stored), torch.arange(256))


def test_bits_fall_to_the_entropy_and_not_below() -> None:
    """Images of 2x2: the first pixel is on with p = 1/4, the second copies it, the third is a fair coin, the last on."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Tensor:
        first = (torch.rand(count, generator=generator) < 0.25).float()
        third = (torch.rand(count, generator=generator) < 0.5).float()
        return torch.stack([first, first, third, torch.ones(count)], 1).reshape(count, 1, 2, 2) * 2 - 1

    entropy = (-(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75)) + 1) / 4
    method = make(side=2, levels=2, width=8, conditional=False)
    play(method, [{"source": images(64)} for _ in range(150)], rate=1e-2)
    with torch.no_grad():
        every = every_image(2, 1, 2, 2)
        bits = method.pixels.bits_per_dimension(every)
        wanted: dict[tuple[int, ...], float] = {
            (a, a, b, 1): (0.25 if a > 0 else 0.75) / 2 for a in (-1, 1) for b in (-1, 1)
        }
        chance = torch.tensor([wanted.get(tuple(int(v) for v in each.flatten()), 0.0) for each in every])
    expected = float((chance * bits).sum())
    assert entropy <= expected < entropy + 0.02


def test_with_its_source_an_image_costs_less() -> None:
    """Noise that the source shows inverted: a bit a pixel by itself, next to nothing given the source."""
    generator = torch.Generator().manual_seed(0)

    def pair() -> dict[str, Tensor]:
        noise = torch.randint(0, 2, (8, 1, 6, 6), generator=generator).float() * 2 - 1
        return {"source": noise, "target": -noise}

    batches = [pair() for _ in range(80)]
    alone = play(make(levels=2, conditional=False), batches)
    given = play(make(levels=2, width=16), batches, rate=1e-2)
    assert alone[-1] > 0.98
    assert given[-1] < 0.1


# --- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [1, 3])
def test_drawing_in_pieces_is_drawing_by_the_whole_network(colours: int) -> None:
    """The reach is less than the image, so that the windows matter."""
    model = drawn(PixelTranslator(network(colours, 5, context=4), Condition(2, 4)), 0.4)
    source = torch.rand(2, 2, 9, 12) * 2 - 1
    at = torch.rand(2, colours, 9, 12)
    with torch.no_grad():
        context = model.condition(source)
        likely, sampled = model.draw(context, None, tuple(at.shape)), model.draw(context, at, tuple(at.shape))
        assert torch.equal(likely, model(source))
        assert torch.equal(model.quantize(likely), model.network(likely, context).argmax(2))
        cumulative = model.network(sampled, context).softmax(2).cumsum(2)
        level = model.quantize(sampled)[:, :, None]
        upper = cumulative.gather(2, level).squeeze(2)
        lower = torch.where(level > 0, cumulative.gather(2, (level - 1).clamp(min=0)), 0.0).squeeze(2)
    assert bool(((lower - 1e-5 <= at) & (at <= upper + 1e-5)).all())
    assert len(sampled.unique()) == 5


def test_samples_are_as_frequent_as_they_are_likely() -> None:
    model = drawn(PixelSampler(network(1, 2), (2, 2)), 0.4)
    assert model.noise == (1, 2, 2)
    every = every_image(2, 1, 2, 2)
    with torch.no_grad():
        made = model(torch.randn(8000, 1, 2, 2, generator=torch.Generator().manual_seed(0)))
        chance = (-model.bits_per_dimension(every) * 4 * math.log(2)).exp()
    counts = torch.tensor([float((made == each).flatten(1).all(1).sum()) for each in every])
    assert counts.sum() == 8000
    assert torch.allclose(counts / 8000, chance, atol=0.02)


def test_samples_of_a_translation_stand_beside_each_other() -> None:
    model = drawn(PixelTranslator(network(1, 4, context=4), Condition(1, 4)), 0.3)
    source = torch.rand(2, 1, 5, 5)
    with torch.no_grad():
        made = model(source, samples=3)
    assert made.shape == (6, 1, 5, 5)
    assert not torch.equal(made[0], made[1])
    with pytest.raises(TranslateError, match="1 sample or more"):
        model(source, samples=0)


# --- the method -----------------------------------------------------------------------------------------------------


def test_large_images_are_refused() -> None:
    with pytest.raises(TranslateError, match="256x256 are too many; train with --size 64"):
        make(side=256)


def test_without_a_source_it_needs_no_pairs_and_keeps_a_sampler() -> None:
    method = make(conditional=False)
    assert not method.needs.paired
    assert list(method.translators) == ["sample"]
    assert make().needs.paired
    assert list(make().translators) == ["forward"]


def test_contract_of_the_sampler() -> None:
    testing.check_method("pixelcnn(levels=2, width=4, layers=1, conditional=no)")


def test_it_trains_converts_and_samples(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"size": 16, "batch": 2, "steps": 2, "log_every": 1, **SMALL}
    run = translate.fit("pixelcnn", "demo(size=16, count=6)", output=tmp_path / "run", **asked)
    assert run.metrics[0]["generator/bits_per_dim"] == pytest.approx(2, abs=1e-4)
    assert translate.load(run.folder)(torch.zeros(3, 7, 9)).shape == (3, 7, 9)
    run = translate.fit("pixelcnn", "demo(size=16, count=6)", output=tmp_path / "alone", conditional=False, **asked)
    assert load_sampler(run.folder).draw([0, 1]).shape == (2, 3, 16, 16)
    # Untrained, all levels are nearly as likely as one another, with a source or without.
    for folder, direction in ((tmp_path / "run", "forward"), (tmp_path / "alone", "sample")):
        found = translate.evaluate(folder, "demo(size=16, count=6)", metrics=["bits_per_dim"], direction=direction)
        assert found.scores["bits_per_dim"] == pytest.approx(2, abs=0.2)
