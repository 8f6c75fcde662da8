"""Builds networks, losses, adversaries, methods and datasets by name: the only place where they are put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from translate.adversary import Adversary
from translate.data import Dataset, Domain
from translate.errors import TranslateError, nearest
from translate.method import Method, Parts
from translate.options import Call, check_options, describe, options_of, parse_call, parse_calls
from translate.plugins import KINDS, Catalog
from translate.pool import ImagePool
from translate.run import Config, Size, fitting_sizes


def build(catalog: Catalog, kind: str, part: str | Call, **given: Any) -> Any:
    """Build what a text such as ``unet(depth=7)`` names.

    ``given`` is handed to those arguments of the factory that it has by name; options are checked first.
    """
    call = part if isinstance(part, Call) else parse_call(part)
    factory = catalog.offer(kind, call.name).load()
    options = check_options(call.options, options_of(factory), call.name)
    return factory(**_wanted(factory, given, call.name), **options)


def _wanted(factory: Callable[..., Any], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Of what is at hand, what the factory asks for by the names of its arguments."""
    wanted: dict[str, Any] = {}
    for argument in inspect.signature(factory).parameters.values():
        if argument.kind is argument.POSITIONAL_OR_KEYWORD:
            if argument.name in given:
                wanted[argument.name] = given[argument.name]
            elif argument.default is argument.empty:
                raise TranslateError(
                    f"{name} asks for {argument.name!r}, which is not at hand; {nearest(argument.name, given)}"
                )
    return wanted


class CatalogParts:
    """The ``translate.method.Parts`` that a method is handed: builds from what the catalog's plugins offer."""

    def __init__(self, catalog: Catalog, *, source: Domain, target: Domain, size: Size) -> None:
        self._catalog = catalog
        self.source = source
        self.target = target
        self.size = size

    def generator(self, name: str, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
        """A generator, from the source's channels to the target's unless told otherwise."""
        network = self._network(
            "generators",
            name,
            inputs=self.source.channels if inputs is None else inputs,
            outputs=self.target.channels if outputs is None else outputs,
        )
        multiple = int(getattr(network, "size_multiple", 1))
        if any(side % multiple for side in self.size):
            raise TranslateError(
                f"{name} needs sides that divide by {multiple}, which {self.size[0]}x{self.size[1]} does not; "
                f"train with --size {fitting_sizes(self.size, multiple)}"
            )
        return network

    def discriminator(self, name: str, *, inputs: int | None = None, condition: int = 0) -> nn.Module:
        """A discriminator of the target's images, with ``condition`` channels beside them."""
        return self._network(
            "discriminators", name, inputs=self.target.channels if inputs is None else inputs, condition=condition
        )

    def adversary(
        self,
        discriminator: str,
        *,
        loss: str,
        condition: str | int = 0,
        inputs: int | None = None,
        weight: float = 1.0,
        pool: int = 0,
    ) -> Adversary:
        """A discriminator with its loss and penalties, all by name."""
        domains = {"source": self.source.channels, "target": self.target.channels}
        context = domains[condition] if isinstance(condition, str) else condition
        images = self.target.channels if inputs is None else inputs
        first, *others = parse_calls(loss)
        if len({call.name for call in others}) < len(others):
            raise TranslateError(f"{loss!r} names a regularizer twice; once is enough")
        return Adversary(
            self.discriminator(discriminator, inputs=images, condition=context),
            build(self._catalog, "adversarial_losses", first),
            regularizers={call.name: build(self._catalog, "regularizers", call) for call in others},
            weight=weight,
            pool=self.pool(pool, images + context) if pool else None,
        )

    def loss(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        """A loss on images: maps (image, target) to a scalar."""
        built: Callable[[Tensor, Tensor], Tensor] = build(self._catalog, "losses", name)
        return built

    def pool(self, size: int, channels: int) -> ImagePool:
        """A history of ``size`` images of the training size."""
        return ImagePool(size, (channels, *self.size))

    def _network(self, kind: str, name: str, **given: Any) -> nn.Module:
        network = build(self._catalog, kind, name, size=self.size, **given)
        if not isinstance(network, nn.Module):
            raise TranslateError(f"{name} is not a network: its factory returned a {type(network).__name__}")
        return network


def build_method(catalog: Catalog, name: str, options: Mapping[str, Any], parts: Parts) -> Method:
    """Build a method with its options."""
    offer = catalog.offer("methods", name)
    factory = offer.load()
    declared = options_of(factory)
    taken = sorted(declared.keys() & Config.parameters().keys())
    if taken:
        raise TranslateError(
            f"the plugin {offer.plugin} gives method {name!r} an option {taken[0]!r}, a name that fit itself uses"
        )
    method = factory(parts, **check_options(options, declared, name))
    if not isinstance(method, Method):
        raise TranslateError(f"method {name!r} of the plugin {offer.plugin} is no translate.method.Method")
    return method


def told(catalog: Catalog, name: str) -> list[str]:
    """What all parts of a name are and take, in lines for a terminal."""
    found = [offers[name] for kind in KINDS if name in (offers := catalog.offers(kind))]
    if not found:
        known = sorted({each for kind in KINDS for each in catalog.offers(kind)})
        raise TranslateError(f"nothing is offered by the name {name!r}; {nearest(name, known)}")
    lines: list[str] = []
    for offer in found:
        lines.append(f"{name}, one of the {offer.kind.replace('_', ' ')} of {offer.plugin}")
        lines.append(f"    {offer.summary}")
        for parameter in options_of(offer.load()).values():
            default = "" if parameter.required else f" [default: {parameter.default}]"
            lines.append(f"    {parameter.name}: {describe(parameter)}{default}")
            lines.append(f"        {parameter.option.help}")
    return lines


def open_dataset(catalog: Catalog, data: str, layout: str | None = None) -> Dataset:
    """List the data at a path, or a dataset by its name (``demo(size=64)``).

    Without a ``layout`` every plugin is asked what it sees in the folder; more than one answer is told with the
    choices.
    """
    root = Path(data).expanduser()
    if layout is not None:
        return _listing(catalog, layout, root)
    if not root.exists():
        try:
            call = parse_call(data)
        except TranslateError:
            call = Call("")
        if call.name in catalog.offers("datasets"):
            return _listing(catalog, data, root)
        known = ", ".join(catalog.offers("datasets"))
        raise TranslateError(f"there is no folder {data!r}, nor a dataset of that name; give a path, or one of {known}")
    seen = [call for _, calls in catalog.ask("recognize", root=root) for call in calls]
    if len(seen) == 1:
        return _listing(catalog, seen[0], root)
    if not seen:
        known = ", ".join(catalog.offers("datasets"))
        raise TranslateError(
            f"no layout of images is recognized in {root}; name one with --layout ({known}), "
            "whose options `translate plugins NAME` shows"
        )
    choices = " or ".join(f'--layout "{call}"' for call in seen)
    raise TranslateError(f"{root} can be read in more than one way; choose {choices}")


def _listing(catalog: Catalog, layout: str, root: Path) -> Dataset:
    dataset = build(catalog, "datasets", layout, root=root)
    if not isinstance(dataset, Dataset):
        raise TranslateError(f"{layout} is no dataset: its factory returned a {type(dataset).__name__}")
    return dataset
