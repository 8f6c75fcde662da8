"""What a network takes beside its image: declared in its class, written into its file, given in Python."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import PIL.Image
import pytest
import taking
import torch
from torch import Tensor, nn

import translate
from translate import images
from translate.data import Domain
from translate.errors import TranslateError, UnfitError
from translate.options import Option
from translate.plugins import discover
from translate.saved import load_sampler
from translate.taken import Input, Taken, taken_by
from translate.translator import Translator

DOMAINS = {"source": Domain(3), "target": Domain(3, labels=taking.LABELS), "mask": Domain(1)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taking.saved(tmp_path_factory.mktemp("taken") / "taking.safetensors")


def load(file: Path, **options: Any) -> Translator:
    return translate.load(file, plugins=[taking.PLUGIN], device="cpu", **options)


@pytest.fixture(scope="module")
def translator(file: Path) -> Translator:
    return load(file)


def batch(count: int = 2, height: int = 13, width: int = 18) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 1


def test_declarations_are_read_from_the_class_and_return_from_json() -> None:
    taken = taken_by(taking.Taking, domains=DOMAINS, vectors={"text": 2})
    assert list(taken.options) == ["passes", "shift", "kind"]
    assert {name: each.kind for name, each in taken.inputs.items()} == {
        "label": "class", "reference": "image", "mask": "aligned", "text": "vector",
    }  # fmt: skip
    assert taken.inputs["label"].labels == taking.LABELS
    assert taken.inputs["text"].length == 2
    again = Taken.from_json(json.loads(json.dumps(taken.to_json())))
    assert again.inputs == taken.inputs
    assert again.to_json() == taken.to_json()
    assert again.constants({"passes": "4", "kind": "invert"}, "it") == {"passes": 4, "kind": "invert"}
    assert taken_by(taking.Noisy(), domains=DOMAINS).noise[0].domain == Domain(3)
    assert not taken_by(nn.Conv2d(3, 3, 1), domains=DOMAINS)


def test_all_types_of_options_are_written_and_read() -> None:
    class Many(nn.Module):
        def forward(
            self,
            image: Tensor,
            *,
            one: Annotated[int | None, Option("a", gt=0)] = None,
            two: Annotated[tuple[float, float], Option("b")] = (0.0, 1.0),
            three: Annotated[tuple[str, ...], Option("c")] = (),
            four: Annotated[bool, Option("d")] = False,
            five: Annotated[int, Option("e")],
        ) -> Tensor:
            return image

    # Hints of a class within a function need what they name at its module's level.
    taken = Taken.from_json(json.loads(json.dumps(taken_by(Many, domains=DOMAINS).to_json())))
    given = {"one": "3", "two": "1,2", "three": "x", "four": "yes", "five": "7"}
    found = taken.constants(given, "it")
    assert found == {"one": 3, "two": (1.0, 2.0), "three": ("x",), "four": True, "five": 7}
    assert taken.constants({"five": 7, "one": "none"}, "it") == {"five": 7}
    with pytest.raises(TranslateError, match="it needs the option 'five', a whole number; give it with --set five="):
        taken.constants({}, "it")


def refused(forward: Callable[..., Tensor]) -> str:
    with pytest.raises(TranslateError) as error:
        taken_by(type("Net", (nn.Module,), {"forward": forward}), domains=DOMAINS)
    return str(error.value)


def test_declarations_that_cannot_be_given_are_refused() -> None:
    def twice(
        self: Any, image: Tensor, *, a: Annotated[int, Option("x"), Input("class", of="target")] = 1
    ) -> Tensor: ...
    def path(self: Any, image: Tensor, *, a: Annotated[Path, Option("x")] = Path()) -> Tensor: ...
    def bare(self: Any, image: Tensor, *, a: int) -> Tensor: ...
    def reserved(self: Any, image: Tensor, *, seed: Annotated[int, Option("x")] = 1) -> Tensor: ...
    def of(self: Any, image: Tensor, *, a: Annotated[Tensor | None, Input("class", of="tarjet")] = None) -> Tensor: ...
    def place(self: Any, image: Tensor, a: Annotated[Tensor | None, Input("class", of="target")] = None) -> Tensor: ...
    def default(self: Any, image: Tensor, *, a: Annotated[int, Input("class", of="target")] = 1) -> Tensor: ...

    assert "declares a twice" in refused(twice)
    assert "an option a of a type that nobody can give" in refused(path)
    assert "needs a, but does not declare it" in refused(bare)
    assert "calls an argument 'seed'" in refused(reserved)
    assert "domain 'tarjet', which is not there; did you mean target?" in refused(of)
    assert "takes the input a by position; put it behind a *" in refused(place)
    assert "gives the input a a default" in refused(default)
    with pytest.raises(
        TranslateError, match="an input is no 'mask'; choose from class, image, aligned, vector, noise, latent"
    ):
        Input("mask")  # type: ignore[arg-type]


def test_the_file_tells_what_is_taken_and_show_prints_it(file: Path) -> None:
    found = translate.show(file)
    assert list(found.takes) == ["forward", "sample"]
    assert found.takes["forward"]["inputs"]["text"] == {
        "kind": "vector",
        "of": "text",
        "help": "numbers whose mean is added",
        "length": 2,
    }
    lines = "\n".join(found.lines())
    assert "passes: a whole number >= 1 and <= 100 (default: 1); how often the image is taken" in lines
    assert "label: a class of the target: day, night, dusk; class to show" in lines
    assert "mask: an image as large as its image of the mask, gray; where it is" in lines
    json.dumps(found.to_json())


def test_options_and_inputs_have_their_answers(translator: Translator) -> None:
    x = batch()
    assert torch.equal(translator.translate(x), x)
    assert torch.allclose(translator.translate(x, given={"passes": "3", "shift": 0.5}), x / 4 + 0.5)
    assert torch.equal(translator.translate(x, given={"kind": "invert"}), -x)
    assert torch.allclose(translator.translate(x, given={"label": "night"}), x + 0.1)
    assert torch.allclose(
        translator.translate(x, given={"label": [2, "day"]})[:, :, 0], x[:, :, 0] + torch.tensor([0.2, 0]).view(2, 1, 1)
    )
    assert torch.allclose(translator.translate(x, given={"label": torch.tensor([1, 2])})[1], x[1] + 0.2)
    assert torch.allclose(translator.translate(x, given={"text": "0.5,1.5"}), x + 0.1)
    assert torch.allclose(translator.translate(x, given={"text": np.array([[0, 2], [2, 4.0]])})[1], x[1] + 0.3)
    mask = torch.ones(2, 1, 13, 18)
    mask[1, :, :, :9] = -1
    found = translator.translate(x, given={"mask": mask})
    assert torch.equal(found[0], x[0])
    assert torch.equal(found[1, :, :, 9:], x[1, :, :, 9:])
    assert not found[1, :, :, :9].any()
    assert torch.allclose(translator.translate(x, given={"reference": torch.full((3, 40, 30), 0.5)}), x + 0.05)
    together = {"label": [0, 2], "mask": mask, "text": torch.zeros(2), "passes": 2}
    whole = translator.translate(x, given=together)
    rows = [
        translator.translate(x[row : row + 1], given={**together, "label": label, "mask": mask[row]})
        for row, label in enumerate((0, 2))
    ]
    assert torch.allclose(whole, torch.cat(rows))


def test_pictures_arrays_and_files_are_taken(translator: Translator, tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), 128, np.uint8)
    white = np.full((16, 16), 255, np.uint8)
    black = np.zeros((16, 16, 1), np.uint8)
    assert (translator(pixels, given={"mask": white}) == pixels).all()
    assert (translator(pixels, given={"mask": black}) == 128).all()
    assert (translator(pixels, given={"label": "dusk"}) == 154).all()
    images.write(tmp_path / "white.png", images.Image(np.full((9, 7, 3), 255, np.uint8)))
    assert (translator(pixels, given={"reference": tmp_path / "white.png"}) == 141).all()
    assert (translator(pixels, given={"reference": str(tmp_path / "white.png")}) == 141).all()
    answer = translator(PIL.Image.fromarray(pixels), given={"mask": PIL.Image.fromarray(white), "label": 1})
    assert (np.asarray(answer) == 141).all()
    assert translator(batch()[0], given={"label": 1}).shape == (3, 13, 18)
    np.save(tmp_path / "one.npy", np.array([1.0, 3.0], np.float32))
    assert (translator(pixels, given={"text": tmp_path / "one.npy"}) == 154).all()
    np.save(tmp_path / "two.npy", np.array([[1, 3], [0, 0]], np.float32))
    assert (
        translator(np.stack([pixels, pixels]), given={"text": tmp_path / "two.npy"})[:, 0, 0, 0] == [154, 128]
    ).all()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lable": 1}, "the translator forward takes no 'lable'; did you mean label\\? \\(passes, shift, kind, label, ref"),
    ({"label": "nihgt"}, "label is a class, and none is called 'nihgt'; did you mean night\\? \\(day, night, dusk\\)"),
    ({"label": 3}, "label is a class, and 3 is none; there are 0 to 2 \\(day, night, dusk\\)"),
    ({"label": True}, "label is a class, and none is called 'True'"),
    ({"label": -1}, "-1 is none"),
    ({"label": [0, 1, 2]}, "label has 3 rows, and there are 2 images"),
    ({"label": torch.zeros(2)}, "label is a class; give its name, or whole numbers"),
    ({"passes": 0}, "passes must be a whole number >= 1 and <= 100, not 0"),
    ({"passes": "many"}, "passes must be a whole number"),
    ({"kind": "inverse"}, "kind must be 'keep' or 'invert', not 'inverse'; did you mean invert"),
    ({"text": [1.0, 2.0, 3.0]}, "text has 3 numbers, and 2 are needed"),
    ({"text": "1,x"}, "text is a vector of the text of 2 numbers, and 1,x is no table"),
    ({"text": [1.0, float("nan")]}, "text holds numbers that are not finite"),
    ({"text": np.zeros((3, 2))}, "text has 3 rows, and there are 2 images"),
    ({"mask": torch.ones(1, 13, 17)}, "mask has 17 x 13 pixels, and its image has 18 x 13"),
    ({"mask": torch.ones(2, 13, 18)}, "mask has the shape \\(2, 13, 18\\), and \\(1, H, W\\) is taken"),
    ({"mask": [np.zeros((13, 18), np.uint8)] * 2}, "mask is an image as large as its image.*, not \\[array"),
    ({"text": np.full((2, 2), 1e300)}, "text holds numbers that are not finite"),
    ({"reference": 7}, "reference"),
    ({"reference": object()}, "the translator forward: reference: an image is a path, .* not object"),
    (["label"], "the translator.*: given holds values by name, such as .*, not \\['label'\\]"),  # type: ignore[list-item]
    ({1: 2}, "given holds values by name"),  # type: ignore[dict-item]
    ({"reference": "nowhere.png"}, "there is no file or folder nowhere.png for reference"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_wrong_values_are_one_sentence(translator: Translator, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TranslateError, match=sentence) as error:
        translator.translate(batch(), given=given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": 0}, "samples must be a whole number >= 1, or none, not 0"),
        ({"samples": -1}, "samples must be a whole number >= 1"),
        ({"samples": 1.5}, "samples must be a whole number >= 1"),
        ({"samples": True}, "samples must be a whole number >= 1"),
        ({"seed": 1.5}, "a seed is a whole number, or one for each image, not 1.5"),
        ({"seed": None}, "a seed is a whole number"),
        ({"seed": "12"}, "a seed is a whole number"),
        ({"seed": [1]}, "there are 1 seeds for 2 images; give one, or one for each"),
        ({"given": {"noise": torch.zeros(3, 5, 5)}}, "noise has 5 x 5 pixels, and its image has 18 x 13"),
    ],
)
def test_wrong_seeds_and_numbers_of_samples_are_one_sentence(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    noisy = load(taking.saved(tmp_path / "noisy.safetensors", "noisy"))
    with pytest.raises(TranslateError, match=sentence) as error:
        noisy.translate(batch(), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("network", ["noisy", "drawing", "taking"])
def test_seeds_of_any_kind_and_a_batch_without_images(tmp_path: Path, network: str) -> None:
    translator = load(taking.saved(tmp_path / "it.safetensors", network))
    wanted = translator.translate(batch(), seed=[3, 4])
    for seeds in (torch.tensor([3, 4]), np.array([3, 4]), (3, np.int64(4))):
        assert torch.equal(translator.translate(batch(), seed=seeds), wanted)
    assert torch.equal(translator.translate(batch(), seed=np.int64(3)), translator.translate(batch(), seed=3))
    assert translator.translate(batch()[:0]).shape == (0, 3, 13, 18)
    sampler = load_sampler(tmp_path / "it.safetensors", plugins=[taking.PLUGIN], device="cpu")
    assert sampler.draw([]).shape == (0, 3, 16, 16)


def test_a_network_that_takes_images_alone_says_so() -> None:
    plain = Translator(
        nn.Conv2d(3, 3, 1), catalog=discover(), direction="forward", directions=("forward",), source=Domain(3),
        target=Domain(3), size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip
    with pytest.raises(TranslateError, match="takes no 'passes'; there is nothing else that it takes"):
        plain.translate(batch(), given={"passes": 2})


def test_noise_is_a_function_of_seed_and_sample_alone(tmp_path: Path) -> None:
    noisy = load(taking.saved(tmp_path / "noisy.safetensors", "noisy"))
    x = batch(8)
    before = torch.get_rng_state()
    whole = noisy.translate(x, samples=3, seed=5)
    alone = torch.cat([noisy.translate(x[row : row + 1], samples=3, seed=5) for row in range(8)])
    assert torch.equal(whole, alone)
    assert torch.equal(noisy.translate(x, samples=2, seed=5).view(8, 2, 3, 13, 18), whole.view(8, 3, 3, 13, 18)[:, :2])
    assert torch.equal(noisy.translate(x, seed=5), whole.view(8, 3, 3, 13, 18)[:, 0])
    assert torch.equal(noisy.translate(x), noisy.translate(x))
    assert not torch.equal(noisy.translate(x, seed=6), noisy.translate(x, seed=5))
    seeds = list(range(8))
    rows = torch.cat([noisy.translate(x[row : row + 1], seed=row) for row in seeds])
    assert torch.equal(noisy.translate(x, seed=seeds), rows)
    # A smaller image has the same noise, where it is.
    drawn = (noisy.translate(x, seed=5) - 0.9 * x)[0, :, :8, :8]
    assert torch.allclose((noisy.translate(x[..., :8, :8], seed=5) - 0.9 * x[..., :8, :8])[0], drawn, atol=1e-6)
    noise = (noisy.translate(torch.zeros(1, 3, 64, 64), given={"share": 1}) / 1).flatten()
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05
    given = torch.ones(3, 13, 18)
    assert torch.allclose(noisy.translate(x, given={"noise": given}), 0.9 * x + 0.1)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_network_draws_itself_is_one_too(tmp_path: Path) -> None:
    drawing = load(taking.saved(tmp_path / "drawing.safetensors", "drawing"))
    x = batch(8)
    before = torch.get_rng_state()
    whole = drawing.translate(x, samples=3, seed=5)
    assert torch.equal(whole, torch.cat([drawing.translate(x[row : row + 1], samples=3, seed=5) for row in range(8)]))
    assert torch.equal(drawing.translate(x, seed=5), whole.view(8, 3, 3, 13, 18)[:, 0])
    assert not torch.equal(whole[0], whole[1])
    assert torch.equal(drawing.translate(x, samples=2, seed=5)[1], whole[1])
    found: dict[int, Tensor] = {}

    def compute(number: int) -> None:
        replica = drawing.replicate()
        assert replica is not None
        found[number] = replica.translate(x, seed=5)

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], drawing.translate(x, seed=5)) for number in range(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_of_a_network_without_noise_are_refused(translator: Translator) -> None:
    with pytest.raises(UnfitError, match="draws no noise"):
        translator.translate(batch(), samples=2)
    with pytest.raises(TranslateError, match="there are 3 seeds for 2 images"):
        translator.translate(batch(), seed=[1, 2, 3])


def test_old_samplers_by_position_draw_what_they_drew() -> None:
    class Old(nn.Module):
        def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
            x = image if samples is None else image.repeat_interleave(samples, 0)
            return nn.functional.dropout(x, 0.5, training=samples is not None)

    old = Translator(
        Old(), catalog=discover(), direction="forward", directions=("forward",), source=Domain(3), target=Domain(3),
        size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip
    x = batch(1)
    from translate.seeds import seed_step

    with torch.random.fork_rng():
        seed_step(7, 0)
        wanted = nn.functional.dropout(x, 0.5)
    assert torch.equal(old.translate(x, samples=1, seed=7), wanted)
    assert torch.equal(old.translate(x, samples=3, seed=7)[:1], wanted)
    assert torch.equal(old.translate(x), x)


METHOD = """
from typing import Annotated
import torch
from torch import Tensor, nn
from translate import hookimpl
from translate.method import Method, Update
from translate.taken import Input

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image, *, noise: Annotated[Tensor, Input("noise")], label: Annotated[Tensor, Input("class", of="{of}")]{default}):
        return image * self.scale + 0.1 * noise

