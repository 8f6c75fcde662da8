"""FID: the Frechet distance in the features of Inception, by the protocol of clean-fid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Call, Option
from translate_metrics.sets import Frechet

ENOUGH = 10_000
"""The number of images of each set from which on FIDs are usually published."""


class FID(Frechet):
    """The Frechet inception distance (Heusel et al. 2017, arXiv:1706.08500) by clean-fid's protocol (arXiv:2104.11222).

    The squared Frechet distance of Gaussians in the 2,048 features of the Inception of 2015, whose weights you give.
    Values are rounded to 8 bits, as image files hold them. Each image is resized to 299 px by itself, ``clean`` as
    clean-fid does it, or as earlier programs did (``legacy_pytorch``, ``legacy_tensorflow``): their FIDs differ. It is
    biased: more images give a smaller distance. It takes any number of images from 2 on, since small test sets have
    published FIDs; of 2,048 or fewer it knows the covariance in a part of the features only.
    """

    name: ClassVar = "fid"
    better: ClassVar[Mapping[str, str]] = {"fid": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        weights: Annotated[Path, Option("file of the published weights, pt_inception-2015-12-05-6726825d.pth")],
        resize: Annotated[
            Literal["clean", "legacy_pytorch", "legacy_tensorflow"], Option("how images are resized to 299 px")
        ] = "clean",
    ) -> None:
        if str(weights) == "none":
            raise TranslateError("fid is a distance by published weights; give their file, weights=FILE")
        options = {"weights": str(weights), "resize": resize, "quantize": True}
        super().__init__(parts, extractor=str(Call("inception", options)))

    @property
    def warnings(self) -> list[str]:
        """What is told of few images."""
        fewest, width = self._sizes
        cure = "compare it only with distances of as many images, or use kid"
        if fewest <= width:
            return [
                f"fid rests on {fewest} images, of whose {width:,} features the covariance has a rank of at most "
                f"{fewest - 1:,}: the number of images counts for much of it; {cure}"
            ]
        if fewest < ENOUGH:
            return [f"fid rests on {fewest} images, and is too large with fewer than {ENOUGH:,}: {cure}"]
        return []

    def _refuse_few(self) -> None:
        if (fewest := self._sizes[0]) < 2:
            raise TranslateError(f"fid needs at least 2 images of each set, and here is {fewest}")
