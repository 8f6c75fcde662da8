"""Normalizing flows: an invertible translator with exact likelihoods, and coupling networks."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"flow": "translate_flow.method:Flow"}


@hookimpl
def parts() -> Mapping[str, Mapping[str, str]]:
    """Open a kind of part: networks of coupling layers, called as ``factory(inputs, outputs, size, **options)``.

    They map (N, inputs, h, w) to (N, outputs, h, w) at any size, and answer zeros before they are trained, so that
    couplings begin as the identity. Each output must depend on its own input only, and nothing may be drawn.
    """
    return {
        "couplings": {
            "residual": "translate_flow.networks:ResidualCoupling",
            "convolutions": "translate_flow.networks:convolutions",
        }
    }
