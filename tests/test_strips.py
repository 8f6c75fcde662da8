"""``translate sample --interpolate`` and ``--traverse``: what lies between two codes and along their axes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import taking
import torch
from numpy.typing import NDArray
from test_catalog import small
from test_exporting import saved
from torch import Tensor, nn

import translate
from translate import images
from translate.cli import main
from translate.data import Domain
from translate.errors import TranslateError
from translate.plugins import discover
from translate.sampling import Codes, interpolate, load_codes, traverse
from translate.sampling.codes import linear, spherical
from translate.sampling.strips import GAP
from translate.saved import load_sampler
from translate.seeds import noise_of
from translate.taken import Input, taken_by
from translate_dtn.decoded import Decoded

CODED = {
    "vae": "vae(encoder='dcgan(width=4, latent=6)', decoder='dcgan(width=4)')",
    "stackgan": small("methods", "stackgan"),
    "pixelcnn": "pixelcnn(levels=4, width=4, layers=1, conditional=no)",
} | {name: small("methods", name) for name in ("vaegan", "unit", "flow", "sgan", "cyclegan")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained translators of methods with a code, and of some without."""
    return {name: saved(tmp_path_factory.mktemp(name), method) for name, method in CODED.items()}


SIZE = 32


def picture(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def tensors(count: int) -> Tensor:
    made = np.stack([picture(number) for number in range(count)]).transpose(0, 3, 1, 2)
    return torch.from_numpy(made.astype(np.float32)) / 127.5 - 1


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    for number, name in enumerate("ab"):
        images.write(tmp_path / f"{name}.png", images.Image(picture(number), None))
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


def cells(path: Path, size: int = SIZE) -> list[list[NDArray[np.uint8]]]:
    """The images of a picture of strips, row by row."""
    sheet = images.read(path).pixels
    across, down = ((side + GAP) // (size + GAP) for side in (sheet.shape[1], sheet.shape[0]))
    assert sheet.shape == (down * (size + GAP) - GAP, across * (size + GAP) - GAP, 3)
    step = size + GAP
    return [
        [sheet[row * step : row * step + size, at * step : at * step + size] for at in range(across)]
        for row in range(down)
    ]


def close(found: Any, wanted: Any) -> bool:
    return bool(np.abs(np.asarray(found, dtype=int) - np.asarray(wanted, dtype=int)).max() <= 1)


def test_the_paths_between_two_codes() -> None:
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    for share in (0.0, 0.25, 0.5, 1.0):
        angle = share * math.pi / 2
        wanted = torch.tensor([[3 * math.cos(angle), 3 * math.sin(angle)]])
        assert torch.allclose(spherical(a, b, share), wanted, atol=1e-6)
        assert torch.allclose(linear(a, b, share), torch.tensor([[3 - 3 * share, 3 * share]]))
    # At the ends to the bit, and constant between equal codes, or on the line between opposite ones.
    c, d = torch.randn(1, 5, 3), torch.randn(1, 5, 3)
    assert torch.equal(spherical(c, d, 0.0), c)
    assert torch.equal(spherical(c, d, 1.0), d)
    assert torch.allclose(spherical(c, c, 0.3), c)
    assert torch.allclose(spherical(c, -c, 0.25), c / 2)
    assert not torch.isnan(spherical(torch.zeros(1, 2), torch.zeros(1, 2), 0.5)).any()


@pytest.mark.parametrize("name", ["vae", "sgan", "flow"])
def test_samples_are_the_ends_of_their_strip(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    run = files[name]
    made = translate.sample(run, tmp_path / "samples", count=8, seed=5)
    (path,) = translate.sample(run, tmp_path / "out", interpolate=("3", "7"), steps=5, seed=5)
    assert path == tmp_path / "out" / "interpolation.png"
    (row,) = cells(path)
    assert len(row) == 5
    assert close(row[0], images.read(made[3]).pixels)
    assert close(row[-1], images.read(made[7]).pixels)
    sampler = load_sampler(run)
    first, last = noise_of(sampler.network, [3, 7], 5).split(1)
    middle = sampler.network(spherical(first, last, 0.5))
    assert close(row[2], images.to_rgb(middle.detach(), sampler.domain)[0].permute(1, 2, 0))


@pytest.mark.parametrize("name", ["vae", "unit", "vaegan", "stackgan", "flow"])
def test_translations_are_the_ends_of_their_strip(
    files: dict[str, Path], pictures: tuple[str, str], tmp_path: Path, name: str
) -> None:
    run, several = files[name], name in ("unit", "vaegan", "flow")
    if several:
        with pytest.raises(TranslateError, match="has 2 networks with a code; choose one by --direction forward or"):
            translate.sample(run, tmp_path / "no", interpolate=pictures)
    (path,) = translate.sample(
        run,
        tmp_path / "strip.png",
        interpolate=pictures,
        steps=3,
        direction="backward" if several else None,
        around=pictures[0] if name == "stackgan" else None,
    )
    assert path == tmp_path / "strip.png"
    (row,) = cells(path)
    translator = translate.load(run, direction="backward" if several else None)
    batch = tensors(2)
    wanted = images.to_rgb(translator.translate(batch), translator.target).permute(0, 2, 3, 1)
    network: Any = translator.network
    # Stage II of stackgan sees one source all along.
    beside = {"image": batch[:1]} if name == "stackgan" else {}
    assert close(row[0], wanted[0])
    if not beside:
        assert close(row[-1], wanted[1])
    middle = network.image_of(network.code_of(batch).mean(0, keepdim=True), **beside).float()
    assert close(row[1], images.to_rgb(middle, translator.target)[0].permute(1, 2, 0))


def test_the_code_of_decoded_features_are_the_features() -> None:
    decoded = Decoded(nn.Flatten(), nn.Unflatten(1, (3, 4, 4)), (4, 4))
    image = torch.rand(2, 3, 4, 4)
    assert decoded.code_of(image).shape == (2, 48)
    assert torch.equal(decoded.image_of(decoded.code_of(image)), decoded(image))


def test_axes_are_traversed_around_a_sample_or_an_image(
    files: dict[str, Path], pictures: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = files["vae"]
    (path,) = translate.sample(run, tmp_path / "out", traverse=(0, 3, 5), range=2, steps=5)
    assert path == tmp_path / "out" / "traversal.png"
    assert "row 1: axis 3 of the code of 0 is -2 -1 0 1 2" in caplog.text
    sampler = load_sampler(run)
    code = noise_of(sampler.network, [0], 0)
    for row, axis in zip(cells(path), (0, 3, 5), strict=True):
        for cell, value in zip(row, (-2, -1, 0, 1, 2), strict=True):
            moved = code.clone()
            moved[0, axis] = value
            made = sampler.network(moved).detach()
            assert close(cell, images.to_rgb(made, sampler.domain)[0].permute(1, 2, 0))
    found = traverse(run, [2], around=pictures[0], steps=2, range=1.5)
    network: Any = translate.load(run).network
    code = network.code_of(tensors(1))
    code[0, 2] = 1.5
    assert found.shape == (1, 2, 3, SIZE, SIZE)
    assert torch.allclose(found[0, 1], network.image_of(code)[0], atol=1e-5)
    # An axis of maps is a map.
    maps = traverse(load_codes(files["unit"], direction="forward"), [1], around=pictures[0], steps=2)
    network = translate.load(files["unit"]).network
    code = network.code_of(tensors(1))
    code[:, 1] = -3
    assert torch.allclose(maps[0, 0], network.image_of(code)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("pixelcnn", {"interpolate": ("1", "2")}, "pixelcnn takes its noise as random numbers, which are no code, so"),
        ("cyclegan", {"interpolate": ("1", "2")}, "keeps no sampler and no translator that makes a code of an image"),
        ("cyclegan", {"traverse": (1,)}, "keeps no sampler and no translator that makes a code of an image"),
        ("cyclegan", {"interpolate": "ab", "direction": "forward"}, "forward of the method cyclegan has no code that"),
        ("sgan", {"interpolate": "ab"}, "makes codes of no images; give numbers of samples, such as 3 7"),
        ("unit", {"interpolate": ("1", "2")}, "keeps no sampler, so there are no numbered samples; give image files"),
        ("unit", {"traverse": (1,), "direction": "forward"}, "has the codes of images; name one with --around IMAGE"),
        ("vae", {"interpolate": ("1", "b.png")}, "1 and b.png are a number and a file; give two of one kind"),
        ("vae", {"interpolate": ("-1", "2")}, "samples are numbered from 0, and -1 is none; give a number or a file"),
        ("vae", {"traverse": (1,), "around": "1.5"}, "samples are numbered from 0, and 1.5 is none"),
        ("vae", {"interpolate": ("no.png", "b.png")}, "no.png"),
        ("vae", {"traverse": (0, 6)}, "has a code of 6 axes, 0 to 5, not 6"),
        ("vae", {"interpolate": ("1", "2"), "traverse": (1,)}, "are two pictures; ask for one at a time"),
        ("vae", {"interpolate": ("1", "2"), "count": 3}, "makes strips of --steps images; leave out --count"),
        ("vae", {"interpolate": ("1", "2"), "format": "jpg"}, "writes a PNG file; leave out --format"),
        ("vae", {"interpolate": ("1", "2"), "range": 3}, "--range is for --traverse; leave it out"),
        ("vae", {"interpolate": ("1", "2"), "around": "3"}, "makes whole images of its codes; leave out --around"),
        ("vae", {"interpolate": ("1", "2"), "given": {"label": 1}}, "takes no 'label'"),
        ("vae", {"interpolate": ("1", "2"), "direction": "sampel"}, "has no direction 'sampel'"),
        ("vae", {"steps": 4}, "--steps is for --interpolate and --traverse; add one of them, or leave it out"),
        ("vae", {"interpolate": ("1",)}, "interpolate must be 2 values"),
        ("vae", {"interpolate": ("1", "2"), "steps": 1}, "steps must be a whole number >= 2"),
    ],
)
def test_what_has_nothing_between_is_one_sentence(
    files: dict[str, Path], pictures: tuple[str, str], tmp_path: Path, name: str, options: dict[str, Any], sentence: str
) -> None:
    options = {each: pictures if value == "ab" else value for each, value in options.items()}
    with pytest.raises(TranslateError, match=sentence) as caught:
        translate.sample(files[name], tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_conditions_are_held_and_vectors_move(tmp_path: Path) -> None:
    file = taking.saved(tmp_path / "it.safetensors")
    codes = load_codes(file, numbered=True, plugins=[taking.PLUGIN])
    plain = interpolate(codes, 0, 1, steps=3)
    night = interpolate(codes, 0, 1, steps=3, given={"label": "night"})
    assert torch.allclose(night, plain + 0.1)
    rows = np.array([[0.0, 0.0], [2.0, 4.0]], np.float32)
    moved = interpolate(codes, 0, 1, steps=3, given={"text": rows})
    assert torch.allclose(moved, plain + torch.tensor([0.0, 0.15, 0.3]).view(-1, 1, 1, 1))
    with pytest.raises(TranslateError, match="label differs at the two ends, and only vectors have something between"):
        interpolate(codes, 0, 1, given={"label": [0, 1]})
    assert torch.allclose(interpolate(codes, 0, 1, steps=3, given={"label": [1, 1]}), night)
    along = traverse(codes, [0, 1], steps=2, range=4, given={"power": 2, "text": rows})
    noise = noise_of(codes.network, [0], 0)
    noise[0, 1] = 4
    assert torch.allclose(along[1, 1], torch.full((3, 16, 16), float(0.05 * noise.mean() ** 2)))


def test_styles_of_stargan_lie_between_two_references(tmp_path: Path, pictures: tuple[str, str]) -> None:
    file = saved(tmp_path, small("methods", "stargan"))
    found = interpolate(file, *pictures, steps=2, given={"label": "b"}, around=pictures[1])
    translator, references = translate.load(file, device="cpu"), tensors(2)
    wanted = translator.translate(references[[1, 1]], given={"label": "b", "reference": references})
    assert torch.allclose(found, wanted, atol=1e-4)
    with pytest.raises(TranslateError, match="changes an image by its codes; name one with --around IMAGE"):
        interpolate(file, *pictures, given={"label": "b"})


class Styled(nn.Module):
    """An image to which the mean of another, its style, is added, scaled by a class."""

    def code_of(self, image: Tensor, *, label: Tensor) -> Tensor:
        return image.mean((1, 2, 3))[:, None] * (label[:, None] + 1)

    def image_of(self, code: Tensor, *, image: Tensor) -> Tensor:
        return image / 2 + code[:, :, None, None] / 2

    def forward(self, image: Tensor, *, label: Tensor, mask: Tensor | None = None) -> Tensor:
        return image


def test_styles_change_an_image(tmp_path: Path) -> None:
    Styled.forward.__annotations__ |= {
        "label": Annotated[Tensor, Input("class", of="target")],
        "mask": Annotated[Tensor | None, Input("aligned")],
    }
    network, domain = Styled(), Domain(3, labels=taking.LABELS)
    codes = Codes(
        network, catalog=discover(), direction="forward", method="styled", source=domain, target=domain, size=(16, 16),
        device=torch.device("cpu"), taken=taken_by(network, domains={"source": domain, "target": domain}),
    )  # fmt: skip
    a, b, content = torch.full((3, 16, 16), 0.2), torch.full((3, 16, 16), 0.4), torch.zeros(3, 16, 16)
    found = interpolate(codes, a, b, steps=3, given={"label": "night"}, around=content)
    assert torch.allclose(found[:, 0, 0, 0], torch.tensor([0.2, 0.3, 0.4]))
    with pytest.raises(TranslateError, match="changes an image by its codes; name one with --around IMAGE"):
        interpolate(codes, a, b, given={"label": "night"})
    with pytest.raises(TranslateError, match="needs label, a class of the target"):
        interpolate(codes, a, b, around=content)
    with pytest.raises(TranslateError, match="makes no use of mask for its codes; leave it out"):
        interpolate(codes, a, b, given={"label": 0, "mask": torch.zeros(1, 16, 16)}, around=content)
    with pytest.raises(TranslateError, match="takes images of the shape"):
        interpolate(codes, a[:1], b, given={"label": 0}, around=content)


def test_the_command_line_writes_strips_and_replaces_nothing(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*flags: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["sample", str(files["vae"]), str(tmp_path / "out"), *flags])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    code, output = call("--interpolate", "3", "7", "--steps", "4")
    assert code == 0, output
    assert f"made {tmp_path / 'out' / 'interpolation.png'}" in output
    assert len(cells(tmp_path / "out" / "interpolation.png")[0]) == 4
    code, output = call("--interpolate", "3", "7")
    assert code == 2
    assert "already; name another place, or replace it with --overwrite" in output
    assert call("--interpolate", "3", "7", "--overwrite")[0] == 0
    assert len(cells(tmp_path / "out" / "interpolation.png")[0]) == 8
    assert call("--traverse", "0,2")[0] == 0
    assert len(cells(tmp_path / "out" / "traversal.png")) == 2
    code, output = call("--interpolate", "3")
    assert code == 2
    assert "requires 2 arguments" in output
