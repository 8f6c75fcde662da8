"""Contracts: what every part must keep, as functions that a plugin's own tests call.

``check_plugin("mine")`` holds everything that an installed plugin offers against its contract; the other functions
do it for one part. Each raises ``AssertionError`` with a sentence. Networks are built small enough for a CPU if the
caller says so: ``check_generator("unet(width=8)")``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate import checkpoint, conversion, translator
from translate.adversary import Adversary
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.engine import Engine, seed_step
from translate.errors import TranslateError
from translate.method import Method
from translate.options import check_options, options_of, parse_call
from translate.parts import CatalogParts, build, build_method
from translate.plugins import Catalog, discover
from translate.run import Config, Run
from translate.training import fit, resume

SIZES = ((32, 32), (64, 32))
CHANNELS = ((3, 3), (1, 4), (5, 2))


def check_plugin(name: str, *, examples: Mapping[str, str] | None = None, plugins: Sequence[str] = ()) -> None:
    """Hold all that a plugin offers against the contracts.

    ``examples`` says how to build a part small, by its name: ``{"unet": "unet(width=8)"}``; for a method, its options
    as a call: ``{"mine": "mine(generator='unet(width=8)')"}``. ``plugins`` are files or modules that are not installed.
    """
    catalog = discover(extra=plugins)
    plugin = next((each for each in catalog.plugins if each.name == name), None)
    assert plugin is not None, f"no plugin {name!r} loads; installed are {[each.name for each in catalog.plugins]}"
    checks: dict[str, Callable[..., None]] = {
        "generators": check_generator,
        "discriminators": check_discriminator,
        "adversarial_losses": check_adversarial_loss,
        "losses": check_loss,
        "regularizers": check_regularizer,
        "optimizers": check_optimizer,
        "schedules": check_schedule,
        "augmentations": check_augmentation,
        "methods": check_method,
    }
    for kind, names in catalog.offered_by(plugin).items():
        for each in names:
            check_options_documented(kind, each, plugins=plugins)
            if kind in checks:
                checks[kind]((examples or {}).get(each, each), plugins=plugins)


def check_options_documented(kind: str, name: str, *, plugins: Sequence[str] = ()) -> None:
    """Every option has a help text and a default that it accepts itself; the factory has a docstring."""
    offer = discover(extra=plugins).offer(kind, name)
    assert offer.summary, f"{name}: the first line of the docstring says what it is, in `translate fit --help` too"
    parameters = options_of(offer.load())
    assert list(parameters) == offer.option_names, f"{name}: its options must be readable without importing it"
    for parameter in parameters.values():
        assert parameter.option.help, (
            f'{name}: the option {parameter.name} needs a help text: Annotated[..., Option("...")]'
        )
        if not parameter.required:
            check_options({parameter.name: parameter.default}, {parameter.name: parameter}, name)
        if kind == "methods":
            assert parameter.name not in Config.parameters(), (
                f"{name}: {parameter.name} is the name of an option of fit"
            )


def check_generator(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Shapes and channels, odd sizes, gradients to every weight, independence of neighbours, saving."""
    catalog = discover(extra=plugins)
    for size in SIZES:
        for inputs, outputs in CHANNELS:
            seed_step(0, 0)
            network = _parts(catalog, size, inputs, outputs).generator(part)
            given = torch.rand(2, inputs, *size) * 2 - 1
            answer = network(given)
            assert answer.shape == (2, outputs, *size), f"{part}: {tuple(given.shape)} became {tuple(answer.shape)}"
            assert bool(torch.isfinite(answer).all()), f"{part}: a value is not finite"
            answer.square().mean().backward()
            _reached(part, network)
    network.eval()
    with torch.inference_mode():
        alone, together = network(given[:1]), network(given)
        assert torch.allclose(alone, together[:1], atol=1e-4), f"{part}: an image's result depends on its neighbours"
        assert torch.equal(network(given), together), f"{part}: in eval mode it must always give the same answer"
    _same_gradients(part, network, given)
    _saves(part, network, _parts(catalog, size, inputs, outputs).generator(part).eval(), given)
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


