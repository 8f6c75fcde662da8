"""Hook specifications: every extension point that a plugin can implement.

*Offers* return the parts that a plugin provides: a mapping from a name to a factory, or to the factory's import path as
text (``"translate_pix2pix.method:Pix2Pix"``), so that listing the names imports nothing. A factory's keyword-only
arguments are its options; its other arguments are passed by name. *Observers*, named by a past participle, are called
after an event and return nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from torch import Tensor

    from translate.columns import Made
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
    """Hand-written training loops, by the name of their method, as the baseline of ``translate bench``.

    Called as ``factory(method)`` with a separate copy of the method, whose networks the loop trains. The result's
    ``step(batch)`` performs one step of the same mathematics eagerly and without the engine, and returns its losses as
    numbers.
    """
    raise AssertionError


@hookspec
def generators() -> Offers:
    """Image-to-image networks, called as ``factory(inputs, outputs, size, **options)``; declare only what you need.

    ``inputs`` and ``outputs`` are channel counts, ``size`` is the (height, width) of the training images. A network
    that needs sides divisible by more than 1 sets the attribute ``size_multiple``. Set ``translates_each_alone = True``
    if each output depends on its own input only and the network is deterministic; batches may then be concatenated.
    """
    raise AssertionError


@hookspec
def discriminators() -> Offers:
    """Discriminators, called as ``factory(inputs, condition, size, **options)``; declare only what you need.

    ``inputs`` and ``condition`` are channel counts (``condition`` is 0 without one). The network is called as
    ``network(image, condition)`` and returns a ``translate.discriminator.DiscriminatorOutput``. The argument
    ``classes`` is the number of classes for which the output's ``classes`` must hold logits, 0 for none. Set
    ``judges_each_alone = True`` if each output depends on its own image only; real images and fakes may then be
    concatenated into one batch.
    """
    raise AssertionError


@hookspec
def encoders() -> Offers:
    """Networks from an image to a latent, called as ``factory(inputs, size, statistics, **options)``.

    The network maps (N, inputs, H, W) to (N, statistics * C, h, w), or to (N, statistics * C) if the latent is not
    spatial. ``statistics`` is 1 for a code, 2 for mean and log-variance, concatenated along the channels. The network's
    attribute ``latent`` is the shape of one statistic at the training size, (C, h, w) or (C,). The layers nearest the
    latent may be an attribute ``shared``, so that a method can tie the weights of two encoders by assigning it.
    """
    raise AssertionError


@hookspec
def decoders() -> Offers:
    """Networks from a latent to an image in [-1, 1], called as ``factory(latent, outputs, size, **options)``.

    ``latent`` is the shape of an encoder's ``latent``, or (C,) for noise. The layers nearest the latent may be an
    attribute ``shared``, as in encoders.
    """
    raise AssertionError


@hookspec
def feature_extractors() -> Offers:
    """Frozen feature extractors, called as ``factory(inputs, size, **options)``.

    The network maps (N, inputs, H, W) in [-1, 1] to features (N, D) or (N, D, h, w); its attribute ``channels`` is D,
    ``latent`` is the shape of the features at the training size. A network with pretrained weights has an option
    ``weights``, the path of their file, and a method ``read(weights)`` that is called after construction.
    """
    raise AssertionError


@hookspec
def adversarial_losses() -> Offers:
    """Two-sided losses (``translate.discriminator.AdversarialLoss``), called as ``factory(**options)``."""
    raise AssertionError


@hookspec
def losses() -> Offers:
    """Losses on images, called as ``factory(parts, **options)``; the result maps ``(image, target)`` to a scalar.

    Declare ``parts`` (``translate.method.Parts``) only if you need it, for the data's channels and size or for networks
    by name. A loss with weights is an ``nn.Module``, which the method holds as an attribute: it is frozen and stays in
    evaluation mode. Like a feature extractor it has an option ``weights``, the path of their file, and a method
    ``read(weights)``, which is called after construction when a training begins. Neither a resumed training nor a
    translator needs the file: all that is read must lie in parameters and buffers, whose shapes the options alone tell.
    """
    raise AssertionError


@hookspec
def regularizers() -> Offers:
    """Regularizers of a discriminator, called as ``factory(**options)``; see ``translate.adversary.Adversary``.

    The result is a penalty, which maps ``(discriminate, real, fake)`` to a scalar in float32, where ``discriminate``
    maps images to a ``DiscriminatorOutput`` and supports double backward; a penalty on real images only may set
    ``sees_fakes = False``. Or the result has some of ``augment(image, condition)``, ``prepare(discriminator)``,
    ``project(discriminator)`` and ``updates`` (n_critic).
    """
    raise AssertionError


@hookspec
def optimizers() -> Offers:
    """Optimizers, called as ``factory(parameters, **options)``; the result is a ``torch.optim.Optimizer``."""
    raise AssertionError


@hookspec
def schedules() -> Offers:
    """Learning-rate schedules, called as ``factory(**options)``.

    The result maps ``(step, steps)`` to the factor on the learning rate at that step, and must be stateless.
    """
    raise AssertionError


@hookspec
def datasets() -> Offers:
    """Layouts of folders and made-up data, called as ``factory(root, **options)``; the result is a ``Dataset``.

    A dataset that needs no folder has no argument ``root``.
    """
    raise AssertionError


@hookspec
def recognize(root: Path) -> list[str]:
    """List the plugin's datasets that can read a folder, each as a call that opens it: ``["folders(source='a')"]``."""
    raise AssertionError


