"""Tables of methods and parts, from the catalog into the pages; ``--check`` only says whether they are up to date.

python docs/tables.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from translate.options import declared_by, options_of
from translate.plugins import KINDS, OURS, Catalog, Offer, discover
from translate.public import PUBLIC
from translate.traits import Traits

ROOT = Path(__file__).resolve().parents[1]


def ours(catalog: Catalog, kind: str) -> dict[str, Offer]:
    """What our own plugins offer of a kind."""
    return {name: offer for name, offer in catalog.offers(kind).items() if offer.plugin.distribution == OURS}


def method_names(catalog: Catalog) -> list[str]:
    """The methods' names alone, as links in lines."""
    names = [f"[`{name}`](docs/methods/{name}.md)" for name in ours(catalog, "methods")]
    return textwrap.wrap(", ".join(names) + ".", 120, break_long_words=False, break_on_hyphens=False)


def methods(catalog: Catalog) -> list[str]:
    """The methods with their first lines."""
    lines = ["| method | what it is |", "|---|---|"]
    for name, offer in ours(catalog, "methods").items():
        lines.append(f"| [`{name}`]({name}.md) | {offer.summary.rstrip('.')} |")
    return lines


def parts(catalog: Catalog) -> list[str]:
    """All other parts by kind."""
    lines = ["| part | names |", "|---|---|"]
    for kind in KINDS:
        names = [f"`{name}`" for name in ours(catalog, kind)]
        if kind not in ("methods", "plain_loops") and names:
            lines.append(f"| {kind.replace('_', ' ')} | {', '.join(names)} |")
    return lines


def options(kind: str) -> Callable[[Catalog], list[str]]:
    """The table of one kind: names, first lines, options and defaults."""

    def table(catalog: Catalog) -> list[str]:
        lines = ["| name | what it is | options and defaults |", "|---|---|---|"]
        for name, offer in ours(catalog, kind).items():
            declared = options_of(offer.load()).values()
            shown = [f"`{each.name}`" if each.required else f"`{each.name}={plain(each.default)}`" for each in declared]
            lines.append(f"| `{name}` | {offer.summary.rstrip('.')} | {' '.join(shown)} |")
        return lines

    return table


def plain(default: Any) -> str:
    """A default as it is typed."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "none" if default is None else str(default)


def flags(function: str) -> Callable[[Catalog], list[str]]:
    """The options of a verb, as its function declares them."""

    def table(_: Catalog) -> list[str]:
        module, _, name = function.partition(":")
        lines = ["| option | default | |", "|---|---|---|"]
        for each in declared_by(getattr(import_module(module), name)).values():
            lines += [f"| `{flag}` |  | {told} |" for flag, told in each.option.assigns]
            if each.option.assigns:
                continue
            flag = each.option.flag or "--" + each.name.replace("_", "-")
            default = "" if each.required or each.default in (None, "", ()) else f"`{plain(each.default)}`"
            bounds = f" ({each.option.bounds})" if each.option.bounds else ""
            lines.append(f"| `{flag}` | {default} | {each.option.help}{bounds} |")
        return lines

    return table


def public(_: Catalog) -> list[str]:
    """The public list: modules, names, signatures, and the first lines of their docstrings."""
    lines: list[str] = []
    for name, names in PUBLIC.items():
        module = import_module(name)
        first = (inspect.getdoc(module) or "").partition("\n")[0]
        lines += [f"## {name}", "", first, ""]
        if names:
            lines += ["| name | what it is |", "|---|---|"]
            lines += [f"| {signature(each, getattr(module, each))} | {told(module, each)} |" for each in names]
            lines.append("")
    return lines[:-1]


def signature(name: str, value: Any) -> str:
    """A name with its arguments, and of a class its own public methods and properties."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return f"`{name}`"
    shown = [f"`{name}{arguments(value)}`"]
    for inner, member in vars(value).items() if inspect.isclass(value) else ():
        if inner.startswith("_") or (inspect.isdatadescriptor(member) and not isinstance(member, property)):
            continue
        if isinstance(member, property):
            shown.append(f"`.{inner}`")
        elif callable(member) or isinstance(member, (classmethod, staticmethod)):
            shown.append(f"`.{inner}{arguments(getattr(value, inner))}`")
    return "<br>".join(shown)


