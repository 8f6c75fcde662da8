"""The contract checks of losses, regularizers, optimizers, schedules and augmentations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translate.data import Domain, check_stream_name
from translate.discriminator import DiscriminatorOutput
from translate.options import Call, parse_call
from translate.parts import CatalogParts, build
from translate.plugins import Catalog, discover
from translate.seeds import seed_step
from translate.testing.networks import parts_of

SIZE = (32, 32)


def check_adversarial_loss(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check float32 scalars for logits of any shape, and the sign of both players' gradients."""
    loss = build(discover(extra=plugins), "adversarial_losses", part)
    for shape in ((4,), (4, 1), (2, 1, 5, 7)):
        real = torch.full(shape, 0.25, dtype=torch.bfloat16, requires_grad=True)
        fake = torch.full(shape, 0.25, dtype=torch.bfloat16, requires_grad=True)
        loss_of_discriminator = loss.discriminator(real, fake)
        assert loss_of_discriminator.shape == (), f"{part}: the discriminator's side is no scalar"
        assert loss_of_discriminator.dtype == torch.float32, f"{part}: losses are computed in float32"
        real_gradient, fake_gradient = torch.autograd.grad(loss_of_discriminator, (real, fake))
        assert bool((real_gradient < 0).all()), f"{part}: the discriminator should raise the logits of real images"
        assert bool((fake_gradient > 0).all()), f"{part}: the discriminator should lower the logits of fakes"
        loss_of_generator = loss.generator(fake, real if getattr(loss, "relativistic", False) else None)
        assert loss_of_generator.shape == (), f"{part}: the generator's side is no scalar"
        (gradient,) = torch.autograd.grad(loss_of_generator, fake)
        assert bool((gradient < 0).all()), f"{part}: the generator should raise the logits of fakes"


def check_loss(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that the loss is a finite scalar with a gradient; of a network also that its weights are saved whole.

    It is called with RGB images of 32 px. A saved method must build it without the file of its weights, and then hold
    all of them in the tensors that were saved.
    """
    catalog = discover(extra=plugins)
    loss = parts_of(catalog, SIZE, 3, 3).loss(part)
    image = torch.rand(2, 3, *SIZE, requires_grad=True)
    target = torch.rand(2, 3, *SIZE)
    value = loss(image, target)
    assert value.shape == (), f"{part}: it must answer a scalar"
    assert bool(torch.isfinite(value)), f"{part}: its value is not finite"
    (gradient,) = torch.autograd.grad(value, image)
    assert bool(gradient.any()), f"{part}: no gradient reaches the image"
    if isinstance(loss, nn.Module):
        _check_weights(part, catalog, loss, image.detach(), target)


def _check_weights(part: str, catalog: Catalog, loss: nn.Module, image: Tensor, target: Tensor) -> None:
    """Check that a loss is rebuilt without its file, and answers the same once it has the tensors that were saved."""
    for name, module in loss.named_modules():
        plain = [key for key, each in vars(module).items() if isinstance(each, Tensor)]
        assert not plain, f"{part}: {'.'.join(filter(None, (name, *plain[:1])))} is a tensor; register it as a buffer"
    call = parse_call(part)
    if call.options.get("weights") not in (None, "none"):
        assert hasattr(loss, "read"), f"{part}: its weights' file is read by a method read(weights)"
        call = Call(call.name, {**call.options, "weights": "/nowhere/weights"})
    # Weights that are drawn must come from the tensors, too.
    seed_step(1, 1)
    saved = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=SIZE, resources={})
    try:
        again = saved.loss(str(call))
    except Exception as error:
        raise AssertionError(f"{part}: a saved method must build it without the weights' file: {error}") from error
    assert isinstance(again, nn.Module), f"{part}: without the weights' file it is no network"
    again.load_state_dict(loss.state_dict())
    with torch.no_grad():
        assert torch.equal(again(image, target), loss(image, target)), (
            f"{part}: its parameters and buffers do not hold all that it knows"
        )


def check_regularizer(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check each role of a regularizer: penalty (gradient to the weights), augmentation, preparation, projection."""
    regularizer = build(discover(extra=plugins), "regularizers", part)
    roles = [name for name in ("augment", "prepare", "project", "updates") if hasattr(regularizer, name)]
    assert callable(regularizer) or roles, (
        f"{part}: it is no penalty, and has none of augment, prepare, project, updates"
    )
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)
    network = nn.Sequential(first, nn.Tanh(), last)
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    if "augment" in roles:
        for condition in (None, torch.rand(2, 2, 16, 16)):
            changed, changed_condition = regularizer.augment(images, condition)
            assert changed.shape == images.shape, f"{part}: the images' shape changed"
            assert (changed_condition is None) == (condition is None), f"{part}: the condition is lost"
            (gradient,) = torch.autograd.grad(changed.square().sum(), images)
            assert bool(gradient.any()), f"{part}: no gradient passes the augmentation"
    if "prepare" in roles:
        regularizer.prepare(network)
        assert network(images).shape == (2, 1, 12, 12), f"{part}: the prepared network answers another shape"
    if "project" in roles:
        regularizer.project(network)
        once = [weight.detach().clone() for weight in network.parameters()]
        regularizer.project(network)
        assert all(map(torch.equal, once, network.parameters())), f"{part}: to project twice must be to project once"
    if callable(regularizer):
        value = regularizer(
            lambda images: DiscriminatorOutput((network(images),)), torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
        )
        assert value.shape == (), f"{part}: it must answer a scalar"
        assert value.item() >= 0, f"{part}: a penalty is not negative"
        gradients = torch.autograd.grad(value, [first.weight, last.weight])
        assert all(bool(gradient.any()) for gradient in gradients), f"{part}: no gradient reaches the weights"


