"""The contract checks of networks."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from translate import checkpoint, translator
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.parts import CatalogParts
from translate.plugins import Catalog, discover
from translate.seeds import seed_step
from translate.streams import Streams
from translate.traits import Traits

SIZES = ((32, 32), (64, 32))
CHANNELS = ((3, 3), (1, 4), (5, 2))


def check_generator(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check shapes, odd sizes, gradients to every weight, independence of the batch, determinism, saving."""
    catalog = discover(extra=plugins)
    for size in SIZES:
        for inputs, outputs in CHANNELS:
            seed_step(0, 0)
            network = parts_of(catalog, size, inputs, outputs).generator(part)
            given = torch.rand(2, inputs, *size) * 2 - 1
            answer = network(given)
            assert answer.shape == (2, outputs, *size), f"{part}: {tuple(given.shape)} became {tuple(answer.shape)}"
            assert bool(torch.isfinite(answer).all()), f"{part}: a value is not finite"
            assert float(answer.detach().abs().max()) <= 1, f"{part}: a value left [-1, 1]"
            answer.square().mean().backward()
            _check_gradients_reach(part, network)
    if Traits(network).translates_each_alone:
        with torch.no_grad():
            apart = torch.cat([network(given[:1]), network(given[1:])])
            assert torch.allclose(network(given), apart, atol=1e-4), (
                f"{part}: it says translates_each_alone, but in training an output depends on the batch or is drawn"
            )
    network.eval()
    with torch.inference_mode():
        alone, together = network(given[:1]), network(given)
        assert torch.allclose(alone, together[:1], atol=1e-4), f"{part}: an image's result depends on its neighbours"
        assert torch.equal(network(given), together), f"{part}: in eval mode it must always give the same answer"
    _check_memory_formats(part, network, given)
    _check_saving(part, network, parts_of(catalog, size, inputs, outputs).generator(part).eval(), given)
    turned = translator.Translator(
        network,
        catalog=catalog,
        direction="forward",
        directions=["forward"],
        source=Domain(inputs),
        target=Domain(outputs),
        size=size,
        device=torch.device("cpu"),
    )
    for odd in ((37, 41), (7, 64), (33, 1)):
        answer = turned.translate(torch.zeros(1, inputs, *odd))
        assert answer.shape == (1, outputs, *odd), f"{part}: {odd} became {tuple(answer.shape[-2:])}"