@hookspec
def augmentations() -> Offers:
    """Augmentations of training images, computed on the device, called as ``factory(**options)``.

    The result maps a tensor (N, C, H, W) in [-1, 1] and one int64 seed per image (N,) to a tensor of the same shape;
    the same seed must give the same change. It is applied to colour images, with the same seed for both of a pair. One
    that moves pixels has the attribute ``geometric = True`` and takes the keyword ``nearest``: it is applied to images
    of any number of channels, and with ``nearest=True`` to class maps and aligned streams. One with an attribute
    ``stream`` is applied to the aligned stream of that name alone, and takes the keyword ``domain``.
    """
    raise AssertionError


@hookspec
def metrics() -> Offers:
    """Metrics of an evaluation, called as ``factory(parts, **options)``; see ``translate.evaluation.Metric``."""
    raise AssertionError


@hookspec
def runtimes() -> Offers:
    """Inference runtimes for trained networks, called as ``factory(network, precision, device, **options)``.

    The result is a ``translate.runtime.Runtime``. ``precision`` is ``float32``, ``bf16`` or ``int8``; an unsupported
    precision must raise ``TranslateError``.
    """
    raise AssertionError


@hookspec
def importers() -> Offers:
    """Readers of other projects' networks, called as ``factory(tensors, direction, **options)``.

    ``tensors`` maps names to float32 tensors on the CPU, as a state dict holds them, finite, without the prefix of a
    wrapper; integers may be among them. ``direction`` is how the network shall be called here. The result is a
    ``translate.foreign.Foreign``, in which no tensor is left out silently. A state dict of anything else must raise
    ``TranslateError``, whose message says what was found, as "it holds ...".
    """
    raise AssertionError


@hookspec
def parts() -> Mapping[str, Offers]:
    """Parts of kinds of the plugin's own, by kind and name: ``{"couplings": {"affine": "package.module:Affine"}}``.

    A method builds them by ``parts.network("couplings", "affine(width=64)", channels=12)``, and names the kind in its
    option: ``Option("coupling layers", part="couplings")``. Other plugins may offer more of the same kind. A kind is a
    plural in lower case, none of those above.
    """
    raise AssertionError


@hookspec
def commands() -> list[click.Command]:
    """Further commands of the command line ``translate``."""
    raise AssertionError


# --- observers ------------------------------------------------------------------------------------------------------


@hookspec
def run_started(run: Run, examples: Mapping[str, Tensor]) -> None:
    """A training run starts or is resumed, at step ``run.step``.

    ``examples`` are small pictures of up to 512 training images of ``source`` and ``target``, evenly chosen: (N, 3, h,
    w) uint8 on the CPU. There are none where images are streamed, and with ``--no-guard``.
    """


@hookspec
def images_decoded(done: int, total: int) -> None:
    """``done`` of ``total`` images of a run are decoded; called before training begins, at most ten times a second."""


@hookspec
def step_ended(run: Run, scalars: Scalars) -> None:
    """A log interval ended, with the mean of each term over it and the speed. Not called for every step.

    ``scalars.step`` is the step; ``run.step`` may be later, since intervals come in order with ``checkpoint_saved``.
    """


@hookspec
def validation_ended(run: Run, scores: Mapping[str, float], is_best: bool) -> None:
    """The networks of ``run.step`` were measured on the split val: ``scores`` by name, such as ``psnr``.

    ``NAME_standard_error`` is the standard error of ``NAME``; ``is_best`` says that ``run.config.keep_best`` has its
    best value so far.
    """


@hookspec
def step_passed(run: Run) -> None:
    """Training progressed to ``run.step``; called at most ten times a second, for progress bars."""


@hookspec
def samples_drawn(run: Run, images: Mapping[str, Tensor], made: Mapping[str, Made], real: Mapping[str, Tensor]) -> None:
    """Fixed examples were translated: columns of images (N, 3, H, W) uint8 on the CPU, in display order.

    ``made`` says of the columns that a network has made what they stand for; ``real`` are the same examples of
    ``source`` and ``target`` as they are in the data, whether they are shown or not.

    Called from a background thread while training continues; ``run.step`` is the step of the images.
    """


@hookspec
def checkpoint_saved(run: Run, path: Path) -> None:
    """A checkpoint was written and verified.

    Called from a background thread while training continues; ``run.step`` is the step of the checkpoint.
    """


@hookspec
def run_ended(run: Run, reason: str) -> None:
    """Training ended; ``reason`` is ``finished``, ``interrupted`` or ``failed``."""


@hookspec
def conversion_started(total: int, verb: str) -> None:
    """A conversion of ``total`` images begins; ``verb`` says to what end: ``convert``, ``encode`` or ``sample``."""


@hookspec
def image_converted(source: Path, error: str | None, bottleneck: str) -> None:
    """An image was converted, encoded or sampled, or failed: ``error`` is the reason in one sentence, else None.

    ``bottleneck`` is the stage that the others wait for so far, ``decode``, ``translate`` or ``write``, or empty.
    """


@hookspec
def conversion_ended() -> None:
    """A conversion ended, whatever its outcome."""
