"""Images translated in parts: equal to the whole up to rounding, for every generator, or refused in one sentence."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from translate import images
from translate.conversion import convert
from translate.conversion.algorithms import algorithm_for
from translate.conversion.answering import translate as translate_batch
from translate.conversion.batch import Answer, Decoded, Work, decode, write
from translate.conversion.fitting import Account, plan_memory
from translate.conversion.plan import Task
from translate.conversion.resizing import Resizing
from translate.data import Domain
from translate.errors import TranslateError
from translate.large import InParts, passes, strips
from translate.large.moments import Moments
from translate.large.spill import Spilled, check_space
from translate.large.tiles import spans, tiles
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.translator import Translator

CPU = torch.device("cpu")


class Picture:
    """An image in memory; it counts how often each pixel of the output is written."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.size = (image.shape[-2], image.shape[-1])
        self.written = torch.zeros(self.size)
        self.output = torch.zeros(0)

    def read(self, rows: slice, columns: slice) -> Tensor:
        assert 0 <= rows.start < rows.stop <= self.size[0]
        assert 0 <= columns.start < columns.stop <= self.size[1]
        return self.image[..., rows, columns]

    def write(self, rows: slice, columns: slice, part: Tensor) -> None:
        if not len(self.output):
            self.output = torch.full((1, part.shape[1], *self.size), torch.nan, dtype=part.dtype)
        self.output[..., rows, columns] = part
        self.written[rows, columns] += 1


def noise(size: tuple[int, int], channels: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(7), dtype=dtype) * 2 - 1


def loud(network: nn.Module) -> nn.Module:
    """Weights three times as large: then an output depends clearly on what lies around it."""
    with torch.no_grad():
        for each in network.parameters():
            each.mul_(3)
    return network.double().eval().requires_grad_(False)


def built(text: str, channels: int = 3, outputs: int | None = None, size: tuple[int, int] = (64, 64)) -> nn.Module:
    torch.manual_seed(3)
    parts = CatalogParts(discover(), source=Domain(channels), target=Domain(outputs or channels), size=size)
    return loud(parts.generator(text))


def unit(fold: bool) -> nn.Module:
    torch.manual_seed(3)
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=(64, 64))
    encoder = parts.encoder(f"residual(width=4, fold={'yes' if fold else 'no'})", inputs=3)
    latent: Any = encoder.latent
    decoder = parts.decoder(f"residual(width=4, fold={'yes' if fold else 'no'})", latent=latent, outputs=3)
    network = nn.Sequential(encoder, decoder)
    network.size_multiple = encoder.size_multiple
    return loud(network)


GENERATORS = {
    "unet": "unet(width=4, depth=3)",
    "unet instance": "unet(width=4, depth=4, norm=instance)",
    "unet plain": "unet(width=4, depth=3, norm=none)",
    "resnet": "resnet(blocks=2, width=4)",
    "resnet batch": "resnet(blocks=1, width=4, norm=batch, upsample=resize)",
    "resnet plain": "resnet(blocks=3, width=4, norm=none)",
    "global_local": "global_local(width=4, halvings=2, blocks=1, enhancer_blocks=1)",
    "small_unet": "small_unet(width=4, depth=2)",
    "small_resnet": "small_resnet(width=4, blocks=1)",
    "shallow": "shallow(width=4)",
    "shallow instance": "shallow(width=4, layers=5, norm=instance)",
}


def test_every_generator_is_tried() -> None:
    assert {text.partition("(")[0] for text in GENERATORS.values()} == set(discover().offers("generators"))


class Stranger(nn.Module):
    """Operations of all kinds, as a stranger would write them."""

    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1, padding_mode="reflect")
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.rectify = nn.LeakyReLU(0.1, True)
        self.second = nn.Conv2d(8, 8, 3, 2, 1)
        self.group = nn.GroupNorm(2, 8)
        self.scale = nn.Parameter(torch.randn(8))
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.third = nn.Conv2d(8, 12, 3, padding="same", dilation=2)
        self.last = nn.Conv2d(12, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        y = self.rectify(self.instance(self.first(image)))
        z = torch.relu_(self.group(self.second(y)))
        z = z * torch.sigmoid(self.scale.view(1, -1, 1, 1)) + z.mean((2, 3), keepdim=True)
        z = z * z.std((1, 2, 3), keepdim=True) * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(z, 1)))
        z = F.interpolate(F.max_pool2d(z, 3, 1, 1), scale_factor=2, mode="nearest") + y
        a, b = self.third(z).chunk(2, 1)
        z = torch.cat([a[:, :3] * 2, b, 1 - a[:, 3:]], 1)
        z += 1
        z /= z.var((2, 3), keepdim=True, correction=0) + 1
        output: Tensor = torch.tanh(self.last(F.interpolate(z, scale_factor=2))) + image
        return output