def check_encoder(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check the latent's shape, with twice the channels for two statistics, and gradients to every weight."""
    catalog = discover(extra=plugins)
    for inputs in (3, 1):
        for statistics in (1, 2):
            network = parts_of(catalog, (32, 32), inputs, 3).encoder(part, statistics=statistics)
            code = network(torch.rand(2, inputs, 32, 32) * 2 - 1)
            wanted = (2, statistics * network.latent[0], *network.latent[1:])  # type: ignore[index]
            assert code.shape == wanted, f"{part}: the latent is {tuple(code.shape)} and not {wanted}"
            code.square().mean().backward()
            _check_gradients_reach(part, network)


def check_decoder(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check images of the training size in [-1, 1] from a flat or a spatial latent, and gradients to every weight."""
    catalog = discover(extra=plugins)
    made = 0
    for latent in ((6,), (6, 8, 8)):
        for outputs in (3, 1):
            try:
                network = parts_of(catalog, (32, 32), 3, outputs).decoder(part, latent=latent)
            except TranslateError:
                # A decoder may support only flat or only spatial latents.
                continue
            image = network(torch.randn(2, *latent))
            assert image.shape == (2, outputs, 32, 32), f"{part}: {latent} became {tuple(image.shape)}"
            assert float(image.detach().abs().max()) <= 1, f"{part}: a value left [-1, 1]"
            image.square().mean().backward()
            _check_gradients_reach(part, network)
            made += 1
    assert made, f"{part}: it decodes neither flat latents nor maps"


def check_feature_extractor(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check the number of feature channels, that the weights are frozen, and the gradient to the image."""
    network = parts_of(discover(extra=plugins), (64, 64), 3, 3).feature_extractor(part).train()
    image = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    features = network(image)
    assert features.shape[:2] == (2, network.channels), f"{part}: its features are {tuple(features.shape)}"
    assert not any(weight.requires_grad for weight in network.parameters()), f"{part}: a weight could be trained"
    (gradient,) = torch.autograd.grad(features.square().mean(), image)
    assert bool(gradient.any()), f"{part}: no gradient reaches the image"


def check_discriminator(part: str, *, plugins: Sequence[str] = (), size: tuple[int, int] = (64, 64)) -> None:
    """Check the output's type and shapes, with a condition and with classes, and gradients to every weight."""
    catalog = discover(extra=plugins)
    for channels in (3, 1):
        network = parts_of(catalog, size, 2, channels).discriminator(part, condition=2)
        image, condition = torch.rand(2, channels, *size), torch.rand(2, 2, *size)
        output = network(image, condition)
        assert isinstance(output, DiscriminatorOutput), f"{part}: it must return a DiscriminatorOutput"
        assert output.logits, f"{part}: no logits"
        heads = [*output.logits, *(output.match or ()), *(() if output.classes is None else (output.classes,))]
        assert all(len(head) == 2 for head in heads), f"{part}: the first axis of its answers is not the batch"
        assert all(bool(torch.isfinite(head).all()) for head in heads), f"{part}: a value is not finite"
        torch.stack([head.square().mean() for head in heads]).sum().backward()
        _check_gradients_reach(part, network)
        _check_judges_alone(part, network, image, condition)
        logits = (
            parts_of(catalog, size, 2, channels).discriminator(part, condition=2, classes=5)(image, condition).classes
        )
        assert logits is None or logits.shape == (2, 5), f"{part}: it tells {tuple(logits.shape)} of 5 classes apart"


def _check_judges_alone(part: str, network: nn.Module, image: Tensor, condition: Tensor) -> None:
    """Check the claim ``judges_each_alone`` in training: with another neighbour, an image's logits stay the same."""
    if not Traits(network).judges_each_alone:
        return
    outputs = []
    for neighbour in (image[1:], 1 - image[1:]):
        # A copy and a seed, since dropout draws and spectral normalization changes in each pass.
        seed_step(0, 0)
        with torch.no_grad():
            outputs.append(copy.deepcopy(network).train()(torch.cat([image[:1], neighbour]), condition).logits)
    alike = [torch.allclose(first[:1], second[:1], atol=1e-5) for first, second in zip(*outputs, strict=True)]
    assert all(alike), f"{part}: it says judges_each_alone, but an image's logits depend on its neighbours"


def parts_of(
    catalog: Catalog, size: tuple[int, int], inputs: int, outputs: int, streams: Streams | None = None
) -> CatalogParts:
    """Parts for synthetic domains of ``inputs`` and ``outputs`` channels and three classes, and further ``streams``."""
    labels = ("one", "two", "three")
    source, target = Domain(inputs, labels=labels), Domain(outputs, labels=labels)
    return CatalogParts(catalog, source=source, target=target, size=size, streams=streams)


def _check_gradients_reach(part: str, network: nn.Module) -> None:
    for name, weight in network.named_parameters():
        assert weight.grad is not None, f"{part}: no gradient reaches {name}"


def _check_memory_formats(part: str, network: nn.Module, given: Tensor) -> None:
    """The gradient must not depend on the memory format: torch has kernels whose gradient is silently wrong."""
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        image = given[:1].double().to(memory_format=layout).requires_grad_()
        doubled = network.double()
        weighting = torch.linspace(-1, 1, image.shape[-1], dtype=torch.float64)
        (gradient,) = torch.autograd.grad((doubled(image).to(memory_format=layout) * weighting).sum(), image)
        gradients.append(gradient)
    network.float()
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-8, atol=1e-12), (
        f"{part}: its gradient depends on the memory format"
    )


def _check_saving(part: str, network: nn.Module, other: nn.Module, given: Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        checkpoint.save(path, network.state_dict(), {})
        other.load_state_dict(checkpoint.load(path)[0])
    with torch.inference_mode():
        assert torch.equal(network(given), other(given)), f"{part}: saved and loaded, it gives another answer"