def check_discriminator(part: str, *, plugins: Sequence[str] = (), size: tuple[int, int] = (64, 64)) -> None:
    """The output's type and shape with a condition (and alone, where it allows that), gradients to every weight."""
    catalog = discover(extra=plugins)
    for channels in (3, 1):
        network = _parts(catalog, size, 2, channels).discriminator(part, condition=2)
        image, condition = torch.rand(2, channels, *size), torch.rand(2, 2, *size)
        output = network(image, condition)
        assert isinstance(output, DiscriminatorOutput), f"{part}: it must return a DiscriminatorOutput"
        assert output.logits, f"{part}: no logits"
        heads = [*output.logits, *(output.match or ()), *(() if output.classes is None else (output.classes,))]
        assert all(len(head) == 2 for head in heads), f"{part}: the first axis of its answers is not the batch"
        assert all(bool(torch.isfinite(head).all()) for head in heads), f"{part}: a value is not finite"
        torch.stack([head.square().mean() for head in heads]).sum().backward()
        _reached(part, network)


def check_adversarial_loss(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Scalars in float32 for logits of any shape, gradients on both sides, and both sides pull where they should."""
    loss = build(discover(extra=plugins), "adversarial_losses", part)
    for shape in ((4,), (4, 1), (2, 1, 5, 7)):
        real = torch.full(shape, 0.25, dtype=torch.bfloat16, requires_grad=True)
        fake = torch.full(shape, 0.25, dtype=torch.bfloat16, requires_grad=True)
        judged = loss.discriminator(real, fake)
        assert judged.shape == (), f"{part}: the discriminator's side is no scalar"
        assert judged.dtype == torch.float32, f"{part}: losses are computed in float32"
        to_real, to_fake = torch.autograd.grad(judged, (real, fake))
        assert bool((to_real < 0).all()), f"{part}: the discriminator should raise the logits of real images"
        assert bool((to_fake > 0).all()), f"{part}: the discriminator should lower the logits of fakes"
        made = loss.generator(fake, real if getattr(loss, "relativistic", False) else None)
        assert made.shape == (), f"{part}: the generator's side is no scalar"
        (pull,) = torch.autograd.grad(made, fake)
        assert bool((pull < 0).all()), f"{part}: the generator should raise the logits of fakes"


def check_loss(part: str, *, plugins: Sequence[str] = ()) -> None:
    """A finite scalar with a gradient."""
    loss = build(discover(extra=plugins), "losses", part)
    image = torch.rand(2, 3, 8, 8, requires_grad=True)
    value = loss(image, torch.rand(2, 3, 8, 8))
    assert value.shape == (), f"{part}: it must answer a scalar"
    assert bool(torch.isfinite(value)), f"{part}: its value is not finite"
    (slope,) = torch.autograd.grad(value, image)
    assert bool(slope.any()), f"{part}: no gradient reaches the image"


def check_regularizer(part: str, *, plugins: Sequence[str] = ()) -> None:
    """A finite scalar, not negative, whose gradient reaches the discriminator's weights."""
    regularizer = build(discover(extra=plugins), "regularizers", part)
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)
    network = nn.Sequential(first, nn.Tanh(), last)
    value = regularizer(
        lambda images: DiscriminatorOutput((network(images),)), torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    )
    assert value.shape == (), f"{part}: it must answer a scalar"
    assert value.item() >= 0, f"{part}: a penalty is not negative"
    slopes = torch.autograd.grad(value, [first.weight, last.weight])
    assert all(bool(slope.any()) for slope in slopes), f"{part}: no gradient reaches the weights"


