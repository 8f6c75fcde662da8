"""Import: a network of another project, out of its state dict, as a translator's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from translate.common_options import Overwrite
from translate.data import Depth
from translate.notes import parse_note
from translate.options import Option, asked_of
from translate.paths import expanded
from translate.sizes import Size, parse_size

__all__ = [
    "Imported",
    "import_network",
]


@dataclass(frozen=True, slots=True)
class Imported:
    """A network that was imported: its translator's file, what it was taken for, and what else was decided."""

    path: Path
    summary: str
    notes: tuple[str, ...]


def import_network(
    file: str | Path,
    *,
    output: Annotated[Path, Option("translator to write, a .safetensors file", short="-o", metavar="FILE")],
    importer: Annotated[
        str,
        Option(
            'reader of the state dict, with what it cannot tell, such as "cyclegan_pix2pix(dropout=0)"; '
            "by default the one that recognizes it",
            part="importers",
        ),
    ] = "",
    entry: Annotated[
        str, Option("name of the state dict in a file that holds more than one thing, such as model")
    ] = "",
    direction: Annotated[
        Literal["forward", "backward"], Option("what the translator's direction is called")
    ] = "forward",
    depth: Annotated[Depth, Option("how the files of both domains store a value")] = "uint8",
    range: Annotated[  # noqa: A002 - the command line's word
        str,
        Option(
            "stored values that become -1 and 1, such as 0..4095 (default: all that integers can be, 0..1 of floats)",
            metavar="LOW..HIGH",
        ),
    ] = "",
    size: Annotated[
        Size | None,
        Option(
            "what it was trained at, 256 or HEIGHTxWIDTH (default: what its architecture is made for)",
            parse=parse_size,
            metavar="SIZE",
        ),
    ] = None,
    licence: Annotated[str, Option("licence of the network, kept in the file", parse=parse_note, metavar="TEXT")] = "",
    about: Annotated[
        str, Option("description of the network, kept in the file", parse=parse_note, metavar="TEXT")
    ] = "",
    overwrite: Overwrite = False,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Imported:
    """Import a network from a state dict: ``latest_net_G.pth`` of pytorch-CycleGAN-and-pix2pix or CUT, say.

    The file is a ``.pth`` of torch, read with ``weights_only``, or a ``.safetensors``. Architecture, channels, widths
    and normalization come from names and shapes; the result says what was taken, and what could not be told. The
    written translator is one like any other: it converts, can be resumed from, and holds ``licence`` and ``about``.

    Raises ``TranslateError`` for what no importer recognizes, for values that are not finite, and for an output that
    exists, unless ``overwrite``.
    """
    asked = asked_of(import_network, locals())
    # Imported here, so that the options can be read without torch.
    from translate.importing.adopting import adopt

    return Imported(*adopt(expanded(file), asked, plugins, no_plugins))