def check_optimizer(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that the optimizer lowers a simple loss, and resumes exactly from its ``state_dict``."""
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
    """Check that the factor is in [0, 1], depends on the arguments alone, and starts above 0."""
    schedule = build(discover(extra=plugins), "schedules", part)
    first = [schedule(step, 100) for step in range(100)]
    assert all(0 <= factor <= 1 for factor in first), f"{part}: a factor lies outside [0, 1]"
    assert first == [schedule(step, 100) for step in range(100)], f"{part}: it remembers earlier calls"
    assert first[0] > 0, f"{part}: it starts at nothing"


def check_augmentation(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that shape and range [-1, 1] are kept, and that an image's change depends on its seed alone.

    One that is ``geometric`` must take images of any channels, and move maps by nearest neighbour, to the same places.
    One of a ``stream`` must give masks of its domain: values of -1 and 1 for a gray one and for classes.
    """
    change = build(discover(extra=plugins), "augmentations", part)
    if getattr(change, "stream", None) is not None:
        _check_of_stream(part, change)
        return
    images, seeds = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([1, 2, 3, 2])
    images[3] = images[1]
    changed = change(images.clone(), seeds)
    assert changed.shape == images.shape, f"{part}: the shape changed"
    assert float(changed.abs().max()) <= 1 + 1e-5, f"{part}: a value left [-1, 1]"
    assert torch.equal(changed[1], changed[3]), f"{part}: the same seed and image must give the same change"
    assert torch.equal(change(images[2:3].clone(), seeds[2:3])[0], changed[2]), (
        f"{part}: an image depends on its neighbours"
    )
    if not getattr(change, "geometric", False):
        return
    # Flat areas have the same values whichever way they are interpolated, but for their edges.
    maps = torch.where(torch.arange(32) < 16, -1.0, 1.0).expand(4, 5, 32, 32).contiguous()
    smooth, sharp = change(maps.clone(), seeds, nearest=False), change(maps.clone(), seeds, nearest=True)
    assert sharp.shape == maps.shape, f"{part}: the shape of maps of five channels changed"
    assert set(sharp.unique().tolist()) <= {-1.0, 1.0}, f"{part}: with nearest=True a map gets values between its own"
    pure = (smooth.abs() == 1) & (change(torch.ones_like(maps), seeds, nearest=True) == 1)
    assert torch.equal(smooth[pure], sharp[pure]), f"{part}: it moves maps to other places than images"


def _check_of_stream(part: str, change: Any) -> None:
    check_stream_name(change.stream, f"the stream of {part}")
    seeds = torch.tensor([1, 2, 3, 2])
    for domain in (Domain(1), Domain(3, classes=3), Domain(1, alpha="only")):
        masks = torch.full((4, domain.channels, 16, 16), -1.0)
        changed = change(masks.clone(), seeds, domain=domain)
        assert changed.shape == masks.shape, f"{part}: the shape changed"
        assert set(changed.unique().tolist()) <= {-1.0, 1.0}, f"{part}: a mask has a value between -1 and 1"
        assert torch.equal(changed[1], changed[3]), f"{part}: the same seed must give the same mask"
        assert torch.equal(change(masks[2:3].clone(), seeds[2:3], domain=domain)[0], changed[2]), (
            f"{part}: a mask depends on its neighbours"
        )
