"""Contract checks for parts, as functions that a plugin's own tests call.

``check_plugin("mine")`` checks everything that an installed plugin offers; the other functions check one part. Each
raises ``AssertionError`` with a sentence. To keep a check fast on a CPU, name a small network:
``check_generator("unet(width=8)")``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from translate.compute import missing_compiler
from translate.options import check_options, options_of, parse_call
from translate.plugins import Catalog, discover
from translate.run import Config
from translate.testing.games import check_method
from translate.testing.gradients import check_gradients
from translate.testing.importers import check_importer
from translate.testing.loggers import check_logger
from translate.testing.loops import check_plain_loop
from translate.testing.networks import (
    check_decoder,
    check_discriminator,
    check_encoder,
    check_feature_extractor,
    check_generator,
)
from translate.testing.objectives import (
    check_adversarial_loss,
    check_augmentation,
    check_loss,
    check_optimizer,
    check_regularizer,
    check_schedule,
)
from translate.testing.offers import check_dataset, check_hooks, check_metric
from translate.testing.runtimes import check_runtime

__all__ = [
    "CHECKS",
    "check_adversarial_loss",
    "check_augmentation",
    "check_dataset",
    "check_decoder",
    "check_discriminator",
    "check_encoder",
    "check_feature_extractor",
    "check_generator",
    "check_gradients",
    "check_importer",
    "check_logger",
    "check_loss",
    "check_method",
    "check_metric",
    "check_optimizer",
    "check_options_documented",
    "check_plain_loop",
    "check_plugin",
    "check_regularizer",
    "check_runtime",
    "check_schedule",
]

CHECKS: Mapping[str, Callable[..., None]] = {
    "generators": check_generator,
    "encoders": check_encoder,
    "decoders": check_decoder,
    "feature_extractors": check_feature_extractor,
    "discriminators": check_discriminator,
    "adversarial_losses": check_adversarial_loss,
    "losses": check_loss,
    "regularizers": check_regularizer,
    "optimizers": check_optimizer,
    "schedules": check_schedule,
    "augmentations": check_augmentation,
    "datasets": check_dataset,
    "metrics": check_metric,
    "methods": check_method,
    "plain_loops": check_plain_loop,
    "runtimes": check_runtime,
    "importers": check_importer,
    "loggers": check_logger,
}
"""The contract check of each kind of part."""

NETWORKS = ("generators", "encoders", "decoders", "feature_extractors", "discriminators")


def check_plugin(
    name: str, *, examples: Mapping[str, str] | None = None, plugins: Sequence[str] = (), compiled: bool = False
) -> None:
    """Check all that a plugin offers against the contracts, and all its other hooks.

    ``examples`` maps a part's name to the call that builds a small one: ``{"unet": "unet(width=8)"}``, or for a method
    ``{"mine": "mine(generator='unet(width=8)')"}``. If two kinds share a name, a key such as ``"plain_loops/mine"``
    names one of them. ``plugins`` are files or modules of plugins that are not installed. With ``compiled``, networks
    are compiled, too, which takes half a minute each, if the machine has a compiler.
    """
    small = dict(examples or {})
    catalog = discover(extra=plugins)
    plugin = next((each for each in catalog.plugins if each.name == name), None)
    assert plugin is not None, f"no plugin {name!r} loads; installed are {[each.name for each in catalog.plugins]}"
    check_hooks(plugin, catalog)
    offered = catalog.offered_by(plugin)
    known = {each for kind, names in offered.items() for part in names for each in (part, f"{kind}/{part}")}
    assert small.keys() <= known, f"{name} offers no {sorted(small.keys() - known)[0]!r}, of which an example is given"
    compiles = compiled and missing_compiler(torch.device("cpu")) is None
    for kind, names in offered.items():
        for each in names:
            check_options_documented(kind, each, plugins=plugins)
            example = small.get(f"{kind}/{each}", small.get(each, each))
            # A loop by hand has the options of its method.
            required = [] if kind == "plain_loops" else _required(catalog, kind, each)
            missing = [option for option in required if option not in parse_call(example).options]
            assert not missing, (
                f"{each}: the option {missing[0]} has no default; give an example, "
                f'examples={{{each!r}: "{each}({missing[0]}=...)"}}'
            )
            if kind in CHECKS:  # what a plugin's own kind must do, the plugin knows
                CHECKS[kind](example, plugins=plugins)
            if compiles and kind in NETWORKS:
                torch.compiler.reset()
                check_gradients(kind, example, batch=2, compiled=True, plugins=plugins)


def _required(catalog: Catalog, kind: str, name: str) -> list[str]:
    return [each.name for each in options_of(catalog.offer(kind, name).load()).values() if each.required]


def check_options_documented(kind: str, name: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that the factory has a docstring, and every option a help text and a default that passes its own check."""
    offer = discover(extra=plugins).offer(kind, name)
    assert offer.summary, f"{name}: the first line of the docstring says what it is, in `translate fit --help` too"
    parameters = options_of(offer.load())
    assert list(parameters) == offer.option_names, f"{name}: its options must be readable without importing it"
    for parameter in parameters.values():
        assert parameter.option.help, (
            f'{name}: the option {parameter.name} needs a help text: Annotated[..., Option("...")]'
        )
        if not parameter.required:
            check_options({parameter.name: parameter.default}, {parameter.name: parameter}, name)
        if kind == "methods":
            assert parameter.name not in Config.parameters(), (
                f"{name}: {parameter.name} is the name of an option of fit"
            )