class Needing(Method):
    def __init__(self, parts):
        super().__init__()
        self.net = Net()

    @property
    def players(self):
        return {{"net": self.net}}

    @property
    def translators(self):
        return {{"forward": self.net}}

    def updates(self, batch, step):
        fake = self.net(batch["source"], noise=torch.randn_like(batch["source"]), label=None)
        yield Update("net", {{"l1": (fake - batch["target"]).abs().mean()}})

@hookimpl
def methods():
    return {{"needing": Needing}}
"""


@pytest.mark.parametrize("default", ["", " = None"])
def test_a_training_keeps_what_its_network_needs(tmp_path: Path, default: str) -> None:
    plugin = tmp_path / f"needing{len(default)}.py"
    plugin.write_text(METHOD.format(of="target", default=default))
    run = translate.fit(
        "needing", "demo(size=16, count=4)", output=tmp_path / "run", plugins=[str(plugin)], size=16, steps=2,
        sample_every=1, device="cpu",
    )  # fmt: skip
    found = translate.show(run.folder).takes["forward"]["inputs"]
    assert found["noise"]["required"]
    assert found["label"].get("required", False) is not bool(default)
    loaded = translate.load(run.folder, plugins=[str(plugin)], device="cpu")
    x = torch.zeros(1, 3, 16, 16)
    if default:
        assert float(loaded.translate(x).std()) == pytest.approx(0.1, abs=0.02)
        return
    with pytest.raises(
        TranslateError, match="needs label, a class of the target: day, sunset, night; give it with --with label=VALUE"
    ):
        loaded.translate(x)
    assert loaded.bytes_for((64, 64)) > 2 * 3 * 64 * 64 * 4


def test_a_method_whose_network_cannot_be_given_is_refused_when_it_is_built(tmp_path: Path) -> None:
    plugin = tmp_path / "wrong.py"
    plugin.write_text(METHOD.format(of="tarjet", default=""))
    with pytest.raises(TranslateError, match="method 'needing' of the plugin .*domain 'tarjet', which is not there"):
        translate.fit("needing", "demo(size=16, count=4)", output=tmp_path / "run", plugins=[str(plugin)], size=16)