def stranger() -> nn.Module:
    torch.manual_seed(1)
    return loud(Stranger())


NETWORKS: dict[str, Any] = {
    **{name: (lambda text=text: built(text)) for name, text in GENERATORS.items()},
    "unit": lambda: unit(False),
    "unit folded": lambda: unit(True),
    "stranger": stranger,
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_strips_equal_the_whole(name: str) -> None:
    network = NETWORKS[name]()
    multiple = getattr(network, "size_multiple", 1)
    size = (5 * multiple, 3 * multiple) if multiple > 4 else (44, 36)
    image = noise(size)
    whole = network(image)
    made = strips.Strips(network, 3, size, CPU)
    for strip_bytes in (1, 30_000):
        picture = Picture(image)
        made.translate(picture, strip_bytes=strip_bytes)
        assert (picture.written == 1).all()
        assert float((picture.output - whole).abs().max()) < 1e-11


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_passes_equal_the_whole(name: str) -> None:
    network = NETWORKS[name]()
    multiple = getattr(network, "size_multiple", 1)
    halo = passes.measure_halo(network.float(), 3, multiple, CPU)
    network.double()
    assert halo is not None
    # Two tiles, and what is left over; one row of tiles shows as much as many, but both directions must be tried.
    inner = halo[0] + multiple
    for size in ((2 * inner + multiple, 8 * multiple), (8 * multiple, 2 * inner + multiple)):
        picture = Picture(noise(size))
        passes.translate(network, picture, inner=inner, halo=halo, multiple=multiple)
        assert (picture.written == 1).all()
        assert float((picture.output - network(picture.image)).abs().max()) < 1e-11


@torch.inference_mode()
def test_a_smaller_halo_or_own_statistics_differ() -> None:
    network = built("resnet(blocks=2, width=4)")
    picture = Picture(noise((96, 16)))
    whole = network(picture.image)
    passes.translate(network, picture, inner=32, halo=(4, 4), multiple=4)
    assert float((picture.output - whole).abs().max()) > 1e-4
    passes.translate_tiles(network, picture, inner=32, halo=(28, 28), multiple=4)
    assert float((picture.output - whole).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("shallow(width=4)", 3, 3),
        # c7s1, two halvings, 2 blocks of 2 at a quarter, 2 doublings, c7s1: 3 + 1 + 2 + 4 * 4 + ... + 3
        ("resnet(blocks=2, width=4)", 24, 28),
        ("unet(width=4, depth=3)", 16, 24),
    ],
)
@torch.inference_mode()
def test_the_halo_is_measured(text: str, least: int, most: int) -> None:
    network = built(text).float()
    halo = passes.measure_halo(network, 3, getattr(network, "size_multiple", 1), CPU)
    assert halo is not None
    assert halo[0] == halo[1]
    assert least <= halo[0] <= most


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 50), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_spans_cover_a_side_once(cells: int, inner: int, halo: int, multiple: int) -> None:
    length = cells * multiple
    found = list(spans(length, inner, halo, multiple))
    assert [span.first for span in found] == [0, *(span.last for span in found[:-1])]
    assert found[-1].last == length
    for span in found:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert all(end % multiple == 0 for end in (span.start, span.stop, span.first, span.last))
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == length or span.stop - span.last >= halo


