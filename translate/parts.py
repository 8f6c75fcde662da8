"""Building of networks, losses, adversaries and methods by name, from the factories of the catalog."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from torch import Tensor, nn

from translate import checkpoint, derived
from translate.adversary import Adversary
from translate.contract import check_contract, check_held, check_passes
from translate.data import Domain, domain_of
from translate.errors import TranslateError, nearest
from translate.factories import call_factory
from translate.features import as_features, check_size, chosen, domain_of_features, run_and_choice
from translate.frozen import Features, Frozen, freeze
from translate.method import M, Method, Parts, Role, role_of
from translate.options import Call, check_options, options_of, parse_call, parse_calls
from translate.paths import expanded
from translate.plugins import Catalog
from translate.pool import ImagePool
from translate.rebuilding import Frugal, check_fit
from translate.run import Config
from translate.sizes import Size, fitting_sizes
from translate.streams import Streams
from translate.taken import facts_of
from translate.traits import Traits
from translate.weights import let_read

log = logging.getLogger("translate")


def build(catalog: Catalog, kind: str, part: str | Call, **given: Any) -> Any:
    """Build the part that a text such as ``unet(depth=7)`` names.

    The factory receives those of ``given`` that it has arguments for, by name; options are checked first.
    """
    call = part if isinstance(part, Call) else parse_call(part)
    offer = catalog.offer(kind, call.name)
    options = check_options(call.options, options_of(offer.load()), call.name)
    return call_factory(offer, given=given, options=options)


class CatalogParts:
    """The ``translate.method.Parts`` that a method receives: it builds parts from the catalog's offers.

    ``resources`` is the metadata of the files from which frozen networks were built, by the part's text. When a saved
    method is rebuilt, ``resources`` replace these files, since the networks' tensors are loaded with the method.
    ``streams`` are what the data has beside source and target.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        source: Domain,
        target: Domain,
        size: Size,
        resources: Mapping[str, Any] | None = None,
        streams: Streams | None = None,
    ) -> None:
        self._catalog = catalog
        self.source, self.target, self.domains = source, target, target.labels
        self.size = size
        streams = streams or Streams()
        self.aligned, self.vectors = streams.aligned, streams.vectors
        self.resources: dict[str, Any] = dict(resources or {})
        self._rebuilding = resources is not None
        self.networks: list[nn.Module] = []  # all that were built
        # The generators, encoders and decoders among them, whose activations take most of a step's memory.
        self.translating: list[nn.Module] = []
        self.frozen: list[tuple[str, nn.Module]] = []  # losses that are networks, by name: their method must hold them

    def at_size(self, size: Size) -> CatalogParts:
        """The same parts for images of another size; the networks that they build join this object's lists."""
        other = copy.copy(self)
        other.size = size
        return other

    def generator(self, name: str, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
        """A generator; by default from the source's channels to the target's."""
        network = self._network(
            "generators",
            name,
            inputs=self.source.channels if inputs is None else inputs,
            outputs=self.target.channels if outputs is None else outputs,
        )
        multiple = Traits(network).size_multiple
        if any(side % multiple for side in self.size):
            sides, fitting = f"{self.size[0]}x{self.size[1]}", fitting_sizes(self.size, multiple)
            raise TranslateError(
                f"{name} needs sides that divide by {multiple}, which {sides} does not; train with --size {fitting}"
            )
        return network

    def encoder(self, name: str, *, inputs: int | None = None, statistics: int = 1) -> nn.Module:
        """An encoder; by default of the source's images."""
        channels = self.source.channels if inputs is None else inputs
        return self._network("encoders", name, inputs=channels, statistics=statistics)

    def decoder(self, name: str, *, latent: tuple[int, ...], outputs: int | None = None) -> nn.Module:
        """A decoder; by default to the target's images."""
        channels = self.target.channels if outputs is None else outputs
        return self._network("decoders", name, latent=latent, outputs=channels)

    def feature_extractor(self, name: str, *, inputs: int | None = None, frozen: bool = True) -> nn.Module:
        """A feature extractor: a part, or the classifier or an encoder of a run."""
        channels = self.source.channels if inputs is None else inputs
        network = self._features_of_run(name, channels)
        if network is None:
            network = self._network("feature_extractors", name, inputs=channels)
            self._read_weights("feature_extractors", name, network)
        return (Frozen if frozen else Features)(network, self.size, channels)

    def _features_of_run(self, name: str, channels: int) -> nn.Module | None:
        """The network of a run that gives features; None if the text names no run."""
        if self._rebuilding:
            # A saved method must not say which file is opened.
            if name not in self.resources:
                return None
            metadata = self.resources[name]
            translators, direction = rebuild(self._catalog, metadata).translators, metadata.get("features", "classify")
            if direction not in translators:
                raise TranslateError(f"the features of {name} came from its direction {direction!r:.100}, which is not")
            return as_features(translators[direction], direction)
        found = run_and_choice(name)
        if found is None:
            return None
        run, choice = found
        saved = SavedMethod.open(run, self._catalog)
        direction = chosen(run, saved.metadata, saved.method.translators, choice, channels)
        module = saved.module(direction)
        domain = domain_of_features(saved.metadata, module, direction)
        if domain.channels != channels:
            raise TranslateError(
                f"{name} was trained on images of {domain.channels} channels, and these have {channels}; "
                "train it on images like these"
            )
        check_size(name, module, self.size)
        self.resources[name] = saved.metadata if direction == "classify" else {**saved.metadata, "features": direction}
        return as_features(module, direction)

    def classifier(self, path: Path) -> nn.Module:
        """The classifier of a run, frozen; its attribute ``labels`` holds the names of its classes."""
        if self._rebuilding:
            raise TranslateError("a saved method cannot have the classifier of another file")
        saved = SavedMethod.open(path, self._catalog)
        module = saved.module("classify").eval().requires_grad_(False)
        module.labels = saved.domain("classify").labels  # type: ignore[assignment]
        return module

    def discriminator(self, name: str, *, inputs: int | None = None, condition: int = 0, classes: int = 0) -> nn.Module:
        """A discriminator, by default of the target's images, conditioned on ``condition`` further channels."""
        channels = self.target.channels if inputs is None else inputs
        return self._network("discriminators", name, inputs=channels, condition=condition, classes=classes)

    def adversary(
        self,
        discriminator: str,
        *,
        loss: str,
        condition: str | int = 0,
        inputs: int | None = None,
        weight: float = 1.0,
        pool: int = 0,
        classes: int = 0,
    ) -> Adversary:
        """A discriminator with its loss and regularizers, all by name."""
        domains = {"source": self.source.channels, "target": self.target.channels}
        context = domains[condition] if isinstance(condition, str) else condition
        images = self.target.channels if inputs is None else inputs
        first, *others = parse_calls(loss)
        if len({call.name for call in others}) < len(others):
            raise TranslateError(f"{loss!r} names a regularizer twice; once is enough")
        return Adversary(
            self.discriminator(discriminator, inputs=images, condition=context, classes=classes),
            build(self._catalog, "adversarial_losses", first),
            regularizers={call.name: build(self._catalog, "regularizers", call) for call in others},
            weight=weight,
            pool=self.pool(pool, images + context) if pool else None,
        )

    def loss(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        """A loss on images: maps (image, target) to a scalar; a network is frozen, with weights as a fit needs them."""
        built: Callable[[Tensor, Tensor], Tensor] = build(self._catalog, "losses", name, parts=self)
        if isinstance(built, nn.Module):
            self._read_weights("losses", name, built)
            self.frozen.append((name, freeze(built)))
        return built

    def network(self, kind: str, name: str, **given: Any) -> nn.Module:
        """A network of any kind by name."""
        return self._network(kind, name, **given)

    def own(self, module: M) -> M:
        """Put a network of the method's own on the lists of networks, once, in place of those within it; return it."""
        if not isinstance(module, nn.Module):
            raise TranslateError(f"parts.own takes a network, not a {type(module).__name__}")
        if not any(module is each for each in self.networks):
            within = set(module.modules())
            for listed in (self.networks, self.translating):
                # The lists are those of parts at other sizes, too.
                listed[:] = [*(each for each in listed if each not in within), module]
        return module

    def pool(self, size: int, channels: int) -> ImagePool:
        """An image pool: a history of ``size`` images of the training size."""
        return ImagePool(size, (channels, *self.size))

    def _read_weights(self, kind: str, name: str, network: nn.Module) -> None:
        """Let a network read the file of its option ``weights``, but not that of a saved method: those have tensors."""
        call = parse_call(name)
        declared = options_of(self._catalog.offer(kind, call.name).load()).get("weights")
        # Something else may be called weights, such as numbers.
        if declared is not None and Path in (declared.kind, *get_args(declared.kind)) and not self._rebuilding:
            let_read(network, call.options.get("weights", declared.default), name)

    def _network(self, kind: str, name: str, **given: Any) -> nn.Module:
        network = build(self._catalog, kind, name, size=self.size, **given)
        if not isinstance(network, nn.Module):
            raise TranslateError(f"{name} is not a network: its factory returned a {type(network).__name__}")
        self.networks.append(network)
        if kind not in ("discriminators", "feature_extractors"):
            self.translating.append(network)
        return network


def build_method(catalog: Catalog, name: str, options: Mapping[str, Any], parts: Parts) -> Method:
    """Build a method with its options."""
    offer = catalog.offer("methods", name)
    declared = options_of(offer.load())
    if taken := sorted(declared.keys() & Config.parameters().keys()):
        raise TranslateError(
            f"the plugin {offer.plugin} gives method {name!r} an option {taken[0]!r}, a name that fit itself uses"
        )
    method = call_factory(offer, parts, given={}, options=check_options(options, declared, name))
    if not isinstance(method, Method):
        raise TranslateError(f"method {name!r} of the plugin {offer.plugin} is no translate.method.Method")
    check_contract(method, f"method {name!r} of the plugin {offer.plugin}", parts)
    check_held(method, getattr(parts, "frozen", ()), f"method {name!r} of the plugin {offer.plugin}")
    check_passes(getattr(parts, "networks", ()), f"method {name!r} of the plugin {offer.plugin}")
    return method


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A trained method, opened: the networks' tensors, and the rebuilt method.

    ``path`` is the file that they come from, a ``translator.safetensors`` or a checkpoint.
    """

    path: Path
    catalog: Catalog
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    method: Method

    @classmethod
    def open(cls, path: str | Path, catalog: Catalog, step: int | None = None) -> SavedMethod:
        """Open a run's folder, its ``translator.safetensors`` or one of its checkpoints.

        ``step`` chooses a checkpoint of the folder. Without it, a translator that is missing, damaged or older than the
        newest readable checkpoint is built again from that, in the folder if that can be written.
        """
        file = expanded(path)
        if step is not None:
            file = derived.checkpoint_at(file, step)
        if not file.is_dir():
            return cls._build(catalog, file, *checkpoint.load(file))
        saved, written = derived.open_run(file, partial(cls._build, catalog))
        return saved if written is None else replace(saved, path=written)

    @classmethod
    def _build(
        cls, catalog: Catalog, file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
    ) -> SavedMethod:
        """Rebuild the method of a translator or of a checkpoint."""
        facts = derived.facts_of(file, metadata)
        if facts is not None:
            metadata = facts
        if "method" not in metadata or "directions" not in metadata:
            raise TranslateError(f"{file} is neither a translator nor a checkpoint of a training; give a run's folder")
        name, plugin = metadata["method"], metadata["plugin"]
        if name not in catalog.offers("methods"):
            where = (
                f"it came from the file or module {plugin['name']}: give it with -p"
                if plugin["distribution"] == "unpackaged"
                else f"install {plugin['distribution']} {plugin['version']}"
            )
            raise TranslateError(f"{file} was made by the method {name!r}, which is not here; {where}")
        here = catalog.offer("methods", name).plugin
        if plugin["distribution"] == "unpackaged" and here.version != plugin["version"]:
            log.warning(
                "warning: %s was made by another version of %s (%s, here %s)",
                file,
                name,
                plugin["version"],
                here.version,
            )
        method = rebuild_for(file, catalog, metadata, tensors)
        if facts is not None:
            return cls(file, catalog, derived.translator_tensors(file, method, tensors), metadata, method)
        strange = next((each for each in tensors if each.partition("/")[0] not in metadata["directions"]), None)
        if strange is not None:
            raise TranslateError(f"{file} cannot be used: its tensor {strange!r:.100} belongs to no direction")
        return cls(file, catalog, tensors, metadata, method)

    def directions(self, role: Role) -> list[str]:
        """The directions of this role, such as the translators' ``forward`` and ``backward``."""
        return [direction for direction in self.metadata["directions"] if role_of(direction) == role]

    def module(self, direction: str) -> nn.Module:
        """The network of a direction, with its trained weights."""
        if direction not in self.metadata["directions"]:
            raise TranslateError(
                f"{self.path} has no direction {direction!r}; {nearest(direction, self.metadata['directions'])}"
            )
        module = self.method.translators[direction]
        start = f"{direction}/"
        own = {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}
        plugin = self.metadata["plugin"]
        try:
            check_fit(module, own, direction)
            module.load_state_dict(own)
        except (RuntimeError, TranslateError) as error:
            reason = " ".join(str(error).split())[:200]
            raise TranslateError(
                f"{self.path} does not fit the installed {plugin['distribution']}, "
                f"it was made by version {plugin['version']}: {reason}"
            ) from None
        return module

    def domain(self, direction: str) -> Domain:
        """The domain of the images that a direction takes or, for a sampler, makes."""
        if role_of(direction) == "translator":
            return domain_of(self.metadata["target" if direction == "backward" else "source"])
        return domain_of(self.metadata[Traits(self.method.translators[direction]).domain])

    @property
    def size(self) -> Size:
        """Height and width of the training's images."""
        height, width = self.metadata["size"]
        return height, width


def metadata_of(
    method: Method, *, name: str, options: Mapping[str, Any], parts: Parts, plugin: Any, step: int
) -> dict[str, Any]:
    """The metadata from which ``rebuild`` rebuilds a method, as JSON values, and the training's ``step``."""
    return {
        "method": name,
        "options": dict(options),
        "plugin": {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version},
        "directions": list(method.translators),
        "step": step,
        "size": list(parts.size),
        "source": asdict(parts.source),
        "target": asdict(parts.target),
        "resources": dict(getattr(parts, "resources", {})),
        **Streams(parts.aligned, parts.vectors).to_json(method.needs),
        **facts_of(method.translators, parts),
    }


def rebuild(catalog: Catalog, metadata: Mapping[str, Any]) -> Method:
    """Rebuild a method from its metadata alone, without the files it was first built from; loads no weights."""
    height, width = metadata["size"]
    parts = CatalogParts(
        catalog,
        source=domain_of(metadata["source"]),
        target=domain_of(metadata["target"]),
        size=(height, width),
        resources=metadata.get("resources", {}),
        streams=Streams.from_json(metadata),
    )
    return build_method(catalog, metadata["method"], metadata["options"], parts)


def rebuild_for(file: Path, catalog: Catalog, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Method:
    """Rebuild the method of a file that may come from a stranger, to hold its ``tensors``.

    Raises ``TranslateError``, which names the file, for networks that its tensors could never fill, for options that no
    network takes, and for directions that the method has not. Weights are left as they come, to be loaded.
    """
    try:
        with Frugal(tensors):
            method = rebuild(catalog, metadata)
    except TranslateError as error:
        raise TranslateError(f"{file} cannot be used: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise TranslateError(
            f"{file} cannot be used: its method {metadata['method']!r:.100} cannot be rebuilt with what the file "
            f"says of it ({reason})"
        ) from error
    kept = list(method.translators)
    if kept != list(metadata["directions"]):
        named = ", ".join(metadata["directions"]) or "none"
        has = ", ".join(kept)
        raise TranslateError(f"{file} cannot be used: it names the directions {named}, and its method has {has}")
    return method
