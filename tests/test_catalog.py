"""Contracts over the whole catalog: everything that our plugins offer, built small, and options in any combination."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from translate import testing
from translate.errors import TranslateError
from translate.plugins import KINDS, OURS, discover

GAN = "generator='unet(width=4)', discriminator='patch(width=4, receptive_field=16)'"
SMALL = {
    "unet": "unet(width=4)",
    "resnet": "resnet(blocks=1, width=4)",
    "patch": "patch(width=4, receptive_field=16)",
    "two_headed": "two_headed(width=4, receptive_field=16)",
    "classifier": "classifier(network='semi_supervised(width=4)')",
    "dtn": "dtn(features='squeezenet(weights=none, resize=no, layer=2)', generator='unet(width=4)', "
    "discriminator='semi_supervised(width=4)')",
    "squeezenet": "squeezenet(weights=none, resize=no)",
    "inception": "inception(weights=none, layer=pool1)",
    "pix2pix": f"pix2pix({GAN})",
    # Without noise, which a pool and dropout would draw in another order than its loop by hand.
    "cyclegan": f"cyclegan({GAN.replace('(width=4)', '(width=4, dropout=0)', 1)})",
    "gan": f"gan({GAN})",
    "cut": f"cut({GAN.replace('(width=4)', '(width=4, dropout=0)', 1)}, patches=16, features=8)",
    "fastcut": f"fastcut({GAN}, patches=16, features=8)",
    "small_resnet": "small_resnet(blocks=1, width=4)",
    "small_unet": "small_unet(width=4)",
    "small_patch": "small_patch(width=4)",
    "shallow": "shallow(width=4)",
    "multiscale": "multiscale(width=4)",
    "global_local": "global_local(width=4, blocks=1, enhancer_blocks=1)",
    "pix2pixhd": "pix2pixhd(generator='global_local(width=4, blocks=1)', discriminator='multiscale(width=4, scales=2)')",
    "stackgan": "stackgan(encoder='residual(width=4)', decoder='residual(width=4)', refiner='resnet(width=4, blocks=1)', "
    "coarse_discriminator='patch(width=4, receptive_field=16)', discriminator='patch(width=4, receptive_field=16)')",
    "semi_supervised": "semi_supervised(width=4)",
    "auxiliary": "auxiliary(width=4)",
    "auxiliary_patch": "auxiliary_patch(width=4)",
    "mlp": "mlp(width=8)",
    "sgan": "sgan(generator='dcgan(width=4)', discriminator='semi_supervised(width=4)', latent=8)",
    "cgan": "cgan(generator='dcgan(width=4)', discriminator='projection(width=4)', latent=8, embedding=8)",
    "projection": "projection(width=4)",
    "concatenation": "concatenation(width=4)",
    "dcgan": "dcgan(width=4)",
    "residual": "residual(width=4)",
    "regression": "regression(generator='unet(width=4)')",
    "unit": "unit(encoder='residual(width=4)', decoder='residual(width=4)', "
    "discriminator='patch(width=4, receptive_field=16)')",
    "vae": "vae(encoder='dcgan(width=4)', decoder='dcgan(width=4)')",
    "vaegan": "vaegan(encoder='dcgan(width=4)', decoder='dcgan(width=4)', "
    "discriminator='patch(width=4, receptive_field=16)', domains=2)",
    "flow": "flow(couplings='residual(width=4, blocks=1)', layers=1, discriminator='patch(width=4, receptive_field=16)')",
    "multi_branch": "multi_branch(width=4, widest=16)",
    "stargan": "stargan(width=4, widest=16, blocks=1, style_width=4, latent=3, hidden=8, "
    "discriminator='multi_branch(width=4, widest=16)')",
    "bridge": "bridge(denoiser='unet(width=8, multipliers=(1, 2), blocks=1)')",
    "folders": "folders(source='source', target='target')",
    "frechet": "frechet(extractor='squeezenet(weights=none, resize=no, layer=2)', positions=yes)",
    "kid": "kid(extractor='squeezenet(weights=none, resize=no)')",
    "cmmd": "cmmd(extractor='squeezenet(weights=none, resize=no, layer=2)')",
    "precision_recall": "precision_recall(extractor='squeezenet(weights=none, resize=no, layer=2)')",
    "perceptual_distance": "perceptual_distance(extractor='squeezenet(weights=none, resize=no, layer=2)')",
    "pixelcnn": "pixelcnn(levels=4, width=4, layers=1)",
}
CHECKS = testing.CHECKS
CATALOG = discover()
OFFERS = [
    (kind, name) for kind in KINDS for name, offer in CATALOG.offers(kind).items() if offer.plugin.distribution == OURS
]


def small(kind: str, name: str) -> str:
    """A part as it is built here."""
    return SMALL.get(f"{kind}/{name}", SMALL.get(name, name))


COMPILING = [("runtimes", "compiled")]
"""What takes half a minute; see ``make test-compiled``."""
TRAINED = [("metrics", name) for name in ("content_accuracy", "class_diversity", "segmentation", "fid")]
"""What needs a run or a file of its own; their tests have one."""
WHOLE = ("bridge", "cgan", "classifier", "cut", "cyclegan", "dtn", "gan", "pix2pix", "stargan", "unit", "vaegan")
"""Plugins whose own tests check all that they offer."""


@pytest.mark.parametrize(("kind", "name"), OFFERS, ids=lambda value: str(value))
def test_options_are_documented(kind: str, name: str) -> None:
    testing.check_options_documented(kind, name)


UNDOCUMENTED = """
from typing import Annotated
from translate import hookimpl
from translate.options import Option
class Odd:
    {docstring!r}
    def __init__(self, parts, *, {option}): ...
