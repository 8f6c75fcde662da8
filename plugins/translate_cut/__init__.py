"""CUT: unpaired translation in one direction by contrastive learning of patches."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method and its fast preset."""
    return {"cut": "translate_cut.method:CUT", "fastcut": "translate_cut.fast:FastCUT"}


@hookimpl
def plain_loops() -> Mapping[str, str]:
    """Offer its plain training loop, written by hand."""
    return {"cut": "translate_cut.plain:PlainCUT"}
