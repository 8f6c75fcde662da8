"""Runtimes: trained networks compiled, or run by OpenVINO, when images are converted."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def runtimes() -> Mapping[str, str]:
    """Offer the runtimes."""
    return {
        "compiled": "translate_runtimes.compiled:Compiled",
        "openvino": "translate_runtimes.openvino:OpenVINO",
    }
