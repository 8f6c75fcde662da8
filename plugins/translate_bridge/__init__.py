"""Bridges between paired images: translation in several passes of one denoiser."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"bridge": "translate_bridge.method:Bridge"}


@hookimpl
def parts() -> Mapping[str, Mapping[str, str]]:
    """Open a kind of part: denoisers, called as ``factory(inputs, outputs, condition, size, **options)``.

    They map an image between two others (N, inputs, H, W), its times (N,) in [0, 1] and, unless ``condition`` is 0, a
    condition (N, condition, H, W) to (N, outputs, H, W), which nothing bounds. At time 0 the image is a target, at time
    1 a source. Each output must depend on its own row only, and in evaluation nothing may be drawn.
    """
    return {"denoisers": {"unet": "translate_bridge.unet:DenoisingUNet"}}