def arguments(function: Any) -> str:
    """The arguments of a function with their defaults, without their types."""
    try:
        declared = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""
    bare = [
        each.replace(annotation=each.empty, default=each.default if plain_default(each.default) else ...)
        for each in declared
        if each.name != "self"
    ]
    return str(inspect.Signature(bare)).replace("|", "\\|").replace("Ellipsis", "...")


def plain_default(value: Any) -> bool:
    """Whether a default's text is the same on every machine."""
    return value is inspect.Parameter.empty or value is None or isinstance(value, (bool, int, float, str, tuple))


def told(module: Any, name: str) -> str:
    """The first line of what a name's docstring says, or the text below an assignment."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return (inspect.getdoc(value) or "").partition("\n")[0].replace("|", "\\|")
    nodes = ast.parse(Path(inspect.getfile(module)).read_text(encoding="utf-8")).body
    for node, after in itertools.pairwise(nodes):
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        if isinstance(target, ast.Name) and target.id == name and isinstance(after, ast.Expr):
            return str(ast.literal_eval(after.value)).partition("\n")[0].replace("|", "\\|")
    return ""


def traits(_: Catalog) -> list[str]:
    """The traits of networks."""
    lines = ["| attribute | whose it is, and what it says |", "|---|---|"]
    for name, value in vars(Traits).items():
        if isinstance(value, property):
            text = " ".join((inspect.getdoc(value.fget) or "").split())
            lines.append(f"| `{name}` | {text} |")
    return lines


NETWORKS = ("generators", "encoders", "decoders", "discriminators", "feature_extractors")
PAGES: Mapping[str, Mapping[str, Callable[[Catalog], list[str]]]] = {
    "README.md": {"methods": method_names},
    "docs/methods/README.md": {"methods": methods, "parts": parts},
    "docs/conversion.md": {"convert": flags("translate.conversion:convert")},
    "docs/importing.md": {"import": flags("translate.importing:import_network")},
    "docs/exporting.md": {"export": flags("translate.exporting:export")},
    "docs/serving.md": {"serve": flags("translate.serving:serve")},
    "docs/evaluation.md": {
        "evaluate": flags("translate.evaluation:evaluate"),
        "compare": flags("translate.evaluation:compare"),
    },
    "docs/encoding.md": {"encode": flags("translate.encoding:encode")},
    "docs/report.md": {"report": flags("translate.reporting:report"), "watch": flags("translate.reporting:watch")},
    "docs/sampling.md": {"sample": flags("translate.sampling:sample")},
    "docs/public-names.md": {"public": public},
    "docs/traits.md": {"traits": traits},
    "docs/networks.md": {kind: options(kind) for kind in NETWORKS},
}
"""The tables of each page, by the name in its marks."""


def filled(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with a table between its two marks."""
    marks = f"<!-- {name}: docs/tables.py -->", "<!-- end -->"
    found = re.search(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", page, re.DOTALL)
    if found is None:
        raise SystemExit(f"a page lacks the lines {marks[0]} and {marks[1]}, between which a table goes")
    table = "\n".join(lines)
    return page.replace(found.group(), f"{marks[0]}\n\n{table}\n\n{marks[1]}")


def main(given: Sequence[str] | None = None) -> int:
    """Rewrite the pages, or with ``--check`` answer 1 if one would change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is out of date")
    arguments = parser.parse_args(given)
    catalog, stale = discover(), 0
    for name, tables in PAGES.items():
        page = (ROOT / name).read_text(encoding="utf-8")
        new = page
        for each, table in tables.items():
            new = filled(new, each, table(catalog))
        stale |= int(new != page)
        if not arguments.check:
            (ROOT / name).write_text(new, encoding="utf-8")
    return stale if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
