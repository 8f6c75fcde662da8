"""The implementation of ``import``: which importer reads a state dict, and the translator's file that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from translate import checkpoint, outputs
from translate.data import Domain
from translate.errors import TranslateError
from translate.foreign import Foreign
from translate.importing.reading import read_state
from translate.options import parse_call
from translate.parts import build, rebuild_for
from translate.plugins import Catalog, discover
from translate.rebuilding import check_fit


def adopt(
    file: Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> tuple[Path, str, tuple[str, ...]]:
    """Import with the checked options of ``import_network``; return (written file, what it is, notes)."""
    output: Path = asked["output"]
    if output.suffix.lower() != ".safetensors":
        raise TranslateError(f"import: a translator is a .safetensors file, and {output} is named otherwise")
    if output.is_dir():
        raise TranslateError(
            f"import: {output} is a folder; name the file to write, such as {output / 'cats.safetensors'}"
        )
    if output.exists() and file.exists() and output.samefile(file):
        raise TranslateError(f"import: {output} is the file to import itself; name another file to write")
    if not asked["overwrite"]:
        outputs.refuse_existing(output)
    catalog = discover(extra=plugins, blocked=no_plugins)
    tensors = read_state(file, asked["entry"])
    network = _read(file, catalog, tensors, asked)
    metadata = _metadata(network, catalog, asked)
    kept = {f"{asked['direction']}/{name}": tensor for name, tensor in network.tensors.items()}
    method = rebuild_for(file, catalog, metadata, kept)
    try:
        check_fit(method.translators[asked["direction"]], network.tensors, "the network as it is built here")
    except TranslateError as error:
        raise TranslateError(f"{file} cannot be imported: {error}") from None
    checkpoint.save(output, kept, metadata)
    return output, network.summary, network.notes


def _read(file: Path, catalog: Catalog, tensors: Mapping[str, Tensor], asked: Mapping[str, Any]) -> Foreign:
    """What the named importer, or the first that recognizes the tensors, answers."""
    names = [asked["importer"]] if asked["importer"] else list(catalog.offers("importers"))
    reasons: list[str] = []
    for name in names:
        try:
            found = build(catalog, "importers", name, tensors=dict(tensors), direction=asked["direction"])
        except TranslateError as error:
            reasons.append(str(error) if len(names) == 1 else f"{parse_call(name).name}: {error}")
            continue
        if not isinstance(found, Foreign):
            raise TranslateError(f"the importer {name!r:.100} answers with a {type(found).__name__}, and no network")
        return found
    if not reasons:
        raise TranslateError("no plugin here offers an importer; install one, or unblock it")
    # Of an importer that was named, it may be the name or an option that is wrong.
    other = "" if asked["importer"] else "; any other network converts as an .onnx file, exported where its code is"
    raise TranslateError(f"{file} cannot be imported: {'; '.join(reasons)}{other}")


def _metadata(network: Foreign, catalog: Catalog, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the translator's file."""
    ends = [_domain(channels, asked["depth"], asked["range"]) for channels in (network.inputs, network.outputs)]
    if asked["direction"] == "backward":
        ends.reverse()
    offer = catalog.offer("methods", network.method.name)
    plugin = offer.plugin
    metadata = {
        "method": network.method.name,
        "options": dict(network.method.options),
        "plugin": {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version},
        "directions": [asked["direction"]],
        "step": 0,
        "size": list(asked["size"] or network.size),
        "source": asdict(ends[0]),
        "target": asdict(ends[1]),
        "resources": {},
    }
    return metadata | {name: asked[name] for name in ("licence", "about") if asked[name]}


def _domain(channels: int, depth: Any, limits: str) -> Domain:
    """A domain of images whose values, between ``limits`` if any, become -1 to 1."""
    if not limits:
        return Domain(channels, depth)
    low, dots, high = limits.partition("..")
    try:
        domain = Domain(channels, depth, float(low), float(high), ranged=depth != "float32")
    except ValueError:
        domain = Domain(channels, low=1.0)
    if not dots or not -1e30 < domain.low < domain.high < 1e30:
        raise TranslateError(f"import: a range is LOW..HIGH, such as 0..4095, not {limits!r:.80}")
    least, most = Domain(channels, depth).limits
    if depth != "float32" and not least <= domain.low < domain.high <= most:
        raise TranslateError(
            f"import: files of {depth} hold {least:g} to {most:g}, which the range {limits!r:.80} leaves; give one "
            "within it, or another --depth"
        )
    return domain