def check_optimizer(part: str, *, plugins: Sequence[str] = ()) -> None:
    """It lowers a simple loss, and its state goes on exactly."""
    catalog = discover(extra=plugins)

    def steps(weight: nn.Parameter, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weight - 1).square().sum().backward()
            optimizer.step()

    whole, half = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    steps(whole, build(catalog, "optimizers", part, parameters=[whole]), 6)
    assert bool((whole > 0).all()), f"{part}: it does not descend"
    first = build(catalog, "optimizers", part, parameters=[half])
    steps(half, first, 3)
    second = build(catalog, "optimizers", part, parameters=[half])
    second.load_state_dict(first.state_dict())
    steps(half, second, 3)
    assert torch.equal(whole, half), f"{part}: its state_dict does not hold all that it knows"


def check_schedule(part: str, *, plugins: Sequence[str] = ()) -> None:
    """A factor in [0, 1] that depends on its arguments alone."""
    schedule = build(discover(extra=plugins), "schedules", part)
    first = [schedule(step, 100) for step in range(100)]
    assert all(0 <= factor <= 1 for factor in first), f"{part}: a factor lies outside [0, 1]"
    assert first == [schedule(step, 100) for step in range(100)], f"{part}: it remembers earlier calls"
    assert first[0] > 0, f"{part}: it starts at nothing"


def check_augmentation(part: str, *, plugins: Sequence[str] = ()) -> None:
    """The shape stays, values stay in [-1, 1], and an image's change depends on its seed alone."""
    change = build(discover(extra=plugins), "augmentations", part)
    images, seeds = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([1, 2, 3, 2])
    images[3] = images[1]
    changed = change(images.clone(), seeds)
    assert changed.shape == images.shape, f"{part}: the shape changed"
    assert float(changed.abs().max()) <= 1 + 1e-5, f"{part}: a value left [-1, 1]"
    assert torch.equal(changed[1], changed[3]), f"{part}: the same seed and image must give the same change"
    assert torch.equal(change(images[2:3].clone(), seeds[2:3])[0], changed[2]), (
        f"{part}: an image depends on its neighbours"
    )


def check_method(part: str, *, plugins: Sequence[str] = (), data: str = "demo(size=32, count=12)") -> None:
    """Any channels, every weight of every player reached, exact resume, and a saved translator that gives the same."""
    catalog = discover(extra=plugins)
    call = parse_call(part)
    for inputs, outputs in CHANNELS:
        seed_step(0, 0)
        try:
            method = build_method(catalog, call.name, call.options, _parts(catalog, (32, 32), inputs, outputs))
        except TranslateError:
            # A method may refuse unlike domains in a sentence, but everybody's images are RGB to RGB.
            if (inputs, outputs) == (3, 3):
                raise
            continue
        _every_weight_moves(call.name, method, inputs, outputs)
        for module in method.modules():
            assert not isinstance(module, Adversary) or module.discriminator in method.players.values(), (
                f"{call.name}: an adversary's discriminator is nobody's player"
            )
    folder = Path(tempfile.mkdtemp(prefix="translate-"))
    try:
        _resumes_exactly(call.name, call.options, folder, plugins, data)
    finally:
        shutil.rmtree(folder)