@hookimpl
def {kind}(): return {{"odd": Odd}}
"""
SOUND = 'width: Annotated[int, Option("channels", ge=1)] = 8'


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"docstring": ""}, "the first line of the docstring says what it is"),
        ({"option": "width: int = 8"}, "the option width needs a help text"),
        ({"option": SOUND.replace("= 8", "= 0")}, "odd: width must be a whole number >= 1, not 0"),
        ({"option": SOUND.replace("width", "batch")}, "odd: batch is the name of an option of fit"),
    ],
)
def test_options_that_are_not_documented_are_refused(tmp_path: Path, changed: dict[str, str], told: str) -> None:
    file = tmp_path / "odd_parts.py"
    file.write_text(UNDOCUMENTED.format(**{"docstring": "A part.", "option": SOUND, "kind": "methods", **changed}))
    with pytest.raises((AssertionError, TranslateError), match=told):
        testing.check_options_documented("methods", "odd", plugins=[str(file)])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind, name in OFFERS
        if (kind, name) not in COMPILING + TRAINED and CATALOG.offer(kind, name).plugin.name not in WHOLE
    ],
    ids=lambda value: str(value),
)
def test_contract(kind: str, name: str) -> None:
    CHECKS[kind](small(kind, name))


@pytest.mark.parametrize("plugin", WHOLE)
def test_the_others_are_checked_by_their_own_tests(plugin: str) -> None:
    text = (Path(__file__).parent / "plugins" / f"test_{plugin}.py").read_text(encoding="utf-8")
    assert re.search(rf'^    check_plugin\(\s*"{plugin}"', text, re.MULTILINE)


GRADED = [
    (kind, name)
    for kind, name in OFFERS
    # Inception resizes all images to 299 px; its own tests have the gradient of a smaller one.
    if kind in ("generators", "discriminators", "encoders", "decoders", "feature_extractors") and name != "inception"
] + [
    ("generators", "resnet(blocks=1, width=4, norm=batch)"),
    ("generators", "unet(width=4, norm=instance)"),
    ("discriminators", "patch(width=4, receptive_field=16, norm=instance)"),
    ("discriminators", "semi_supervised(width=4, norm=batch)"),
    ("discriminators", "semi_supervised(width=4, norm=instance)"),
    ("discriminators", "dcgan(width=4, norm=batch)"),
    ("discriminators", "projection(width=4, norm=layer, heads=2)"),
    ("discriminators", "concatenation(width=4, norm=layer, heads=2)"),
    ("encoders", "dcgan(width=4, norm=batch)"),
    ("encoders", "dcgan(width=4, norm=instance)"),
]
"""All networks, and every normalization."""
LAYOUTS = (torch.contiguous_format, torch.channels_last)
DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("kind", "name"), GRADED)
def test_gradients(kind: str, name: str, batch: int, layout: torch.memory_format, device: str) -> None:
    testing.check_gradients(kind, small(kind, name), batch=batch, layout=layout, device=device)


def test_a_gradient_that_is_silently_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own instance normalization, for one image in channels_last on a CPU."""

    def wrong(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(x, weight=weight, bias=bias)

    monkeypatch.setattr("translate_networks.normalization.normalize_each", wrong)
    resnet = SMALL["resnet"]
    testing.check_gradients("generators", resnet, batch=1)
    with pytest.raises(AssertionError, match="at batch 1 in torch.channels_last the gradient says"):
        testing.check_gradients("generators", resnet, batch=1, layout=torch.channels_last)


@pytest.mark.compiled
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("kind", "name"), GRADED)
def test_gradients_compiled(kind: str, name: str, batch: int, layout: torch.memory_format, device: str) -> None:
    torch.compiler.reset()
    testing.check_gradients(kind, small(kind, name), batch=batch, layout=layout, compiled=True, device=device)


@pytest.mark.compiled
@pytest.mark.parametrize(("kind", "name"), COMPILING)
def test_contract_compiled(kind: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    CHECKS[kind](name)


@pytest.mark.parametrize(
    ("check", "part"),
    [
        (testing.check_generator, "unet(width=4, norm=instance)"),
        (testing.check_generator, "unet(width=4, norm=none, dropout=0)"),
        (testing.check_generator, "resnet(blocks=1, width=4, upsample=resize, norm=batch)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=1)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=70, norm=instance)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=16, spectral=yes)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variants(check: Callable[[str], None], part: str) -> None:
    check(part)
