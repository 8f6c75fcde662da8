"""Runtimes for conversion: networks compiled by torch, or run by OpenVINO."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def runtimes() -> Mapping[str, str]:
    """Offer the runtimes."""
    return {
        "compiled": "translate_runtimes.compiled:Compiled",
        "openvino": "translate_runtimes.openvino:OpenVINO",
    }
