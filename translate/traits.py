"""Traits: properties that a network declares by attributes, typed and checked in one place.

An author sets the attribute on the module, in its ``__init__`` or on its class; one that is not set has the default.
``docs/traits.md`` is made from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from translate.errors import TranslateError
from translate.sizes import Size

__all__ = [
    "Traits",
]

T = TypeVar("T")

_NEEDED: Any = object()
"""Marks a trait without a default."""


class Traits:
    """The traits of one network, each read on access.

    Raises ``TranslateError``, naming network and attribute, if an attribute has another type than the trait.

    >>> Traits(nn.Identity()).size_multiple
    1
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @property
    def size_multiple(self) -> int:
        """Any image network: the sides of its images must divide by it (default 1). Conversion pads and crops back."""
        return self._read("size_multiple", 1, _is_whole, "a whole number >= 1")

    @property
    def fixed_size(self) -> Size | None:
        """Any image network: the only (height, width) that it takes (default None). Conversion resizes to it."""
        return self._read("fixed_size", None, _is_size, "a (height, width) or None")

    @property
    def prefers_channels_last(self) -> bool:
        """Any image network: it is faster in channels_last on a CPU as well (default False)."""
        return self._read("prefers_channels_last", False, _is_flag, "True or False")

    @property
    def translates_each_alone(self) -> bool:
        """A generator: each output depends on its own input only and nothing is drawn (default False).

        Several passes may then be joined in one batch.
        """
        return self._read("translates_each_alone", False, _is_flag, "True or False")

    @property
    def draws_noise(self) -> bool:
        """A translator: every pass draws by torch's random operations, such as ``torch.randn`` (default False).

        What it draws is then a function of the seed and the image's name, also without ``--samples``. A network that
        takes its noise as an ``Input("noise")`` needs not say so.
        """
        return self._read("draws_noise", False, _is_flag, "True or False")

    @property
    def unbounded(self) -> bool:
        """A translator: its outputs may leave [-1, 1], as those of an exact inverse must (default False).

        Conversion, sample grids and metrics clamp them; tensors keep them.
        """
        return self._read("unbounded", False, _is_flag, "True or False")

    @property
    def takes_float64(self) -> bool:
        """A translator that answers images in float64 in float64, though its weights are float32 (default False).

        Others get float32. So a way there and back can be more exact than float32 can tell an image.
        """
        return self._read("takes_float64", False, _is_flag, "True or False")

    @property
    def judges_each_alone(self) -> bool:
        """A discriminator: its output for an image depends on no other image of the batch (default False).

        Real images and fakes may then share a batch.
        """
        return self._read("judges_each_alone", False, _is_flag, "True or False")

    @property
    def takes_vectors(self) -> bool:
        """A discriminator: its condition may be vectors (N, D) as well as images (default False).

        Others get vectors as images of D constant planes.
        """
        return self._read("takes_vectors", False, _is_flag, "True or False")

    @property
    def shared(self) -> nn.Module | None:
        """An encoder, decoder or discriminator: the layers that those of two domains may share (default None)."""
        return self._read("shared", None, lambda value: isinstance(value, nn.Module), "a module")

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Any network: its layers whose answers are worth looking at, from input to output (default none).

        Dotted names of modules that are called once in a pass; ``""`` is the input. ``translate.inner_maps`` gives
        their maps to losses.
        """
        return self._read("feature_layers", (), _are_names, "a tuple of names of modules")

    @property
    def passes(self) -> tuple[str, ...]:
        """Any network: its methods that compute from tensors beside ``forward``, such as ``inverse`` (default none).

        They are compiled and recomputed as ``forward`` is.
        """
        names: tuple[str, ...] = self._read("passes", (), _are_names, "a tuple of names of methods")
        for name in names:
            if not callable(getattr(self._network, name, None)):
                kind = type(self._network).__name__
                raise TranslateError(f"the attribute passes of {kind} names {name!r:.80}, which is no method of it")
        return names

    @property
    def latent(self) -> tuple[int, ...]:
        """An encoder: the shape of one statistic of its code, (D,) or (D, h, w). It has no default."""
        return self._read("latent", _NEEDED, _is_shape, "a tuple of whole numbers")

    @property
    def noise(self) -> tuple[int, ...]:
        """The shape of one image's noise: of a sampler, of a network with a ``variational_pass`` or with a latent.

        It has no default.
        """
        return self._read("noise", _NEEDED, _is_shape, "a tuple of whole numbers")

    @property
    def domain(self) -> Literal["source", "target"]:
        """A sampler: whose images it makes; a classifier: whose it was trained on (default ``target``)."""
        return self._read("domain", "target", lambda value: value in ("source", "target"), "'source' or 'target'")

    @property
    def features(self) -> Callable[..., Tensor] | None:
        """A classifier: a method from images (N, C, H, W) to its features (N, D); the default is None."""
        return self._read("features", None, callable, "a method")

    @property
    def feature_extractor(self) -> Callable[..., Tensor] | None:
        """A translator with an encoder: a module, or a method, from images (N, C, H, W) to (N, D) or (N, D, h, w).

        Of an autoencoder it is the mean of the code. With it, a run can be named where a feature extractor can
        (``--features runs/one``). A module is kept alone there, a method with the whole translator. The default is
        None.
        """
        return self._read("feature_extractor", None, callable, "a module or a method")

    @property
    def resizes(self) -> bool:
        """A feature extractor: it brings images of all sizes to one of its own (default False).

        Its features of images of several sizes may then be compared.
        """
        return self._read("resizes", False, _is_flag, "True or False")

    @property
    def encodes(self) -> Literal["source", "target"] | None:
        """A translator with an encoder: whose images it takes (default None: those that its direction translates)."""
        return self._read("encodes", None, lambda value: value in ("source", "target"), "'source' or 'target'")

    @property
    def named_codes(self) -> Callable[..., Mapping[str, Tensor]] | None:
        """A network with features: a method from images (N, C, H, W) to all that its codes are, by name, (N, ...) each.

        ``translate encode`` writes them, such as ``mean`` and ``log_variance``; without it (default None) it writes
        the features.
        """
        return self._read("named_codes", None, callable, "a method")

    @property
    def code_of(self) -> Callable[..., Tensor] | None:
        """A translator with a code: a method from images (N, C, H, W) to their codes, (N, D) or (N, D, h, w).

        ``image_of`` makes images of codes. With both, ``translate sample`` shows what lies between two images and along
        the axes of a code. Inputs and options of the network that it needs are its
        keyword-only arguments. The default is None.
        """
        return self._read("code_of", None, callable, "a method")

    @property
    def image_of(self) -> Callable[..., Tensor] | None:
        """A translator with a code: a method from codes, as ``code_of`` gives them, to images (N, C, H, W).

        A keyword-only argument ``image`` is an image (N, C, H, W) that the codes change, where a code is no whole image
        (``--around``). The default is None.
        """
        return self._read("image_of", None, callable, "a method")

    @property
    def noise_is_code(self) -> bool:
        """A sampler: near noise makes near images (default True).

        One that takes its noise as random numbers, such as a sampler of one pixel after another, says False: nothing
        lies between two of its images.
        """
        return self._read("noise_is_code", True, _is_flag, "True or False")

    @property
    def variational_pass(self) -> Callable[..., tuple[Tensor, Tensor]] | None:
        """A variational autoencoder: a method from images (N, C, H, W) and noise to (N,) and (N, C, H, W).

        They are the KL divergence of each posterior from the prior in nats, and an image decoded from one code of the
        posterior, drawn by standard normal noise ``(N, *noise)``. Metrics such as ``elbo`` call it; the default is
        None.
        """
        return self._read("variational_pass", None, callable, "a method")

    @property
    def negative_log_likelihood(self) -> Callable[..., Tensor] | None:
        """A variational autoencoder: a method from decoded and true images (N, C, H, W) to ``-log p(x|z)`` (N,), nats.

        It is the one that it was trained by; the default is None.
        """
        return self._read("negative_log_likelihood", None, callable, "a method")

    @property
    def bits_per_dimension(self) -> Callable[..., Tensor] | None:
        """A network with a likelihood: a method from images (N, C, H, W) to bits (N,) for one value of each.

        That of a translator takes targets and their sources, ``(image, condition)``, or, if it has one argument, the
        images of its direction's source. Metrics such as ``bits_per_dim`` call it; the default is None.
        """
        return self._read("bits_per_dimension", None, callable, "a method")

    @property
    def shared_statistics(self) -> bool | None:
        """A batch normalization that can take its statistics over all ranks (SyncBatchNorm) says False (default None).

        The training sets it to True for ``--batch-statistics all``.
        """
        return self._read("shared_statistics", None, _is_flag, "True or False")

    def _read(self, name: str, default: T, fits: Callable[[Any], bool], wanted: str) -> T:
        value: T = getattr(self._network, name, default)
        if value is _NEEDED:
            raise TranslateError(f"{type(self._network).__name__} must have an attribute {name}, {wanted}")
        if (value is None and default is None) or fits(value):
            return value
        raise TranslateError(
            f"the attribute {name} of {type(self._network).__name__} must be {wanted}, not {value!r:.80}"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_whole(side) for side in value)


def _is_size(value: Any) -> bool:
    return _is_shape(value) and len(value) == 2


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)
