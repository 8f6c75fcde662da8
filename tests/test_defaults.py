"""Methods without options: the numbers that their papers publish, and what they need of the data."""

from __future__ import annotations

from typing import Any

import pytest
from test_catalog import CATALOG, OFFERS, small

from translate.data import Domain
from translate.method import Needs
from translate.options import options_of, parse_call
from translate.parts import CatalogParts, build_method

METHODS = sorted(name for kind, name in OFFERS if kind == "methods")
PUBLISHED: dict[str, dict[str, Any]] = {
    # Isola et al. 2017, arXiv:1611.07004, section 3.3: lambda = 100, and half of the discriminator's loss.
    "pix2pix": {"l1": 100.0, "gan": 1.0, "matching_aware": False, "pool": 0, "semantic": 0.0, "mask": ""},
    # Zhu et al. 2017, arXiv:1703.10593, section 4: least squares, lambda = 10, 50 earlier images.
    "cyclegan": {"adversarial": "lsgan", "cycle": 10.0, "pool": 50, "semantic": 0.0, "confidence": 0.0},
    # Park et al. 2020, arXiv:2007.15651, sections 3.3 and 4: lambda_X, lambda_Y, tau, 256 patches and dimensions.
    "cut": {
        "adversarial": "lsgan", "nce": 1.0, "identity_nce": 1.0, "temperature": 0.07, "patches": 256, "features": 256,
        "flip_equivariance": False, "pool": 0, "layers": "",
    },
    "fastcut": {
        "adversarial": "lsgan", "nce": 10.0, "identity_nce": 0.0, "temperature": 0.07, "patches": 256, "features": 256,
        "flip_equivariance": True, "pool": 0, "layers": "",
    },
    "gan": {"pool": 0, "geometry": "none", "geometric": 20.0, "semantic": 0.0, "confidence": 0.0},
    # Taigman et al. 2017, arXiv:1611.02200, section 5.
    "dtn": {"adversarial": "ternary", "alpha": 15.0, "beta": 15.0, "gamma": 0.0, "distance": "mse"},
    # Wang et al. 2018, arXiv:1711.11585, section 3: lambda = 10 for both kinds of features.
    "pix2pixhd": {"adversarial": "lsgan", "feature_matching": 10.0, "perceptual": 10.0, "enhance": 0.5, "joint": 0.6},
    # van den Oord et al. 2016, arXiv:1606.05328, for the values; layers and maps are small enough for a CPU.
    "pixelcnn": {"levels": 256, "kernel": 3, "conditional": True, "layers": 8, "width": 32},
    "sgan": {"latent": 100, "feature_matching": None, "supervised": 1.0, "objective": "improved"},
    # Zhang et al. 2017, arXiv:1612.03242: half of the training for each stage, lambda = 1, images 4 times smaller.
    "stackgan": {"kl": 1.0, "l1": 0.0, "reduction": 4, "refine": 0.5, "matching_aware": True},
    # Liu et al. 2017, arXiv:1703.00848, section 3: lambda_0 to lambda_4.
    "unit": {
        "gan": 10.0, "kl": 0.1, "reconstruction": 100.0, "cycle_kl": 0.1, "cycle": 100.0, "tie_shared": True,
        "latent_adversary": 0.0, "semantic_latent": 0.0, "classify": 0.0,
    },
    "vaegan": {"gamma": 1.0, "layer": -1, "domains": 1, "tie_shared": True},
    "classifier": {"domain": "source"},
    # Liu et al. 2023, arXiv:2302.05872: the symmetric schedule of their code with beta_max = 0.3, equations 11 and 12.
    "bridge": {
        "diffusion": "symmetric", "noise": 0.3, "prediction": "auto", "distance": "l2", "conditional": True, "mask": "",
    },
    # Dinh et al. 2017, arXiv:1605.08803, sections 3.6 and 4.1; Grover et al. 2020, arXiv:1905.12892: 1e-4 for nats of
    # an image of 128 x 128 x 3 values.
    "flow": {
        "coupling": "affine", "scales": 2, "layers": 3, "alpha": 0.05, "likelihood": 3.4, "gan": 1.0, "pool": 50,
        "adversarial": "lsgan",
    },
    # Choi et al. 2020, arXiv:1912.01865, appendix B.
    "stargan": {
        "style": 1.0, "diversity": 1.0, "cycle": 1.0, "adversarial": "nonsaturating + r1(weight=1)", "width": 64,
        "widest": 512, "style_width": 64, "latent": 16, "hidden": 512, "blocks": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_numbers_that_are_not_given_are_the_published_ones(name: str) -> None:
    options = options_of(CATALOG.offer("methods", name).load())
    for option, value in PUBLISHED.get(name, {}).items():
        assert options[option].default == value, option


@pytest.mark.parametrize(
    ("call", "options", "wanted"),
    [
        ("pix2pix", {}, Needs(paired=True)),
        ("pix2pix", {"matching_aware": True}, Needs(paired=True, streams=("mismatched",))),
        ("pix2pix", {"semantic": 1.0, "discriminator": "auxiliary(width=4)"}, Needs(paired=True, labels={"target"})),
        ("pix2pixhd", {}, Needs(paired=True)),
        ("stackgan", {}, Needs(paired=True, streams=("mismatched",))),
        ("stackgan", {"matching_aware": False}, Needs(paired=True)),
        ("cyclegan", {}, Needs()),
        ("cut", {}, Needs()),
        ("gan", {}, Needs()),
        ("unit", {}, Needs()),
        ("flow", {}, Needs()),
        ("stargan", {}, Needs(labels={"source"}, references=True)),
        ("bridge", {}, Needs(paired=True)),
        ("classifier", {}, Needs(labels={"source"})),
        ("classifier", {"domain": "target"}, Needs(streams=("labelled",))),
    ],
)
def test_what_is_needed_of_the_data(call: str, options: dict[str, Any], wanted: Needs) -> None:
    labels = tuple("abc")
    parts = CatalogParts(CATALOG, source=Domain(3, labels=labels), target=Domain(3, labels=labels), size=(32, 32))
    options = {**parse_call(small("methods", call)).options, **options}
    found = build_method(CATALOG, call, options, parts).needs
    assert (found.paired, set(found.labels), found.streams) == (wanted.paired, set(wanted.labels), wanted.streams)
    assert found.references == wanted.references
