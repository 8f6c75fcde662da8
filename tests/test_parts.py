"""Building by name: what is handed to a factory, and what is told when it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from translate.data import Dataset, Domain
from translate.errors import TranslateError
from translate.factories import call_factory
from translate.layouts import open_dataset
from translate.parts import CatalogParts, build, build_method
from translate.plugins import Catalog, discover

PLUGIN = '''
from pathlib import Path
from torch import nn
from translate import hookimpl
from translate.method import Method

class Plain(nn.Conv2d):
    """A convolution."""
    def __init__(self, inputs, outputs, *, kernel: int = 3):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)

def greedy(inputs, wishes):
    """Asks for more than there is."""

class Reserved(Method):
    """Uses a name of the core's own."""
    def __init__(self, parts, *, steps: int = 3):
        super().__init__()

class Weighing(nn.Module):
    """A loss whose weights are a number."""
    def __init__(self, *, weights: float = 1.0):
        super().__init__()

class Unread(nn.Module):
    """A loss that reads no file."""
    def __init__(self, *, weights: Path | None = None):
        super().__init__()

@hookimpl
def losses():
    return {"weighing": Weighing, "unread": Unread}

@hookimpl
def generators():
    return {"plain": Plain, "greedy": greedy, "nothing": lambda inputs: None}

@hookimpl
def methods():
    return {"reserved": Reserved, "strange": lambda parts: 5}

@hookimpl
def datasets():
    return {"nodata": lambda: 5}
'''


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    path = tmp_path_factory.mktemp("plugin") / "parts_plugin.py"
    path.write_text(PLUGIN)
    return discover(extra=[str(path)])


def parts(catalog: Catalog, source: int = 3, target: int = 1, size: tuple[int, int] = (64, 64)) -> CatalogParts:
    return CatalogParts(catalog, source=Domain(source), target=Domain(target), size=size)


def test_channels_come_from_the_domains_unless_told_otherwise(catalog: Catalog) -> None:
    assert parts(catalog).generator("plain").weight.shape == (1, 3, 3, 3)
    assert parts(catalog).generator("plain(kernel=5)", inputs=7, outputs=2).weight.shape == (2, 7, 5, 5)


def test_an_adversary_by_name(catalog: Catalog) -> None:
    adversary = parts(catalog).adversary(
        "patch(width=4, receptive_field=16)", loss="hinge + r1(weight=2) + gradient_penalty", condition="source", pool=4
    )
    assert list(adversary.regularizers) == ["r1", "gradient_penalty"]
    assert adversary.pool is not None
    assert adversary.pool.images.shape == (4, 4, 64, 64)
    image, condition = torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64)
    terms = adversary.discriminator_terms(image, image, condition)
    assert terms.keys() == {"adversarial", "r1", "gradient_penalty"}
    with pytest.raises(TranslateError, match="names a regularizer twice"):
        parts(catalog).adversary("patch(receptive_field=16)", loss="hinge + r1 + r1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("greedy", "greedy asks for 'wishes', which is not at hand; choose from size, inputs, outputs"),
        ("nothing", "nothing is not a network: its factory returned a NoneType"),
        ("plain(kernel=x)", "plain: kernel must be a whole number, not 'x'"),
        ("plain(stride=2)", "plain has no option 'stride'; choose from kernel"),
    ],
)
def test_what_does_not_fit_is_one_sentence(catalog: Catalog, name: str, message: str) -> None:
    with pytest.raises(TranslateError) as caught:
        parts(catalog).generator(name)
    assert message in str(caught.value)


def test_training_sizes_that_do_not_fit_name_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(TranslateError, match="train with --size 64x32 or 68x36"):
        parts(catalog, size=(66, 34)).generator("resnet(blocks=1, width=4)")


def test_a_method_may_not_use_names_of_the_core(catalog: Catalog) -> None:
    with pytest.raises(TranslateError, match="option 'steps', a name that fit itself uses"):
        build_method(catalog, "reserved", {}, parts(catalog))
    with pytest.raises(TranslateError, match=r"'strange' .* is no translate\.method\.Method"):
        build_method(catalog, "strange", {}, parts(catalog))


def test_datasets_by_name_by_folder_and_by_layout(catalog: Catalog, tmp_path: Path) -> None:
    demo = open_dataset(catalog, "demo(size=32, count=3)")
    assert isinstance(demo, Dataset)
    assert len(demo.splits["train"]["source"]) == 3
    with pytest.raises(TranslateError, match="there is no folder 'nowhere', nor a dataset of that name"):
        open_dataset(catalog, "nowhere")
    with pytest.raises(TranslateError, match="holds no images"):
        open_dataset(catalog, str(tmp_path))
    with pytest.raises(TranslateError, match="nodata is no dataset: its factory returned a int"):
        open_dataset(catalog, "nodata")


def test_results_lack_nothing_that_a_part_of_their_kind_has() -> None:
    from types import ModuleType

    from translate.plugins import Offer, Plugin

    plugin = Plugin("mine", "mine", "1", ModuleType("mine"))
    for kind, built, message in (
        ("losses", None, "x is no loss: its factory returned a NoneType, which cannot be called"),
        ("adversarial_losses", len, "is no adversarial loss: .* which has no method discriminator"),
        ("metrics", 3, "x is no metric: its factory returned a int, which has no method update"),
        ("optimizers", (), "x is no optimizer"),
        ("schedules", 1.0, "x is no schedule"),
        ("augmentations", "", "x is no augmentation"),
    ):
        with pytest.raises(TranslateError, match=message):
            call_factory(Offer(kind, "x", plugin, lambda built=built: built), given={}, options={})
    assert call_factory(Offer("losses", "x", plugin, lambda: len), given={}, options={}) is len


def test_something_else_may_be_called_weights(catalog: Catalog) -> None:
    """Only a path is the file that a network reads."""
    made = parts(catalog)
    assert isinstance(made.loss("weighing(weights=0.5)"), nn.Module)
    with pytest.raises(TranslateError, match="has no method read"):
        made.loss("unread(weights='w.pth')")


def test_passes_are_methods(catalog: Catalog) -> None:
    for passes, message in (
        (("inverse",), "passes of Linear names 'inverse', which is no method"),
        (3, "must be a tuple"),
    ):
        made = parts(catalog)
        network = made.own(nn.Linear(1, 1))
        network.passes = passes  # type: ignore[assignment]
        with pytest.raises(TranslateError, match=message):
            build_method(catalog, "regression", {}, made)


def test_a_folder_that_can_be_read_in_two_ways_shows_the_choices(catalog: Catalog, tmp_path: Path) -> None:
    import numpy as np

    from translate import images

    for side in ("left_eye", "right_eye"):
        (tmp_path / side).mkdir()
        for name in ("1.png", "2.png"):
            images.write(tmp_path / side / name, images.Image(np.zeros((8, 8, 3), np.uint8), None))
    with pytest.raises(TranslateError, match="more than one way; choose --layout") as caught:
        open_dataset(catalog, str(tmp_path))
    choice = str(caught.value).split('--layout "')[1].split('"')[0]
    assert open_dataset(catalog, str(tmp_path), choice).paired


def test_optimizers_and_schedules_are_handed_what_they_ask_for(catalog: Catalog) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = build(catalog, "optimizers", "adam(lr=0.5)", parameters=[weight])
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert build(catalog, "schedules", "none")(3, 10) == 1
