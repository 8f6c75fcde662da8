"""CycleGAN: unpaired translation with cycle consistency."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"cyclegan": "translate_cyclegan.method:CycleGAN"}


@hookimpl
def plain_loops() -> Mapping[str, str]:
    """Offer its plain training loop, written by hand."""
    return {"cyclegan": "translate_cyclegan.plain:PlainCycleGAN"}
