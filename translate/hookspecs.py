"""Every extension point, one docstring each.

*Offers* answer with names and how to build what they name: each a mapping from a name to a factory, or to the
factory's import path as text (``"translate_pix2pix.method:Pix2Pix"``), so that listing imports nothing. A factory's
keyword-only arguments are its options; its other arguments are handed in by name. *Observers*, named by a past
participle, are told what has happened and return nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from torch import Tensor

    from translate.run import Run, Scalars

hookspec = pluggy.HookspecMarker("translate")
Offers = Mapping[str, Callable[..., Any] | str]


# --- offers ---------------------------------------------------------------------------------------------------------


@hookspec
def methods() -> Offers:
    """Ways to train: subclasses of ``translate.method.Method``, called as ``factory(parts, **options)``."""
    raise AssertionError


@hookspec
def plain_loops() -> Offers:
    """The step of a method as a script has it, under the method's name, for ``translate bench`` to compare with.

    Called as ``factory(method)`` with a method of its own, whose networks it trains: the result's ``step(batch)`` plays
    one step by hand, the same mathematics eagerly and without the engine, and answers its losses as numbers.
    """
    raise AssertionError


@hookspec
def generators() -> Offers:
    """Image to image networks, called as ``factory(inputs, outputs, size, **options)``; name the arguments you need.

    ``inputs`` and ``outputs`` are channel counts, ``size`` the training images' (height, width). A network whose
    sides must divide by more than 1 says so in an attribute ``size_multiple``. Where an image's answer depends on no
    other image of the batch and nothing is drawn, a true ``translates_each_alone`` lets passes be put together.
    """
    raise AssertionError


@hookspec
def discriminators() -> Offers:
    """Networks that judge images, called as ``factory(inputs, condition, size, **options)``; name what you need.

    ``inputs`` and ``condition`` are channel counts (``condition`` is 0 without one). The network is called as
    ``network(image, condition)`` and answers a ``translate.discriminator.DiscriminatorOutput``. ``classes`` is handed
    in as well: how many classes its answer's ``classes`` tell apart, 0 for none. Where an image's answer depends on no
    other image of the batch, a true attribute ``judges_each_alone`` lets real images and fakes pass together.
    """
    raise AssertionError


@hookspec
def encoders() -> Offers:
    """Networks from an image to a latent, called as ``factory(inputs, size, statistics, **options)``.

    The network maps (N, inputs, H, W) to (N, statistics * C, h, w), or to (N, statistics * C) where the latent has no
    place. ``statistics`` is 1 for a code, 2 for mean and log-variance side by side. Its attribute ``latent`` is the
    shape of one statistic at the training size, (C, h, w) or (C,). The layers nearest the latent may lie in an
    attribute ``shared``, so that a method can tie two encoders by assigning it.
    """
    raise AssertionError


@hookspec
def decoders() -> Offers:
    """Networks from a latent to an image in [-1, 1], called as ``factory(latent, outputs, size, **options)``.

    ``latent`` is an encoder's shape, or (C,) for noise. The layers nearest the latent may lie in ``shared``.
    """
    raise AssertionError


@hookspec
def feature_extractors() -> Offers:
    """Fixed networks that see what an image shows, called as ``factory(inputs, size, **options)``.

    The network maps (N, inputs, H, W) in [-1, 1] to features (N, D) or (N, D, h, w); its attribute ``channels`` is D,
    ``latent`` the shape of the answer at the training size. Weights that lie in a file are an option ``weights`` (a
    path), read by a method ``read(weights)`` after construction.
    """
    raise AssertionError


@hookspec
def adversarial_losses() -> Offers:
    """Two-sided losses (``translate.discriminator.AdversarialLoss``), called as ``factory(**options)``."""
    raise AssertionError


@hookspec
def losses() -> Offers:
    """Losses on images, called as ``factory(**options)``; the result maps ``(image, target)`` to a scalar."""
    raise AssertionError


@hookspec
def regularizers() -> Offers:
    """What restrains a discriminator, called as ``factory(**options)``; see ``translate.adversary.Adversary``.

    The result is a penalty, which maps ``(discriminate, real, fake)`` to a scalar in float32, where ``discriminate``
    maps images to a ``DiscriminatorOutput`` and may be differentiated twice; one that looks at real images only may say
    so by a false attribute ``sees_fakes``. Or it has some of ``augment(image, condition)``,
    ``prepare(discriminator)``, ``project(discriminator)`` and ``updates``.
    """
    raise AssertionError


@hookspec
def optimizers() -> Offers:
    """Optimizers, called as ``factory(parameters, **options)``; the result is a ``torch.optim.Optimizer``."""
    raise AssertionError


@hookspec
def schedules() -> Offers:
    """Learning-rate schedules, called as ``factory(**options)``.

    The result maps ``(step, steps)`` to the factor on the learning rate at that step, and keeps nothing in mind.
    """
    raise AssertionError


@hookspec
def datasets() -> Offers:
    """Layouts of folders and made-up data, called as ``factory(root, **options)``; the result is a ``Dataset``.

    One that needs no folder leaves ``root`` out of its arguments.
    """
    raise AssertionError


@hookspec
def recognize(root: Path) -> list[str]:
    """Say which of your datasets a folder may be, each written as a call that opens it: ``["folders(source='a')"]``."""
    raise AssertionError


@hookspec
def augmentations() -> Offers:
    """Changes to training images on the device, called as ``factory(**options)``.

    The result maps a tensor (N, C, H, W) in [-1, 1] and one int64 seed per image (N,) to a tensor of the same shape;
    the same seed must give the same change. It is applied to colour images, the same seeds to both of a pair.
    """
    raise AssertionError


@hookspec
def metrics() -> Offers:
    """What an evaluation measures, called as ``factory(parts, **options)``; see ``translate.evaluation``."""
    raise AssertionError


@hookspec
def runtimes() -> Offers:
    """What computes the answers of a trained network, called as ``factory(network, precision, device, **options)``.

    The result is a ``translate.runtime.Runtime``. ``precision`` is ``float32``, ``bf16`` or ``int8``; one that it does
    not know it refuses by a ``TranslateError``.
    """
    raise AssertionError


@hookspec
def commands() -> list[click.Command]:
    """Further commands of ``translate``."""
    raise AssertionError


# --- observers ------------------------------------------------------------------------------------------------------


@hookspec
def run_started(run: Run) -> None:
    """A training run begins or goes on; ``run.step`` says where."""


@hookspec
def images_decoded(done: int, total: int) -> None:
    """So many of a run's images are decoded; told a few times a second at most, before training begins."""


@hookspec
def step_ended(run: Run, scalars: Scalars) -> None:
    """A log interval is over: the mean of each term since the last one, and the speed. Not called for every step."""


@hookspec
def step_passed(run: Run) -> None:
    """Training moves on; told a few times a second at most, for progress bars."""


@hookspec
def samples_drawn(run: Run, images: Mapping[str, Tensor]) -> None:
    """Fixed examples were translated: columns of images (N, 3, H, W) uint8 on the CPU, in the order to show them.

    Told by a thread of its own, while training goes on; ``run.step`` is the step of the images.
    """


@hookspec
def checkpoint_saved(run: Run, path: Path) -> None:
    """A checkpoint is on the disk, whole and verified.

    Told by a thread of its own, while training goes on; ``run.step`` is the step of the checkpoint.
    """


@hookspec
def run_ended(run: Run, reason: str) -> None:
    """Training is over: ``finished``, ``interrupted`` or ``failed``."""


@hookspec
def conversion_started(total: int) -> None:
    """A conversion of that many images begins."""


@hookspec
def image_converted(source: Path, error: str | None) -> None:
    """An image was converted, or could not be: ``error`` says why in one sentence."""


@hookspec
def conversion_ended() -> None:
    """A conversion is over, whatever its outcome."""