def test_tiles_cover_an_image_once() -> None:
    count = np.zeros((24, 40), int)
    for tile in tiles((24, 40), 10, (3, 5), 4):
        count[tile.rows.first : tile.rows.last, tile.columns.first : tile.columns.last] += 1
    assert (count == 1).all()


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6), st.sampled_from([0.0, 1e4, -1e6]), st.sampled_from([1, 2, 4])
)
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_the_whole(heights: Sequence[int], mean: float, groups: int) -> None:
    whole = torch.rand(1, 4, sum(heights), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + mean
    moments = Moments(groups)
    for part in whole.split(list(heights), dim=2):
        moments.add(part)
    grouped = whole.reshape(groups, -1)
    assert torch.allclose(moments.mean, grouped.mean(1), rtol=1e-12)
    assert torch.allclose(moments.variance(0), grouped.var(1, correction=0), rtol=1e-9)
    assert torch.allclose(moments.variance(1), grouped.var(1), rtol=1e-9)


def in_parts(network: nn.Module, multiple: int = 1, channels: int = 3) -> InParts:
    return InParts(
        network.float().eval(), channels=channels, multiple=multiple, device=CPU, half=False,
        bytes_for=lambda size: 500 * size[0] * size[1],
    )  # fmt: skip


class Attention(nn.Module):
    """Each pixel looks at all others."""

    def forward(self, image: Tensor) -> Tensor:
        small = F.adaptive_avg_pool2d(image, (16, 16))
        flat = small.flatten(2)
        seen = (flat @ torch.softmax(flat.transpose(1, 2) @ flat, dim=1)).view_as(small)
        return F.interpolate(seen, image.shape[-2:]) + image


class Placed(nn.Module):
    """What it answers depends on where a pixel lies in what it is given."""

    def forward(self, image: Tensor) -> Tensor:
        return image * torch.linspace(0, 1, image.shape[-1])


class Whole(nn.Module):
    """Its statistics are none that are known: a maximum."""

    def forward(self, image: Tensor) -> Tensor:
        return image / image.abs().amax((2, 3), keepdim=True)


@pytest.mark.parametrize("network", [Attention(), Placed(), Whole()], ids=lambda network: type(network).__name__)
def test_networks_that_need_the_whole_are_refused(network: nn.Module) -> None:
    with pytest.raises(TranslateError, match="whole image|computes|makes on its way|cannot be recorded"):
        in_parts(network).algorithm((4000, 4000))


class Bilinear(nn.Module):
    """An operation that strips do not know, around a normalization that passes do."""

    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.InstanceNorm2d(4))
        self.last = nn.Conv2d(4, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.interpolate(self.layers(image), scale_factor=2, mode="bilinear")
        output: Tensor = self.last(x)
        return output


def test_the_algorithm_follows_from_network_and_size() -> None:
    torch.manual_seed(0)
    known = in_parts(built("resnet(blocks=1, width=4)"), 4)
    assert known.algorithm((4000, 4001)) == "strips"
    # A row that is too wide for a strip.
    assert known.algorithm((64, 4_000_000)) == "passes"
    assert in_parts(Bilinear(), 4).algorithm((4000, 4000)) == "passes"


@torch.inference_mode()
def test_bf16_in_parts_is_bf16() -> None:
    network = built("resnet(blocks=1, width=4)").float()
    made = InParts(network, channels=3, multiple=4, device=CPU, half=True, bytes_for=lambda size: size[0] * size[1])
    picture = Picture(noise((64, 48), dtype=torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = network(picture.image)
    for algorithm in ("strips", "passes"):
        made.translate(picture, algorithm)  # type: ignore[arg-type]
        error = float((picture.output - whole).square().mean().sqrt())
        assert error < 0.03, algorithm
    assert made.algorithm((64, 48)) == "strips"


def translator(text: str = "resnet(blocks=1, width=4)", channels: int = 3, target: Domain | None = None) -> Translator:
    torch.manual_seed(5)
    catalog = discover()
    source, target = Domain(channels), target or Domain(channels)
    network = CatalogParts(catalog, source=source, target=target, size=(64, 64)).generator(text)
    with torch.no_grad():
        for each in network.parameters():
            each.mul_(2)
    return Translator(
        network, catalog=catalog, direction="forward", directions=["forward"], source=source, target=target,
        size=(64, 64), device=CPU,
    )  # fmt: skip


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image be too large for one pass, and strips small."""
    monkeypatch.setattr("translate.conversion.algorithms.WHOLE_BYTES", {"cpu": 1, "cuda": 1})
    monkeypatch.setattr("translate.large.strips.STRIP_BYTES", 20_000)


def stored(path: Path, shape: tuple[int, ...], dtype: Any = np.uint8) -> Path:
    largest = np.iinfo(dtype).max
    values = np.random.default_rng(0).integers(0, largest, shape, dtype, endpoint=True)
    channels = 1 if len(shape) == 2 else shape[2]
    alpha = values[..., 3] if channels == 4 else None
    pixels = values[..., :3] if channels == 4 else values.reshape(*shape[:2], channels)
    images.write(path, images.Image(np.ascontiguousarray(pixels), alpha))
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "suffix"),
    [
        ((37, 51, 3), np.uint8, "png"), ((37, 51, 3), np.uint16, "png"), ((64, 48, 4), np.uint8, "png"),
        ((37, 51, 3), np.uint8, "tiff"), ((1, 90, 3), np.uint8, "png"), ((5, 90, 3), np.uint8, "png"),
    ],
)  # fmt: skip
def test_a_file_in_parts_is_the_file_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: Any, suffix: str
) -> None:
    path = stored(tmp_path / f"in.{suffix}", shape, dtype)
    made = translator()
    task = Task(path, path.name, (tmp_path / f"out.{suffix}",))
    work = Work(made)
    assert algorithm_for(work, shape[:2]) == "whole"  # type: ignore[arg-type]
    whole = translate_batch([decode(task, work)], work)[0]
    monkeypatch.setattr("translate.conversion.algorithms.WHOLE_BYTES", {"cpu": 1})
    monkeypatch.setattr("translate.large.strips.STRIP_BYTES", 20_000)
    decoded = decode(task, work)
    # One row of 90 pixels is too wide for strips of 20 KB, where columns are all there is.
    answer = translate_batch([decoded], work)[0]
    assert (whole.algorithm, answer.algorithm) == ("whole", decoded.algorithm)
    assert decoded.algorithm in ("strips", "passes")
    assert bool(answer.finite)
    assert (answer.written is not None) == (suffix == "tiff")
    found, expected = (_written(each, work) for each in (answer, whole))
    assert found.pixels.shape == expected.pixels.shape
    assert found.pixels.dtype == expected.pixels.dtype
    difference = np.abs(found.pixels.astype(int) - expected.pixels)
    assert difference.max() <= (1 if dtype == np.uint8 else 64)
    assert (difference > 0).mean() < (0.01 if dtype == np.uint8 else 1)
    assert answer.alpha is None or np.array_equal(answer.alpha, decoded.alpha)  # type: ignore[arg-type]


def _written(answer: Answer, work: Work) -> images.Image:
    write(answer, work)
    return images.read(answer.task.outputs[0])


@pytest.mark.usefixtures("all_large")
def test_convert_takes_parts_where_the_whole_is_too_large(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = translator()
    used: list[str] = []
    translate = InParts.translate

    def noted(self: InParts, picture: Any, algorithm: Any) -> None:
        used.append(algorithm)
        translate(self, picture, algorithm)

    monkeypatch.setattr(InParts, "translate", noted)
    (tmp_path / "in").mkdir()
    for number in range(3):
        stored(tmp_path / "in" / f"{number}.png", (40, 30, 3))
    assert convert(made, tmp_path / "in", tmp_path / "out").converted == 3
    assert used == ["strips"] * 3
    assert "tiles" not in caplog.text
    assert convert(made, tmp_path / "in", tmp_path / "tiled", statistics="tile").converted == 3
    assert used[3:] == ["tile"] * 3
    assert caplog.text.count("each normalized by its own statistics") == 1
    # With noise there is no statistic to share, so images stay whole.
    noisy = translator("unet(width=4, depth=2)")
    assert convert(noisy, tmp_path / "in", tmp_path / "drawn", samples=1).converted == 3
    assert len(used) == 6


@pytest.mark.usefixtures("all_large")
def test_class_maps_and_other_channels_in_parts(tmp_path: Path) -> None:
    path = stored(tmp_path / "in.png", (40, 30, 3))
    made = translator(target=Domain(5, classes=5))
    work = Work(made)
    decoded = decode(Task(path, "in.png", (tmp_path / "out.png",)), work)
    assert decoded.algorithm == "strips"
    answer = translate_batch([decoded], work)[0].stored
    pixels = images.normalize(torch.from_numpy(decoded.pixels.transpose(2, 0, 1).copy())[None], Domain(3))
    whole = made.translate(pixels)[..., :30]
    whole = made.translate(pixels)[..., :30]
    assert answer.shape == (1, 1, 40, 30)
    assert torch.equal(answer, whole.argmax(1, keepdim=True).to(torch.uint8))
    seven = translator("shallow(width=4)", channels=7)
    np.save(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 256, (40, 30, 7), np.uint8))
    assert convert(seven, tmp_path / "in.npy", tmp_path / "out.npy").converted == 1
    assert np.load(tmp_path / "out.npy").shape == (40, 30, 7)


@pytest.mark.usefixtures("all_large")
def test_an_answer_that_is_not_finite_is_named(tmp_path: Path) -> None:
    made = translator()
    made.network.blocks[0].first[1].weight.fill_(torch.nan)  # type: ignore[index, union-attr]
    path = stored(tmp_path / "in.png", (40, 30, 3))
    result = convert(made, path, tmp_path / "out.png")
    assert "not finite" in result.failed[0][1] or "network" in result.failed[0][1]


def test_what_fits_neither_way_says_why(tmp_path: Path) -> None:
    path = stored(tmp_path / "in.png", (400, 300, 3))
    task = Task(path, "in.png", (tmp_path / "out.png",))
    for made, samples, said in (
        (translator(), None, "raise --memory"),
        (translator("unet(width=4, depth=2)"), 2, "leave out --samples"),
    ):
        work = Work(made, samples=samples, memory=2**19, whole=2**19)
        reason = Account(work).refusal(task, plan_memory(task, work))
        assert reason is not None
        assert said in reason
    attention = translator()
    attention.network = Attention()
    work = Work(attention, memory=2**19, whole=2**19)
    reason = Account(work).refusal(task, plan_memory(task, work))
    assert reason is not None
    assert "this network cannot translate it in parts" in reason


def test_free_disk_space_is_checked_beforehand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_space(10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(TranslateError, match="set TMPDIR to a folder on a larger disk") as raised:
        check_space(2**60)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_spilled_maps_come_back(layout: torch.memory_format, dtype: torch.dtype, tmp_path: Path) -> None:
    whole = torch.randn(1, 3, 10, 4).to(dtype).contiguous(memory_format=layout)
    spilled = Spilled(whole.shape, CPU)
    for first, last in ((0, 4), (2, 7), (5, 10)):
        spilled.write(first, whole[:, :, first:last])
    assert spilled.written == 10
    for first, last in ((0, 10), (3, 4), (6, 10)):
        part = spilled.read(first, last)
        assert torch.equal(part, whole[:, :, first:last])
        assert part.dtype == dtype
    spilled.close()
    torn = Spilled(whole.shape, CPU)
    with pytest.raises(TranslateError, match="nothing asks for"):
        torn.write(3, whole[:, :, 3:])
    torn.close()


@torch.inference_mode()
def test_maps_in_files_are_deleted_when_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    network = built("resnet(blocks=3, width=4)")
    made = strips.Strips(network, 3, (32, 32), CPU)
    held: set[int] = set()
    most = 0

    class Counted(Spilled):
        def write(self, first: int, part: Tensor) -> None:
            nonlocal most
            held.add(id(self))
            most = max(most, len(held))
            super().write(first, part)

        def close(self) -> None:
            held.discard(id(self))
            super().close()

    monkeypatch.setattr(strips, "Spilled", Counted)
    made.translate(Picture(noise((32, 32))))
    assert not held
    # A block's input, its two maps, and the map that is being made.
    assert most <= 4
    # Files of a quarter of the sides, with 16 channels of 8 bytes, and those of half the sides with 8.
    assert made.plan.disk_bytes <= 32 * 32 * 8 * 4


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, (300, 400), (300, 400)),
        ({"at": (20, 30)}, (300, 400), (20, 30)),
        ({"long_side": 100}, (300, 400), (75, 100)),
        ({"long_side": 100}, (40, 10), (100, 25)),
        ({"long_side": 10}, (1000, 1), (10, 1)),
        ({"scale": 0.5}, (301, 400), (150, 200)),
        ({"scale": 2.0}, (3, 4), (6, 8)),
    ],
)
def test_resizing(options: dict[str, Any], size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Resizing(**options).of(size) == expected


def test_convert_keeps_the_aspect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = stored(tmp_path / "in.png", (30, 40, 3))
    made = translator("shallow(width=4)")
    for options, expected in (({"long_side": 60}, (45, 60)), ({"scale": 0.5}, (15, 20))):
        convert(made, path, tmp_path / "out.png", overwrite=True, **options)  # type: ignore[arg-type]
        assert images.load(tmp_path / "out.png").pixels.shape[:2] == expected
    assert not caplog.text
    convert(made, path, tmp_path / "out.png", at=(32, 32), overwrite=True)
    assert "--at changes the aspect of images, such as in.png (40 x 30 pixels); --long-side 32 keeps it" in caplog.text
    for options in ({"at": (8, 8), "scale": 0.5}, {"long_side": 8, "scale": 0.5}):
        with pytest.raises(TranslateError, match="each set the size of the images; give one of them"):
            convert(made, path, tmp_path / "out.png", **options)  # type: ignore[arg-type]


def test_images_far_larger_than_the_training_s_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        stored(tmp_path / "in" / f"{number}.png", (10, 256, 3))
    made = translator("shallow(width=4)")
    convert(made, tmp_path / "in", tmp_path / "out")
    assert caplog.text.count("256 x 10 pixels by a network trained on 64 x 64") == 1
    assert "--long-side 128" in caplog.text
    caplog.clear()
    convert(made, tmp_path / "in", tmp_path / "small", long_side=255)
    assert not caplog.text


def test_answers_say_their_algorithm(tmp_path: Path) -> None:
    decoded = Decoded(Task(tmp_path / "a.png", "a.png", (tmp_path / "b.png",)), np.zeros((8, 8, 3), np.uint8), (8, 8), None, "uint8")  # fmt: skip
    assert translate_batch([decoded], Work(translator()))[0].algorithm == "whole"
