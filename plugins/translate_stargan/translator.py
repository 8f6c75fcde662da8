"""What is kept of StarGAN v2: an image to one in the style of a class, drawn or taken from a reference."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from translate.taken import Input
from translate_stargan.generator import Generator
from translate_stargan.styles import MappingNetwork, StyleEncoder


class StyleTranslator(nn.Module):
    """Generator, mapping network and style encoder as one translator."""

    unbounded = True

    def __init__(self, generator: Generator, mapping: MappingNetwork, encoder: StyleEncoder, *, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.mapping = mapping
        self.encoder = encoder
        self.noise = (latent,)
        self.size_multiple = generator.size_multiple

    def forward(
        self,
        image: Tensor,
        *,
        label: Annotated[Tensor, Input("class", of="target", help="to which it is translated; that of the reference")],
        reference: Annotated[
            Tensor | None, Input("image", of="target", help="whose style is taken; without one, a style is drawn")
        ] = None,
        latent: Annotated[Tensor, Input("latent", help="of which the mapping network makes a style")],
    ) -> Tensor:
        """Translate (N, C, H, W) to the classes (N,)."""
        style = self.mapping(latent, label) if reference is None else self.encoder(reference, label)
        output: Tensor = self.generator(image, style)
        return output

    def code_of(self, image: Tensor, *, label: Tensor) -> Tensor:
        """The styles (N, D) of references (N, C, H, W) of the classes (N,)."""
        style: Tensor = self.encoder(image, label)
        return style

    def image_of(self, code: Tensor, *, image: Tensor) -> Tensor:
        """Images (N, C, H, W) in the styles (N, D)."""
        output: Tensor = self.generator(image, code)
        return output