def _every_weight_moves(name: str, method: Method, inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    engine = Engine(
        method,
        dict.fromkeys(method.players, lambda weights: torch.optim.SGD(weights, lr=0.01)),
        steps=2 * method.period,
    )
    moved: dict[str, bool] = {}
    hooks = [
        weight.register_hook(lambda _slope, key=key: moved.__setitem__(key, True))
        for player, module in method.players.items()
        for key, weight in ((f"{player}: {each}", weight) for each, weight in module.named_parameters())
    ]
    for _ in range(2 * method.period):
        batch = {"source": torch.rand(2, inputs, 32, 32, generator=generator) * 2 - 1}
        batch["target"] = torch.rand(2, outputs, 32, 32, generator=generator) * 2 - 1
        batch.update({stream: torch.flip(batch["source"], [0]) for stream in method.needs.streams})
        batch.update({f"{domain}_label": torch.tensor([0, 1]) for domain in method.needs.labels})
        engine.step([batch])
    for hook in hooks:
        hook.remove()
    terms = engine.fetch()
    assert terms, f"{name}: no update came in a period"
    for player, module in method.players.items():
        for key, weight in module.named_parameters():
            assert f"{player}: {key}" in moved or not weight.requires_grad, (
                f"{name}: no update reaches {key} of the player {player}"
            )


def _resumes_exactly(name: str, options: Mapping[str, Any], folder: Path, plugins: Sequence[str], data: str) -> None:
    asked: dict[str, Any] = {
        "size": 32,
        "batch": 2,
        "log_every": 1,
        "seed": 5,
        "ema": 0.5,
        "plugins": plugins,
        **options,
    }
    whole = fit(name, data, output=folder / "whole", steps=4, save_every=2, keep=9, **asked)
    half = Run(folder / "half", whole.config)
    shutil.copytree(whole.folder, half.folder)
    half.checkpoints[-1].unlink()
    resumed = resume(half.folder, plugins=plugins)
    wanted, facts = checkpoint.load(whole.checkpoints[-1])
    got, _ = checkpoint.load(resumed.checkpoints[-1])
    assert facts["engine"]["step"] == 4
    assert wanted.keys() == got.keys(), f"{name}: a resumed run keeps other tensors"
    for key, value in wanted.items():
        assert torch.equal(value, got[key]), f"{name}: resumed, {key} differs from the uninterrupted run"
    if facts["config"]["method"] and _is_translator(whole):
        first, second = (translator.load(run.folder, plugins=plugins) for run in (whole, resumed))
        image = torch.rand(1, first.source.channels, 45, 37) * 2 - 1
        assert torch.equal(first.translate(image), second.translate(image)), f"{name}: save and load change the output"
        pixels = torch.randint(0, 255, (45, 37, 3), dtype=torch.uint8).numpy()
        from translate import images

        images.write(folder / "in.png", images.Image(pixels, None))
        done = conversion.convert(first, folder / "in.png", folder / "out.png")
        assert done.converted == 1, f"{name}: {done.failed}"
        assert images.read(folder / "out.png").pixels.shape[:2] == (45, 37), f"{name}: conversion changes the size"


def _is_translator(run: Run) -> bool:
    return bool(checkpoint.load(run.translator)[1]["kind"] == "translator")


def _parts(catalog: Catalog, size: tuple[int, int], inputs: int, outputs: int) -> CatalogParts:
    return CatalogParts(catalog, source=Domain(inputs), target=Domain(outputs), size=size)


def _reached(part: str, network: nn.Module) -> None:
    for name, weight in network.named_parameters():
        assert weight.grad is not None, f"{part}: no gradient reaches {name}"


def _same_gradients(part: str, network: nn.Module, given: Tensor) -> None:
    """The gradient must not depend on the memory format: torch has kernels that get it silently wrong."""
    slopes = []
    for layout in (torch.contiguous_format, torch.channels_last):
        image = given[:1].double().to(memory_format=layout).requires_grad_()
        doubled = network.double()
        weighting = torch.linspace(-1, 1, image.shape[-1], dtype=torch.float64)
        (slope,) = torch.autograd.grad((doubled(image).to(memory_format=layout) * weighting).sum(), image)
        slopes.append(slope)
    network.float()
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-8, atol=1e-12), (
        f"{part}: its gradient depends on the memory format"
    )


def _saves(part: str, network: nn.Module, other: nn.Module, given: Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        checkpoint.save(path, network.state_dict(), {})
        other.load_state_dict(checkpoint.load(path)[0])
    with torch.inference_mode():
        assert torch.equal(network(given), other(given)), f"{part}: saved and loaded, it gives another answer"
