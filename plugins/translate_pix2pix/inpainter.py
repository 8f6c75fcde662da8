"""A generator that sees images with holes, as a translator of images and masks that keeps what is known."""

import inspect
from functools import cache
from typing import Annotated

from torch import Tensor, nn

from translate.errors import UnfitError
from translate.holes import compose, hole_of, masked_input
from translate.taken import Input
from translate.traits import Traits


def inpainter(generator: nn.Module, stream: str, opaque: bool) -> nn.Module:
    """A translator of images (N, C, H, W) with masks of the data's aligned ``stream``.

    ``generator`` takes a ``masked_input``. ``opaque`` says that the stream is alpha: see ``hole_of``.
    """
    return _class_for(stream, "what is not opaque is filled" if opaque else "what is white is filled")(
        generator, opaque
    )


@cache
def _class_for(stream: str, told: str) -> type[nn.Module]:
    # What a network takes is read from its class, and the stream has the name that the data gives it; so there is a
    # class for each, whose annotations are evaluated where it is made.
    class Inpainter(nn.Module):
        """Fills the hole of an image, and keeps everything else."""

        def __init__(self, generator: nn.Module, opaque: bool) -> None:
            super().__init__()
            traits = Traits(generator)
            self.size_multiple, self.fixed_size = traits.size_multiple, traits.fixed_size
            self.draws_noise, self.prefers_channels_last = traits.draws_noise, traits.prefers_channels_last
            self.generator = generator
            self.opaque = opaque
            self.samples = "samples" in inspect.signature(type(generator).forward).parameters

        def forward(
            self,
            image: Tensor,
            *,
            samples: int | None = None,
            mask: Annotated[Tensor, Input("aligned", of=stream, hole=True, help=told)],
        ) -> Tensor:
            """Fill images (N, C, H, W), each with a mask (N, K, H, W); several samples lie side by side."""
            if samples is not None and not self.samples:
                raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples")
            hole = hole_of(mask, opaque=self.opaque)
            drawn = {} if samples is None else {"samples": samples}
            return compose(self.generator(masked_input(image, hole), **drawn), image, hole)

    return Inpainter
